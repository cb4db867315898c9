//! Changes to inputs: of bits and bytes, of runs of them, of words, and of two inputs with one
//! another. The same seed makes the same changes everywhere.

/// Numbers that look random: SplitMix64.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

const BYTES: &[u8] = b"\0\t\n\r \"'#$%&()*+,-./0189:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xc3\xff";
const TEXTS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "9223372036854775808",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "\\u0000",
    "\\ud800",
    "{}",
    "[]",
    "\"\"",
    "..",
    "//",
    "%00",
    "${x}",
    "$${",
    "---\n",
    "&a ",
    "*a",
    "<<: ",
    "!!",
    "|\n",
    ">\n",
];

/// `base` with one to six changes.
pub(crate) fn mutated(
    base: &[u8],
    other: &[u8],
    words: &[&str],
    most: usize,
    numbers: &mut Numbers,
) -> Vec<u8> {
    let mut input = base.to_vec();
    for _ in 0..=numbers.below(6) {
        change(&mut input, other, words, numbers);
        input.truncate(most);
    }
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], words: &[&str], numbers: &mut Numbers) {
    let at = numbers.below(input.len() + 1);
    let run = |numbers: &mut Numbers, length: usize| {
        let most = if numbers.below(4) == 0 {
            length
        } else {
            length.min(16)
        };
        numbers.below(most + 1)
    };
    match numbers.below(11) {
        0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
        1 if at < input.len() => input[at] = BYTES[numbers.below(BYTES.len())],
        2 => {
            let length = run(numbers, input.len() - at);
            input.drain(at..at + length);
        }
        3 => {
            let length = run(numbers, input.len() - at);
            let copy = input[at..at + length].to_vec();
            let times = 1 + if numbers.below(8) == 0 {
                numbers.below(64)
            } else {
                0
            };
            let to = numbers.below(input.len() + 1);
            input.splice(to..to, copy.repeat(times));
        }
        4 | 5 if !words.is_empty() => {
            let word = words[numbers.below(words.len())].as_bytes();
            input.splice(at..at, word.iter().copied());
        }
        6 => {
            let text = TEXTS[numbers.below(TEXTS.len())].as_bytes();
            input.splice(at..at, text.iter().copied());
        }
        7 => {
            let from = numbers.below(other.len() + 1);
            let length = run(numbers, other.len() - from);
            input.splice(at..at, other[from..from + length].iter().copied());
        }
        8 => {
            // The head of one, the tail of the other.
            let from = numbers.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => replace_word(input, at, other, words, numbers),
    }
}

/// Another word in place of the one that stands there.
fn replace_word(
    input: &mut Vec<u8>,
    at: usize,
    other: &[u8],
    words: &[&str],
    numbers: &mut Numbers,
) {
    let word = word_at(input, at);
    let new = match numbers.below(3) {
        0 if !words.is_empty() => words[numbers.below(words.len())].as_bytes().to_vec(),
        1 => TEXTS[numbers.below(TEXTS.len())].as_bytes().to_vec(),
        _ => {
            let found = word_at(other, numbers.below(other.len() + 1));
            other[found].to_vec()
        }
    };
    input.splice(word, new);
}

fn word_at(text: &[u8], at: usize) -> std::ops::Range<usize> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let before = text[..at]
        .iter()
        .rev()
        .take_while(|byte| part(byte))
        .count();
    let after = text[at..].iter().take_while(|byte| part(byte)).count();
    at - before..at + after
}
