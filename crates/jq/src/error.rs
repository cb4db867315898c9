//! Why a program is refused, or why it stopped.

/// Why a jq program is refused, or why it stopped before its end. The text says what was found,
/// where (in bytes from the start), and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JqError {
    /// The program is longer than [`MAX_PROGRAM_BYTES`](crate::MAX_PROGRAM_BYTES).
    #[error("this jq program has {0} bytes; at most {max} are allowed", max = crate::MAX_PROGRAM_BYTES)]
    TooLong(usize),
    /// The program has more brackets than [`MAX_BRACKETS`](crate::MAX_BRACKETS).
    #[error(
        "this jq program opens more than {max} brackets, at byte {offset}: write it with fewer",
        max = crate::MAX_BRACKETS
    )]
    TooManyBrackets {
        /// The position of the first bracket too many.
        offset: usize,
    },
    /// The program has more words and signs than [`MAX_WORDS`](crate::MAX_WORDS).
    #[error(
        "this jq program has {0} words and signs; at most {max} are allowed",
        max = crate::MAX_WORDS
    )]
    TooManyWords(usize),
    /// The program nests more operations than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error(
        "this jq program nests or chains more than {max} operations: write it with fewer, for \
         example IN(\"a\", \"b\") for many comparisons",
        max = crate::MAX_DEPTH
    )]
    TooDeep,
    /// The program is no jq.
    #[error("this is not jq: at byte {offset}, expected {expected}, found {found}")]
    Syntax {
        /// Where, in bytes from the start.
        offset: usize,
        /// What jq's grammar asks for there.
        expected: String,
        /// The text at that position.
        found: String,
    },
    /// The program is jq, with something that is not allowed here.
    #[error("{what} is not allowed in a selecting jq program{at}; {advice}", at = At(*.offset))]
    NotAllowed {
        /// What it is.
        what: String,
        /// Where, in bytes from the start, when that is known.
        offset: Option<usize>,
        /// What to write in its place.
        advice: String,
    },
    /// A variable that nothing binds.
    #[error("the variable {name} is not bound at byte {offset}: write 'VALUE as {name} | …'")]
    Unbound {
        /// The variable, with its `$`.
        name: String,
        /// Where, in bytes from the start.
        offset: usize,
    },
    /// A regular expression that is wrong or too large.
    #[error("the regular expression '{pattern}' cannot be used: {problem}")]
    Regex {
        /// The expression as written.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The program met a value that it cannot work on.
    #[error("this jq program failed: {0}")]
    Failed(String),
    /// The program ran longer than its budget.
    #[error(
        "this jq program was stopped: it does more work than is allowed ({steps} steps); select more directly"
    )]
    TooMuchWork {
        /// How many steps its budget had.
        steps: u64,
    },
    /// The program gave more outputs than [`MAX_OUTPUTS`](crate::MAX_OUTPUTS).
    #[error(
        "this jq program was stopped: it gives more than {max} outputs",
        max = crate::MAX_OUTPUTS
    )]
    TooManyOutputs,
}

struct At(Option<usize>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}
