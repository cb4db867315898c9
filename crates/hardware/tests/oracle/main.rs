//! Python's archspec as the oracle: names, ancestry, and detection on thousands of random
//! sets of flags and on its corpus of real machines. Differences are listed here with
//! their reasons; any other is a failure.
//!
//! Needs a `python3` (or the one that `METAHUB_ORACLE_PYTHON` names) that can import
//! archspec 0.2.7 or later. Without it the test says so and passes, unless
//! `METAHUB_REQUIRE_ALL=1`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests may assert by panicking and say why they skip"
)]

mod hidden;

use std::io::Write;
use std::process::{Command, Stdio};

use metahub_hardware::Microarchitectures;
use metahub_hardware::detect::{Cpuinfo, Registers, cpu, read_cpuid};
use serde_json::{Value, json};

/// Answers one question a line: JSON in, JSON out.
const ORACLE: &str = include_str!("../oracle.py");

/// The oracle's answers, or nothing when there is no oracle here.
fn ask(questions: &[Value]) -> Option<Vec<Value>> {
    let python = std::env::var("METAHUB_ORACLE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let present = Command::new(&python)
        .args(["-c", "import archspec.cpu"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !present {
        let required = std::env::var("METAHUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "METAHUB_REQUIRE_ALL=1, but {python} cannot import archspec"
        );
        eprintln!("SKIPPED: {python} cannot import archspec; nothing was compared with it");
        return None;
    }
    let mut child = Command::new(&python)
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = questions
        .iter()
        .map(|question| format!("{question}\n"))
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the oracle failed");
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len());
    Some(answers)
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_target_has_archspecs_ancestors_flags_family_and_level() {
    let Some(answers) = ask(&[json!({"ask": "targets"})]) else {
        return;
    };
    let graph = Microarchitectures::builtin();
    let theirs = answers[0].as_object().unwrap();
    assert!(theirs.len() >= 80);
    let archspecs = graph.iter().filter(|entry| !entry.is_by_model_only());
    assert_eq!(archspecs.count(), theirs.len());
    for (name, facts) in theirs {
        let target = graph.find(name).unwrap();
        let entry = graph.get(&target).unwrap();
        let mut ancestors: Vec<String> = graph
            .ancestors(&target)
            .iter()
            .map(ToString::to_string)
            .collect();
        ancestors.sort();
        assert_eq!(ancestors, strings(&facts["ancestors"]), "{name}");
        let flags: Vec<String> = entry.features().iter().cloned().collect();
        assert_eq!(flags, strings(&facts["features"]), "{name}");
        assert_eq!(entry.vendor(), facts["vendor"], "{name}");
        assert_eq!(graph.family(&target).as_str(), facts["family"], "{name}");
        assert_eq!(graph.generic(&target).as_str(), facts["generic"], "{name}");
        // Every pair: who is at least whom.
        let above = strings(&facts["ancestors"]);
        for other in theirs.keys() {
            let runs = other == name || above.contains(other);
            assert_eq!(
                graph.runs(&target, &graph.find(other).unwrap()),
                runs,
                "{name} {other}"
            );
        }
    }
}

/// A small generator, so that the same machines are asked about every time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below.max(1)
    }
}

/// A machine that is some target, with some of its flags hidden and some of others shown.
fn random_machine(random: &mut Random) -> (String, String) {
    let graph = Microarchitectures::builtin();
    let families = ["x86_64", "aarch64", "ppc64le", "ppc64", "riscv64"];
    let family = families[[0, 0, 0, 1, 1, 2, 3, 4][random.next(8)]];
    let members: Vec<_> = graph
        .iter()
        .filter(|entry| graph.family(entry.target()).as_str() == family)
        .filter(|entry| !entry.is_by_model_only())
        .collect();
    let base = members[random.next(members.len())];
    let other = members[random.next(members.len())];
    let hide = [0, 0, 1, 1, 2, 5][random.next(6)];
    let mut flags: Vec<String> = base.features().iter().cloned().collect();
    for _ in 0..hide {
        if !flags.is_empty() {
            flags.remove(random.next(flags.len()));
        }
    }
    if random.next(3) == 0 {
        flags.extend(other.features().iter().cloned());
    }
    let vendor = if random.next(8) == 0 {
        other.vendor()
    } else {
        base.vendor()
    };
    let text = match family {
        "x86_64" => format!("vendor_id : {vendor}\nflags : {}\n", flags.join(" ")),
        "aarch64" => {
            let codes = [
                ("ARM", "0x41"),
                ("Cavium", "0x43"),
                ("Fujitsu", "0x46"),
                ("Nvidia", "0x4e"),
                ("Apple", "0x61"),
                ("Ampere", "0xc0"),
                ("generic", "0x99"),
            ];
            let code = codes.iter().find(|(name, _)| *name == vendor).unwrap().1;
            let part = match random.next(4) {
                0 => String::new(),
                1 => "CPU part : 0xfff\n".to_owned(),
                _ => format!("CPU part : {}\n", base.cpu_part().unwrap_or("0x000")),
            };
            format!(
                "Features : {}\nCPU implementer : {code}\n{part}",
                flags.join(" ")
            )
        }
        "riscv64" => match random.next(3) {
            0 => "isa : rv64imafdc\n".to_owned(),
            1 => "isa : rv64imafdc\nuarch : sifive,u74-mc\n".to_owned(),
            _ => "isa : rv64imafdcv\nmodel name : Spacemit(R) X60\n".to_owned(),
        },
        _ => format!(
            "cpu : POWER{} (raw), altivec supported\n",
            5 + random.next(8)
        ),
    };
    (family.to_owned(), text)
}

#[test]
fn random_machines_are_detected_as_archspec_detects_them() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let machines: Vec<(String, String)> =
        (0..10_000).map(|_| random_machine(&mut random)).collect();
    let questions: Vec<Value> = machines
        .iter()
        .map(|(machine, text)| json!({"ask": "detect", "machine": machine, "cpuinfo": text}))
        .collect();
    let Some(answers) = ask(&questions) else {
        return;
    };
    let graph = Microarchitectures::builtin();
    let mut masked = 0;
    for ((machine, text), answer) in machines.iter().zip(answers) {
        let found = cpu(&Cpuinfo::parse(text), machine, &graph).unwrap();
        assert_eq!(found.by_flags.as_str(), answer, "{machine}\n{text}");
        // More is said only where all that is missing is what no compiler emits.
        if found.target != found.by_flags {
            masked += 1;
            assert!(!found.masked.is_empty(), "{text}");
            assert!(
                graph.descends_from(&found.target, &found.by_flags),
                "{text}"
            );
        }
    }
    eprintln!("10000 machines compared; in {masked}, hidden flags were forgiven");
}

/// A machine of the corpus by its file name, what archspec says of it, and why we say
/// something else.
const CORPUS_DIFFERENCES: &[(&str, &str, &str)] = &[];

#[test]
fn archspecs_corpus_of_real_machines_is_detected_as_named() {
    let Some(answers) = ask(&[json!({"ask": "corpus"})]) else {
        return;
    };
    let graph = Microarchitectures::builtin();
    let (mut compared, mut passed_over) = (0, Vec::new());
    for (file, text) in answers[0].as_object().unwrap() {
        let text = text.as_str().unwrap();
        let expected = file.rsplit('-').next().unwrap();
        let target = graph.find(expected).unwrap();
        let found = match file.split('-').next().unwrap() {
            "linux" | "bgq" => {
                let family = graph.family(&target);
                cpu(&Cpuinfo::parse(text), family.as_str(), &graph).unwrap()
            }
            "windows" => {
                let facts = read_cpuid(registers(text));
                cpu(&Cpuinfo::parse(&facts.as_cpuinfo()), "x86_64", &graph).unwrap()
            }
            // macOS runs no container: its kernel is not read.
            "darwin" => {
                passed_over.push(file);
                continue;
            }
            _ => panic!("{file} is of a kind that this test does not know"),
        };
        compared += 1;
        assert_eq!(found.by_flags.as_str(), expected, "{file}");
        let ours = CORPUS_DIFFERENCES.iter().find(|(name, ..)| name == file);
        let ours = ours.map_or(expected, |(_, target, _)| target);
        assert_eq!(found.target.as_str(), ours, "{file}: {found}");
    }
    assert!(compared >= 45, "only {compared} machines were compared");
    eprintln!(
        "{compared} machines compared, {} of macOS passed over",
        passed_over.len()
    );
}

/// `leaf, subleaf, eax, ebx, ecx, edx` a line, in decimal.
fn registers(text: &str) -> impl Fn(u32, u32) -> Registers {
    let rows: Vec<Vec<u32>> = text
        .lines()
        .map(|line| {
            line.split(", ")
                .filter_map(|word| word.trim().parse().ok())
                .collect()
        })
        .collect();
    move |leaf, subleaf| {
        rows.iter()
            .find(|row| row.len() == 6 && row[0] == leaf && row[1] == subleaf)
            .map(|row| Registers {
                eax: row[2],
                ebx: row[3],
                ecx: row[4],
                edx: row[5],
            })
            .unwrap_or_default()
    }
}
