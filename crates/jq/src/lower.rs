//! Translates the parser's syntax tree to ours, and is the allow list: syntax without a counterpart
//! here is refused, so nothing that a later version of the parser accepts gets in by itself.

pub(crate) mod call;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::{self, Opt};
use serde_json::Value;

use crate::JqError;
use crate::expr::{Expr, Part, Piece, Step};
use crate::number;
use crate::source::{MAX_DEPTH, offset_of};

pub(crate) fn lower(source: &str, term: &Term<&str>) -> Result<Expr, JqError> {
    Lower {
        source,
        variables: Vec::new(),
        depth: 0,
    }
    .term(term)
}

pub(crate) struct Lower<'s> {
    source: &'s str,
    /// Names bound where we are, outermost first.
    variables: Vec<&'s str>,
    /// Terms around where we are.
    depth: usize,
}

const WRITE_SELECTION: &str = "select with paths such as .manifests[].platform.features";

impl<'s> Lower<'s> {
    pub(crate) fn term(&mut self, term: &Term<&'s str>) -> Result<Expr, JqError> {
        if self.depth >= MAX_DEPTH {
            return Err(JqError::TooDeep);
        }
        self.depth += 1;
        let expr = self.any_term(term);
        self.depth -= 1;
        expr
    }

    fn any_term(&mut self, term: &Term<&'s str>) -> Result<Expr, JqError> {
        Ok(match term {
            Term::Id => Expr::Identity,
            Term::Num(text) => Expr::Literal(number::literal(text).ok_or_else(|| {
                self.refuse("a number this large", Some(text), "write a smaller number")
            })?),
            Term::Str(None, parts) => self.text(parts)?,
            Term::Str(Some(format), _) => {
                return Err(self.refuse(
                    &format!("the format {format}"),
                    Some(format),
                    "write the text without it",
                ));
            }
            Term::Arr(None) => Expr::Literal(Value::Array(Vec::new())),
            Term::Arr(Some(inner)) => Expr::Collect(self.boxed(inner)?),
            Term::Obj(entries) => self.object(entries)?,
            Term::Neg(inner) => Expr::Negate(self.boxed(inner)?),
            Term::BinOp(left, op, right) => self.operation(left, op, right)?,
            Term::TryCatch(body, handler) => {
                let handler = handler.as_ref().map(|h| self.boxed(h)).transpose()?;
                Expr::Try(self.boxed(body)?, handler)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches
                    .iter()
                    .map(|(condition, then)| Ok((self.term(condition)?, self.term(then)?)))
                    .collect::<Result<_, JqError>>()?;
                Expr::If(
                    branches,
                    otherwise.as_ref().map(|e| self.boxed(e)).transpose()?,
                )
            }
            Term::Call(name, arguments) => self.call(name, arguments)?,
            Term::Var(name) => self.variable(name)?,
            Term::Path(base, path::Path(steps)) => {
                let base = self.boxed(base)?;
                let steps = steps.iter().map(|step| self.step(step));
                Expr::Path(base, steps.collect::<Result<_, _>>()?)
            }
            Term::Recurse => {
                return Err(self.refuse("'..' (everything, at any depth)", None, WRITE_SELECTION));
            }
            Term::Fold(name, ..) => {
                let advice = "use map, any, all, add or select";
                return Err(self.refuse(&format!("'{name}'"), Some(name), advice));
            }
            Term::Label(name, _) | Term::Break(name) => {
                let advice = "use first or select";
                return Err(self.refuse("a label", Some(name), advice));
            }
            Term::Def(definitions, _) => {
                let name = definitions.first().map(|d| d.name);
                return Err(self.refuse("'def'", name, "write the definition where it is used"));
            }
        })
    }

    pub(crate) fn boxed(&mut self, term: &Term<&'s str>) -> Result<Box<Expr>, JqError> {
        self.term(term).map(Box::new)
    }

    /// The error that `what`, found at `part` of the source, is not allowed.
    pub(crate) fn refuse(&self, what: &str, part: Option<&str>, advice: &str) -> JqError {
        JqError::NotAllowed {
            what: what.to_owned(),
            offset: part.map(|part| offset_of(self.source, part)),
            advice: advice.to_owned(),
        }
    }

    fn variable(&self, name: &str) -> Result<Expr, JqError> {
        if let Some(distance) = self.variables.iter().rev().position(|bound| *bound == name) {
            return Ok(Expr::Variable(distance));
        }
        if matches!(name, "$ENV" | "$__loc__" | "$__prog_args") {
            return Err(self.refuse(
                &format!("the variable {name}"),
                Some(name),
                "a program sees only the document that it selects from",
            ));
        }
        Err(JqError::Unbound {
            name: name.to_owned(),
            offset: offset_of(self.source, name),
        })
    }

    fn text(&mut self, parts: &[StrPart<&'s str, Term<&'s str>>]) -> Result<Expr, JqError> {
        let mut pieces: Vec<Piece> = Vec::new();
        for part in parts {
            let literal = match part {
                StrPart::Str(text) => (*text).to_owned(),
                StrPart::Char(c) => c.to_string(),
                StrPart::Term(term) => {
                    pieces.push(Piece::Inserted(self.term(term)?));
                    continue;
                }
            };
            match pieces.last_mut() {
                Some(Piece::Literal(before)) => before.push_str(&literal),
                _ => pieces.push(Piece::Literal(literal)),
            }
        }
        Ok(match pieces.as_mut_slice() {
            [] => Expr::Literal(Value::String(String::new())),
            [Piece::Literal(text)] => Expr::Literal(Value::String(std::mem::take(text))),
            _ => Expr::Text(pieces),
        })
    }

    fn object(
        &mut self,
        entries: &[(Term<&'s str>, Option<Term<&'s str>>)],
    ) -> Result<Expr, JqError> {
        let entries = entries.iter().map(|(key, value)| match (key, value) {
            (key, Some(value)) => Ok((self.term(key)?, self.term(value)?)),
            // `{$x}` is `{x: $x}`.
            (Term::Var(name), None) => {
                let key = name.strip_prefix('$').unwrap_or(name);
                Ok((Expr::Literal(key.into()), self.variable(name)?))
            }
            // `{a}` is `{a: .a}`.
            (key, None) => {
                let step = Step {
                    part: Part::Index(self.term(key)?),
                    optional: false,
                };
                let value = Expr::Path(Box::new(Expr::Identity), vec![step]);
                Ok((self.term(key)?, value))
            }
        });
        Ok(Expr::Object(entries.collect::<Result<_, JqError>>()?))
    }

    fn step(&mut self, step: &(path::Part<Term<&'s str>>, Opt)) -> Result<Step, JqError> {
        let (part, opt) = step;
        let part = match part {
            path::Part::Index(index) => Part::Index(self.term(index)?),
            path::Part::Range(None, None) => Part::Each,
            path::Part::Range(from, upto) => Part::Slice(
                from.as_ref().map(|t| self.term(t)).transpose()?,
                upto.as_ref().map(|t| self.term(t)).transpose()?,
            ),
        };
        Ok(Step {
            part,
            optional: matches!(opt, Opt::Optional),
        })
    }

    fn operation(
        &mut self,
        left: &Term<&'s str>,
        op: &BinaryOp<&'s str>,
        right: &Term<&'s str>,
    ) -> Result<Expr, JqError> {
        if let BinaryOp::Pipe(Some(pattern)) = op {
            let Pattern::Var(name) = pattern else {
                let advice = "bind one variable: 'VALUE as $x | …'";
                return Err(self.refuse("taking a value apart in 'as'", None, advice));
            };
            let left = self.boxed(left)?;
            self.variables.push(name);
            let right = self.boxed(right);
            self.variables.pop();
            return Ok(Expr::Bind(left, right?));
        }
        if matches!(
            op,
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt
        ) {
            let what = "assignment ('=', '|=', '+=' and the like)";
            return Err(self.refuse(what, None, "compare with '=='; a program only selects"));
        }
        let (left, right) = (self.boxed(left)?, self.boxed(right)?);
        Ok(match op {
            BinaryOp::Comma => Expr::Comma(left, right),
            BinaryOp::Alt => Expr::Alternative(left, right),
            BinaryOp::Or => Expr::Or(left, right),
            BinaryOp::And => Expr::And(left, right),
            BinaryOp::Math(math) => Expr::Math(*math, left, right),
            BinaryOp::Cmp(cmp) => Expr::Compare(*cmp, left, right),
            // Everything else was answered above.
            _ => Expr::Pipe(left, right),
        })
    }
}
