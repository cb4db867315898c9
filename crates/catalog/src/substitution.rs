//! Substitutes the values of parameters in a profile's texts: `${cpu}` is one. Values are put into
//! nodes that are parsed already, so none can add a key or a list.

use crate::parameters::Parameter;
use crate::reader::Reader;
use crate::suggestions;
use crate::yaml::{Mark, Node, Value};

/// Most bytes of a text after values were put into it.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// What parameters stand for.
pub(crate) struct Values<'p> {
    values: Vec<(&'p Parameter, String, bool)>,
}

impl<'p> Values<'p> {
    /// The defaults, but for those that `given` sets.
    pub(crate) fn of(parameters: &'p [Parameter], given: &[(&str, String)]) -> Self {
        let values = parameters.iter().map(|parameter| {
            let set = given.iter().find(|(name, _)| *name == parameter.name);
            match set {
                Some((_, value)) => (parameter, value.clone(), true),
                None => (parameter, parameter.default.clone(), false),
            }
        });
        Self {
            values: values.collect(),
        }
    }

    fn of_name(&self, name: &str) -> Option<&(&'p Parameter, String, bool)> {
        self.values.iter().find(|(known, ..)| known.name == name)
    }

    /// The node with values put into its texts. What stands for nothing is noted.
    pub(crate) fn put(&self, reader: &mut Reader<'_>, node: &Node) -> Node {
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Text(text) => Value::Text(self.text(reader, node.mark, text)),
            Value::List(items) => {
                Value::List(items.iter().map(|item| self.put(reader, item)).collect())
            }
            Value::Map(pairs) => {
                let pairs = pairs.iter();
                let pairs = pairs.map(|(key, value)| (key.clone(), self.put(reader, value)));
                Value::Map(pairs.collect())
            }
        };
        Node {
            mark: node.mark,
            value,
        }
    }

    /// A text with values put into it; what stands for nothing is left out.
    pub(crate) fn filled(&self, text: &str) -> String {
        let parts = parts(text).into_iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Parameter(name) => self.of_name(name).map_or("", |(_, value, _)| value),
        });
        parts.collect()
    }

    fn text(&self, reader: &mut Reader<'_>, mark: Mark, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                Part::Text(text) => written.push_str(text),
                Part::Parameter(name) => match self.of_name(name) {
                    Some((_, value, _)) => written.push_str(value),
                    None => {
                        let known: Vec<&str> =
                            self.values.iter().map(|(p, ..)| p.name.as_str()).collect();
                        let near = suggestions::nearest(name, known.into_iter());
                        let help = match near {
                            Some(near) => format!("did you mean `${{{near}}}`?"),
                            None => format!(
                                "declare it under `parameters`, or write `$${{{name}}}` for the \
                                 text itself"
                            ),
                        };
                        let message = format!("`${{{name}}}` is no parameter of this profile");
                        reader.error("unknown-parameter", mark, message, help);
                        return text.to_owned();
                    }
                },
            }
            if written.len() > MAX_TEXT_BYTES {
                let message = format!("with its values the text has over {MAX_TEXT_BYTES} bytes");
                reader.error("too-long", mark, message, None);
                break;
            }
        }
        written
    }

    /// Whether a text names a parameter that nobody set.
    pub(crate) fn is_by_default(&self, text: &str) -> bool {
        parts(text).into_iter().any(|part| match part {
            Part::Parameter(name) => self.of_name(name).is_some_and(|(.., set)| !set),
            Part::Text(_) => false,
        })
    }
}

enum Part<'t> {
    Text(&'t str),
    Parameter(&'t str),
}

/// The parts of a text: `${NAME}` is a parameter, `$${` the text `${`.
fn parts(text: &str) -> Vec<Part<'_>> {
    const OPEN: &str = "${";
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('$') {
            parts.extend([Part::Text(before), Part::Text(OPEN)]);
            rest = after;
        } else if let Some((name, after)) = after.split_once('}') {
            parts.extend([Part::Text(before), Part::Parameter(name)]);
            rest = after;
        } else {
            break;
        }
    }
    parts.push(Part::Text(rest));
    parts
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn shown(text: &str) -> String {
        parts(text)
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => text.to_owned(),
                Part::Parameter(name) => format!("<{name}>"),
            })
            .collect()
    }

    #[rstest]
    #[case("", "")]
    #[case("plain", "plain")]
    #[case("${cpu}", "<cpu>")]
    #[case("arch:${cpu}", "arch:<cpu>")]
    #[case("${a}${b}", "<a><b>")]
    #[case("${a}-${b}.", "<a>-<b>.")]
    #[case("$${a}", "${a}")]
    #[case("x$${a}y${b}", "x${a}y<b>")]
    #[case("$PATH:${dir}", "$PATH:<dir>")]
    #[case("${open", "${open")]
    #[case("$", "$")]
    #[case("a$", "a$")]
    fn a_parameter_is_written_with_a_dollar_and_braces(#[case] text: &str, #[case] parts: &str) {
        assert_eq!(shown(text), parts);
    }
}
