//! `NVIDIA_REQUIRE_*`: the expression by which CUDA images state what they run on, as NVIDIA's
//! container runtime reads it: blank means or, comma means and. `environment` reads it from an
//! image's variables, `machine` evaluates it.

pub(crate) mod environment;
mod machine;

use std::fmt;

use crate::version::Version;

/// Most constraints of one expression. NVIDIA's own images have about a hundred.
const MOST_CONSTRAINTS: usize = 512;

/// The left side of a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    /// The CUDA version that the driver reports.
    Cuda,
    /// The driver's version.
    Driver,
    /// A GPU's compute capability.
    Arch,
    /// A GPU's product line.
    Brand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    Version(Version),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Constraint {
    property: Property,
    comparison: Comparison,
    bound: Bound,
}

/// An expression such as `cuda>=12.4 brand=tesla,driver>=470,driver<471`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaRequire {
    /// Any of them, each of whose constraints hold together.
    alternatives: Vec<Vec<Constraint>>,
}

impl NvidiaRequire {
    /// Reads the value of an `NVIDIA_REQUIRE_*` variable; `None` when it is not such an expression,
    /// has an unknown factor, or states nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match Self::read(text) {
            (known, unknown) if unknown.is_empty() => known,
            _ => None,
        }
    }

    /// The expression of the known factors, which NVIDIA's runtime evaluates, and the unknown ones:
    /// another property, no comparison, no version. An alternative without a known factor is
    /// dropped. An expression with more factors than the bound counts as unknown.
    pub(crate) fn read(text: &str) -> (Option<Self>, Vec<&str>) {
        let mut alternatives = Vec::new();
        let mut unknown = Vec::new();
        let mut count = 0;
        for alternative in text.split_ascii_whitespace() {
            let mut constraints = Vec::new();
            for factor in alternative.split(',').filter(|factor| !factor.is_empty()) {
                count += 1;
                match Constraint::parse(factor) {
                    _ if count > MOST_CONSTRAINTS => return (None, vec![factor]),
                    Some(constraint) => constraints.push(constraint),
                    None => unknown.push(factor),
                }
            }
            if !constraints.is_empty() {
                alternatives.push(constraints);
            }
        }
        let known = (!alternatives.is_empty()).then_some(Self { alternatives });
        (known, unknown)
    }
}

impl Constraint {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '!', '<', '>'])?;
        let (name, rest) = text.split_at_checked(at)?;
        let property = match name.to_ascii_lowercase().as_str() {
            "cuda" => Property::Cuda,
            "driver" => Property::Driver,
            "arch" => Property::Arch,
            "brand" => Property::Brand,
            _ => return None,
        };
        let operators = [
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        let (comparison, value) = operators
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)))?;
        let bound = match property {
            Property::Brand if !value.is_empty() => Bound::Text(value.to_ascii_lowercase()),
            Property::Brand => return None,
            _ => Bound::Version(Version::parse(value)?),
        };
        Some(Self {
            property,
            comparison,
            bound,
        })
    }

    fn holds<T: PartialOrd>(&self, found: &T, bound: &T) -> bool {
        match self.comparison {
            Comparison::Equal => found == bound,
            Comparison::Unequal => found != bound,
            Comparison::Less => found < bound,
            Comparison::AtMost => found <= bound,
            Comparison::More => found > bound,
            Comparison::AtLeast => found >= bound,
        }
    }

    fn allows(&self, found: &Bound) -> bool {
        match (found, &self.bound) {
            (Bound::Version(found), Bound::Version(bound)) => self.holds(found, bound),
            (Bound::Text(found), Bound::Text(bound)) => self.holds(found, bound),
            _ => false,
        }
    }
}

impl fmt::Display for NvidiaRequire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, alternative) in self.alternatives.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            for (place, constraint) in alternative.iter().enumerate() {
                if place > 0 {
                    f.write_str(",")?;
                }
                constraint.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.property {
            Property::Cuda => "cuda",
            Property::Driver => "driver",
            Property::Arch => "arch",
            Property::Brand => "brand",
        })?;
        f.write_str(match self.comparison {
            Comparison::Equal => "=",
            Comparison::Unequal => "!=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::AtLeast => ">=",
        })?;
        match &self.bound {
            Bound::Version(version) => version.fmt(f),
            Bound::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// As in NVIDIA's image for CUDA 12.4, shortened.
    const CUDA_12_4: &str = "cuda>=12.4 brand=tesla,driver>=470,driver<471 \
        brand=unknown,driver>=470,driver<471 brand=tesla,driver>=535,driver<536 \
        brand=unknown,driver>=535,driver<536";

    #[rstest]
    #[case("")]
    #[case("  ")]
    #[case(",")]
    #[case("cuda")]
    #[case("cuda>=")]
    #[case("memory>=8")]
    #[case("cuda>=x")]
    #[case("brand=")]
    fn what_is_no_expression_is_not_read(#[case] text: &str) {
        assert_eq!(NvidiaRequire::parse(text), None);
    }

    #[test]
    fn an_expression_reads_back_as_it_is_printed() {
        let read = NvidiaRequire::parse(CUDA_12_4).unwrap();
        assert_eq!(NvidiaRequire::parse(&read.to_string()), Some(read));
    }
}
