//! Machines as hypervisors show them, with flags hidden.

use super::*;

/// What hypervisors hide together, by what they hide it for.
const MASKS: &[(&str, &[&str])] = &[
    (
        "what a cloud hides of a Zen 5",
        &["rdseed", "pku", "flush_l1d", "movdiri", "movdir64b"],
    ),
    ("protection keys", &["pku", "ospke"]),
    ("pointer authentication", &["paca", "pacg"]),
    (
        "cache control",
        &[
            "clflushopt",
            "clwb",
            "clzero",
            "cldemote",
            "dcpop",
            "dcpodp",
        ],
    ),
    (
        "state that is not migrated",
        &["xsaveopt", "xsavec", "amx_tile", "amx_int8", "amx_bf16"],
    ),
    (
        "AVX-512",
        &["avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"],
    ),
    ("AVX2", &["avx2", "fma"]),
];

/// The text without some flags.
fn hide(text: &str, flags: &[&str]) -> String {
    let without = |line: &str| {
        let words = line.split(' ').filter(|word| !flags.contains(word));
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    text.lines().map(without).collect()
}

#[test]
fn machines_as_hypervisors_show_them_differ_from_archspec_as_listed() {
    let Some(answers) = ask(&[json!({"ask": "corpus"})]) else {
        return;
    };
    let graph = Microarchitectures::builtin();
    let mut asked = Vec::new();
    for (file, text) in answers[0].as_object().unwrap() {
        if !file.starts_with("linux-") {
            continue;
        }
        let target = graph.find(file.rsplit('-').next().unwrap()).unwrap();
        let machine = graph.family(&target).to_string();
        for (mask, flags) in MASKS {
            let whole = text.as_str().unwrap();
            let masked = hide(whole, flags);
            if masked.trim_end() != whole.trim_end() {
                asked.push((file.clone(), *mask, machine.clone(), masked));
            }
        }
    }
    let questions: Vec<Value> = asked
        .iter()
        .map(|(_, _, machine, text)| json!({"ask": "detect", "machine": machine, "cpuinfo": text}))
        .collect();
    let theirs = ask(&questions).unwrap();
    let mut differences = Vec::new();
    for ((file, mask, machine, text), theirs) in asked.iter().zip(theirs) {
        let found = cpu(&Cpuinfo::parse(text), machine, &graph).unwrap();
        assert_eq!(found.by_flags.as_str(), theirs, "{file} without {mask}");
        if found.target.as_str() != theirs {
            assert!(!found.masked.is_empty());
            differences.push(format!("{file} without {mask}: {found}"));
        }
    }
    eprintln!("{} machines with flags hidden compared", asked.len());
    // Every difference, with its reasons.
    insta::assert_snapshot!("differences_with_flags_hidden", differences.join("\n"));
}

/// Machines of which MetaHub says otherwise than archspec, and why as the documentation puts it.
/// Hidden flags are compared one by one above.
#[test]
fn every_other_difference_from_archspec_is_documented() {
    let graph = Microarchitectures::builtin();
    let x86 = |target: &str| {
        let known = graph.get(&graph.find(target).unwrap()).unwrap();
        let flags: Vec<&str> = known.features().iter().map(String::as_str).collect();
        let (vendor, flags) = (known.vendor(), flags.join(" "));
        format!("processor : 0\nvendor_id : {vendor}\nflags : {flags}\n\n")
    };
    // Under an emulator: the host's text, and a processor that has nothing of it.
    let emulated =
        Cpuinfo::parse(&x86("zen5")).confirmed_by(&read_cpuid(|_, _| Registers::default()));
    let ours = |info: &Cpuinfo, machine: &str| {
        cpu(info, machine, &graph).map(|found| found.target.to_string())
    };
    let mixed = x86("icelake") + &x86("cascadelake");
    let differences = [
        (
            "- **Several kinds of cores.**",
            ("x86_64", mixed.clone()),
            "icelake",
            ours(&Cpuinfo::parse(&mixed), "x86_64"),
            Some("cascadelake"),
        ),
        (
            "- **Emulators.**",
            ("x86_64", x86("zen5")),
            "zen5",
            ours(&emulated, "x86_64"),
            Some("x86_64"),
        ),
        (
            "- **RISC-V extensions.**",
            (
                "riscv64",
                "isa : rv64imafdc\nmodel name : Spacemit(R) X60\n".to_owned(),
            ),
            "x60",
            ours(
                &Cpuinfo::parse("isa : rv64imafdc\nmodel name : Spacemit(R) X60\n"),
                "riscv64",
            ),
            Some("riscv64"),
        ),
        (
            "- **Unknown architectures.**",
            ("s390x", String::new()),
            "s390x",
            ours(&Cpuinfo::parse(""), "s390x"),
            None,
        ),
    ];
    let page = include_str!("../../../../docs/hardware.md");
    for (documented, ..) in &differences {
        assert!(page.contains(documented), "{documented}");
    }
    for documented in [
        "- **Hidden flags.**",
        "- **Newer models.**",
        "- **Fallbacks.**",
        "- **macOS.**",
    ] {
        assert!(page.contains(documented), "{documented}");
    }
    let listed = page.lines().filter(|line| line.starts_with("- **")).count();
    assert_eq!(listed, differences.len() + 4, "each has its proof here");
    let questions: Vec<Value> = differences
        .iter()
        .map(|(_, (machine, text), ..)| json!({"ask": "detect", "machine": machine, "cpuinfo": text}))
        .collect();
    for (_, _, _, ours, expected) in &differences {
        assert_eq!(ours.as_deref(), *expected);
    }
    let Some(answers) = ask(&questions) else {
        return;
    };
    for ((name, _, theirs, ..), answer) in differences.iter().zip(answers) {
        assert_eq!(answer, *theirs, "{name}");
    }
}

#[test]
fn a_corpus_machine_with_a_flag_hidden_is_never_said_to_run_what_needs_it() {
    let Some(answers) = ask(&[json!({"ask": "corpus"})]) else {
        return;
    };
    let graph = Microarchitectures::builtin();
    let (mut hidden, mut forgiven) = (0, 0);
    for (file, text) in answers[0].as_object().unwrap() {
        if !file.starts_with("linux-") {
            continue;
        }
        let text = text.as_str().unwrap();
        let target = graph.find(file.rsplit('-').next().unwrap()).unwrap();
        let family = graph.family(&target);
        for flag in graph.get(&target).unwrap().features() {
            let words = |line: &str| {
                let kept: Vec<&str> = line.split(' ').filter(|word| word != flag).collect();
                kept.join(" ")
            };
            let text: String = text.lines().map(|line| words(line) + "\n").collect();
            let found = cpu(&Cpuinfo::parse(&text), family.as_str(), &graph).unwrap();
            hidden += 1;
            let named = found.masked.iter().any(|masked| masked.flag == *flag);
            let needed = graph.get(&found.target).unwrap().features().contains(flag);
            // sse3 stands in no file; ssse3 implies it.
            assert!(
                !needed || named || flag == "sse3",
                "{file} without {flag}: {found}"
            );
            forgiven += usize::from(named);
            if named && found.masked.len() == 1 {
                assert_eq!(found.target, target, "{file} without {flag}: {found}");
            }
        }
    }
    eprintln!("{hidden} flags hidden one by one, {forgiven} forgiven");
}
