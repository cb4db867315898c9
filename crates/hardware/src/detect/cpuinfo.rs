//! `/proc/cpuinfo` as the kernel writes it: one block of `key : value` lines for each
//! logical processor. It reads every block, because cores may differ.

use std::collections::{BTreeMap, BTreeSet};

use super::cpuid::CpuidFacts;

/// What tells a target; everything else is dropped.
const KEYS: &[&str] = &[
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU part",
    "Features",
    "cpu",
    "isa",
    "uarch",
];

/// The text, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpuinfo {
    blocks: Vec<BTreeMap<String, String>>,
}

impl Cpuinfo {
    /// Reads any text; lines without a colon separate processors.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut blocks: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
        for line in text.lines() {
            match (line.split_once(':'), blocks.last_mut()) {
                (Some((key, value)), Some(block)) => {
                    block.insert(key.trim().to_owned(), value.trim().to_owned());
                }
                (None, Some(block)) if !block.is_empty() => blocks.push(BTreeMap::new()),
                _ => {}
            }
        }
        // Hundreds of equal processors are one kind; their numbers and clocks do not count.
        let mut kinds: Vec<BTreeMap<String, String>> = Vec::new();
        for mut block in blocks {
            block.retain(|key, _| KEYS.contains(&key.as_str()));
            if !block.is_empty() && !kinds.contains(&block) {
                kinds.push(block);
            }
        }
        Self { blocks: kinds }
    }

    /// The first value of `key` in any block.
    #[must_use]
    pub fn first(&self, key: &str) -> Option<&str> {
        self.blocks
            .iter()
            .find_map(|block| block.get(key))
            .map(String::as_str)
    }

    /// The different blocks that have `key`: the kinds of processor.
    pub(crate) fn kinds(&self, key: &str) -> Vec<&BTreeMap<String, String>> {
        self.blocks
            .iter()
            .filter(|block| block.contains_key(key))
            .collect()
    }

    /// The words of `key` that every processor has.
    pub(crate) fn common(&self, key: &str) -> BTreeSet<String> {
        let words = |block: &BTreeMap<String, String>| -> BTreeSet<String> {
            let text = block.get(key).map(String::as_str).unwrap_or_default();
            text.split_ascii_whitespace().map(str::to_owned).collect()
        };
        let mut kinds = self.kinds(key).into_iter();
        let first = kinds.next().map(words).unwrap_or_default();
        kinds.fold(first, |common, block| &common & &words(block))
    }

    /// The same without the flags that CPUID denies. A text about other processors than the one
    /// that runs this (an emulator shows the host's) is ignored: then only CPUID counts.
    #[must_use]
    pub fn confirmed_by(mut self, cpuid: &CpuidFacts) -> Self {
        let (family, model) = (cpuid.family.to_string(), cpuid.model.to_string());
        let numbers = [
            ("vendor_id", &cpuid.vendor),
            ("cpu family", &family),
            ("model", &model),
        ];
        let is_about_it = |block: &BTreeMap<String, String>| {
            let mut numbers = numbers.iter();
            numbers.all(|(key, number)| block.get(*key) == Some(*number))
        };
        if !self.blocks.iter().any(is_about_it) {
            return Self::parse(&cpuid.as_cpuinfo());
        }
        for flags in self.blocks.iter_mut().filter_map(|b| b.get_mut("flags")) {
            let shown: Vec<&str> = flags
                .split_ascii_whitespace()
                .filter(|flag| !cpuid.clear.contains(*flag))
                .collect();
            *flags = shown.join(" ");
        }
        self
    }

    /// Whether a Power machine writes such a text; nothing in it tells the byte order.
    #[must_use]
    pub fn is_power(&self) -> bool {
        self.first("cpu").is_some_and(|cpu| cpu.contains("POWER"))
    }

    /// The machine (`uname -m`) that writes such a text, as far as it shows. Power does not
    /// show its byte order, so it is none.
    #[must_use]
    pub fn machine(&self) -> Option<&'static str> {
        let has = |key| self.first(key).is_some();
        if has("flags") && has("vendor_id") {
            return Some(if self.common("flags").contains("lm") {
                "x86_64"
            } else {
                "i686"
            });
        }
        if let Some(architecture) = self.first("CPU architecture") {
            let old = architecture.parse::<u32>().is_ok_and(|version| version < 8);
            return Some(if old { "arm" } else { "aarch64" });
        }
        match self.first("isa") {
            Some(isa) if isa.starts_with("rv64") => Some("riscv64"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_processor_has_is_common() {
        let info = Cpuinfo::parse(
            "processor : 0\nflags : a b c\n\nprocessor : 1\nflags : b c d\n\nisa : x\n",
        );
        assert_eq!(info.common("flags"), ["b", "c"].map(str::to_owned).into());
        assert_eq!(info.kinds("flags").len(), 2);
        assert_eq!(info.first("isa"), Some("x"));
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "\n\n", ":", "::::\n", "no colon", "a:b\nc"] {
            let info = Cpuinfo::parse(text);
            assert!(info.common("flags").is_empty());
            assert_eq!(info.machine(), None);
        }
    }
}
