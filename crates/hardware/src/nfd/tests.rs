use super::*;
use crate::{Feature, Mismatch, Provided, fit};
use rstest::rstest;
use serde_json::json;

/// The document of the specification's own example.
fn example() -> Value {
    json!({
        "version": "v1alpha1",
        "compatibilities": [{
            "description": "My image requirements",
            "tag": "preferred",
            "weight": 10,
            "rules": [
                {
                    "name": "kernel and cpu",
                    "matchFeatures": [
                        {
                            "feature": "kernel.loadedmodule",
                            "matchExpressions": {"vfio-pci": {"op": "Exists"}}
                        },
                        {
                            "feature": "cpu.model",
                            "matchExpressions": {
                                "vendor_id": {"op": "In", "value": ["Intel", "AMD"]}
                            }
                        }
                    ]
                },
                {
                    "name": "one of available nics",
                    "matchAny": [
                        {"matchFeatures": [{
                            "feature": "pci.device",
                            "matchExpressions": {
                                "vendor": {"op": "In", "value": ["0eee"]},
                                "class": {"op": "In", "value": ["0200"]}
                            }
                        }]},
                        {"matchFeatures": [{
                            "feature": "pci.device",
                            "matchExpressions": {
                                "vendor": {"op": "In", "value": ["15b3"]},
                                "class": {"op": "In", "value": ["0200"]}
                            }
                        }]}
                    ]
                }
            ]
        }]
    })
}

fn provided(machine: &str) -> Provided {
    Provided::new(machine.split_whitespace().map(|f| f.parse().unwrap()))
}

/// Why a machine is refused; nothing if it is not.
fn refusal(document: &Value, machine: &str) -> Option<String> {
    let feature = Feature::new("nfd", &document.to_string()).unwrap();
    assert!(feature.is_understood(), "{document}");
    let wanted = [feature];
    let machine = provided(machine);
    let found = fit(&wanted, &machine);
    (!found.fits()).then(|| found.to_string())
}

#[rstest]
#[case::all("arch:zen3 kernel.loadedmodule:vfio-pci fabric:roce", None)]
#[case::device_stated(
    "arch:icelake kernel.loadedmodule:vfio-pci pci.device:class=0200,vendor=0eee",
    None
)]
#[case::no_module(
    "arch:zen3 fabric:roce",
    Some("the rule \"kernel and cpu\" does not match: nothing is known of kernel.loadedmodule")
)]
#[case::other_module(
    "arch:zen3 fabric:roce kernel.loadedmodule:kvm",
    Some("kernel.loadedmodule vfio-pci Exists")
)]
#[case::other_vendor(
    "arch:a64fx fabric:roce kernel.loadedmodule:vfio-pci",
    Some("cpu.model vendor_id In [Intel, AMD]")
)]
#[case::no_vendor(
    "arch:x86_64_v3 fabric:roce kernel.loadedmodule:vfio-pci",
    Some("nothing is known of cpu.model")
)]
#[case::class_of_another_device(
    "arch:zen3 kernel.loadedmodule:vfio-pci pci.device:class=0200,vendor=8086 \
     pci.device:class=0300,vendor=15b3",
    Some("no pci.device has all that is asked for")
)]
fn the_example_is_held_against_a_machine(#[case] machine: &str, #[case] says: Option<&str>) {
    let refusal = refusal(&example(), machine);
    match says {
        None => assert_eq!(refusal, None),
        Some(says) => {
            let refusal = refusal.unwrap();
            assert!(refusal.contains(says), "{refusal}");
        }
    }
}

fn one(feature: &str, name: &str, expression: impl Into<Value>) -> Value {
    let expression: Value = expression.into();
    json!({"compatibilities": [{"rules": [{
        "name": "it",
        "matchFeatures": [{"feature": feature, "matchExpressions": {name: expression}}]
    }]}]})
}

const MACHINE: &str = "arch:zen3 kernel:5.14.0-427.el9.x86_64 smt:off kernel.config:NO_HZ=y \
     system.count:cores=64 system.list:a=1,b=2";

#[rstest]
#[case::in_list("kernel.config", "NO_HZ", json!({"op": "In", "value": ["m", "y"]}), true)]
#[case::not_in_list("kernel.config", "NO_HZ", json!({"op": "In", "value": ["m"]}), false)]
#[case::not_in("kernel.config", "NO_HZ", json!({"op": "NotIn", "value": ["m"]}), true)]
#[case::not_in_fails("kernel.config", "NO_HZ", json!({"op": "NotIn", "value": ["y"]}), false)]
#[case::not_in_of_what_is_absent("kernel.config", "X", json!({"op": "NotIn", "value": ["y"]}), false)]
#[case::regexp("kernel.version", "full", json!({"op": "InRegexp", "value": ["^4", "el[89]"]}), true)]
#[case::regexp_fails("kernel.version", "full", json!({"op": "InRegexp", "value": ["^el9"]}), false)]
#[case::exists("cpu.cpuid", "AVX2", json!({"op": "Exists"}), true)]
#[case::exists_by_another_name("cpu.cpuid", "SSE42", json!({"op": "Exists"}), true)]
#[case::exists_in_every_x86("cpu.cpuid", "SSE2", json!({"op": "Exists"}), true)]
#[case::exists_fails("cpu.cpuid", "AVX512F", json!({"op": "Exists"}), false)]
#[case::does_not_exist("cpu.cpuid", "AVX512F", json!({"op": "DoesNotExist"}), true)]
#[case::does_not_exist_fails("cpu.cpuid", "AVX2", json!({"op": "DoesNotExist"}), false)]
#[case::unknown_source("memory.nv", "x", json!({"op": "DoesNotExist"}), false)]
#[case::gt("system.count", "cores", json!({"op": "Gt", "value": ["63"]}), true)]
#[case::gt_fails("system.count", "cores", json!({"op": "Gt", "value": ["64"]}), false)]
#[case::ge("system.count", "cores", json!({"op": "Ge", "value": ["64"]}), true)]
#[case::lt("system.count", "cores", json!({"op": "Lt", "value": ["64"]}), false)]
#[case::le("system.count", "cores", json!({"op": "Le", "value": [64]}), true)]
#[case::gt_lt("system.count", "cores", json!({"op": "GtLt", "value": ["1", "64"]}), false)]
#[case::ge_le("system.count", "cores", json!({"op": "GeLe", "value": ["1", "64"]}), true)]
#[case::numbers_not_texts("kernel.version", "major", json!({"op": "Lt", "value": ["10"]}), true)]
#[case::a_text_is_no_number("kernel.version", "full", json!({"op": "Gt", "value": ["1"]}), false)]
#[case::version("kernel.version", "revision", json!({"op": "Ge", "value": ["0"], "type": "version"}), true)]
#[case::a_flag_has_no_value("cpu.cpuid", "AVX2", json!({"op": "In", "value": ["true"]}), false)]
#[case::is_false("cpu.topology", "hardware_multithreading", json!({"op": "IsFalse"}), true)]
#[case::is_true("cpu.topology", "hardware_multithreading", json!({"op": "IsTrue"}), false)]
#[case::no_operator("cpu.topology", "hardware_multithreading", json!({}), true)]
#[case::any_case("CPU.CpuID", "AVX2", json!({"op": "Exists"}), true)]
#[case::instance("system.list", "b", json!({"op": "In", "value": ["2"]}), true)]
fn every_operator_holds_as_it_should(
    #[case] feature: &str,
    #[case] name: &str,
    #[case] expression: Value,
    #[case] holds: bool,
) {
    let refusal = refusal(&one(feature, name, expression), MACHINE);
    assert_eq!(refusal.is_none(), holds, "{refusal:?}");
}

#[rstest]
#[case("5.14", true)]
#[case("5.14.1", false)]
#[case("5.4", true)]
#[case("6", false)]
#[case("5.14.0-427", true)]
#[case("5.14.1-rc1", false)]
fn versions_compare_number_by_number(#[case] least: &str, #[case] holds: bool) {
    let wanted = json!({"op": "Ge", "value": [least], "type": "version"});
    let refusal = refusal(
        &one("system.os", "version", wanted),
        "system.os:version=5.14.0-3.el9",
    );
    assert_eq!(refusal.is_none(), holds, "{refusal:?}");
}

#[rstest]
#[case(json!({"op": "InRegexp", "value": ["^AVX512"]}), "arch:zen4", true)]
#[case(json!({"op": "InRegexp", "value": ["^AVX512"]}), "arch:zen3", false)]
#[case(json!({"op": "In", "value": ["AVX2", "AVX"]}), "arch:zen3", true)]
#[case(json!({"op": "In", "value": ["SVE"]}), "arch:neoverse_v1", true)]
fn match_name_looks_at_names(
    #[case] expression: Value,
    #[case] machine: &str,
    #[case] holds: bool,
) {
    let document = json!({"compatibilities": [{"rules": [{
        "matchFeatures": [{"feature": "cpu.cpuid", "matchName": expression}]
    }]}]});
    assert_eq!(refusal(&document, machine).is_none(), holds);
}

#[test]
fn one_set_of_rules_that_matches_is_enough() {
    let set = |flag: &str| {
        json!({"rules": [{
            "name": flag,
            "matchFeatures": [{"feature": "cpu.cpuid", "matchExpressions": {flag: {"op": "Exists"}}}]
        }]})
    };
    let document = json!({"compatibilities": [set("AVX512F"), set("AVX2")]});
    assert_eq!(refusal(&document, "arch:zen3"), None);
    let why = refusal(&document, "arch:x86_64_v2").unwrap();
    assert!(why.contains("none of 2 sets"), "{why}");
    assert!(why.contains("AVX512F"), "{why}");
    assert_eq!(refusal(&json!({"compatibilities": []}), "arch:zen3"), None);
}

#[test]
fn a_later_rule_may_ask_what_an_earlier_one_gave() {
    let document = |value: &str| {
        json!({"compatibilities": [{"rules": [
            {
                "name": "first",
                "vars": {"level": "3"},
                "matchFeatures": [{
                    "feature": "cpu.cpuid", "matchExpressions": {"AVX2": {"op": "Exists"}}
                }]
            },
            {
                "name": "second",
                "matchFeatures": [{
                    "feature": "rule.matched",
                    "matchExpressions": {"level": {"op": "In", "value": [value]}}
                }]
            }
        ]}]})
    };
    assert_eq!(refusal(&document("3"), "arch:zen3"), None);
    assert!(refusal(&document("4"), "arch:zen3").is_some());
}

#[rstest]
#[case(json!({"version": "v2"}), "version \"v2\" is not known")]
#[case(json!({"compatibilities": {}}), "`compatibilities` is no list")]
#[case(one("cpu.model", "x", json!({"op": "Like"})), "there is no operator \"Like\"")]
#[case(one("cpu.model", "x", json!({"op": "Exists", "value": ["1"]})), "Exists takes no value")]
#[case(one("cpu.model", "x", json!({"op": "In"})), "In takes at least one value")]
#[case(one("cpu.model", "x", json!({"op": "Gt", "value": ["1", "2"]})), "Gt takes one value, not 2")]
#[case(one("cpu.model", "x", json!({"op": "Gt", "value": ["x"]})), "\"x\" is no whole number")]
#[case(one("cpu.model", "x", json!({"op": "Gt", "value": ["1.2.3.4"], "type": "version"})), "is no version")]
#[case(one("cpu.model", "x", json!({"op": "GtLt", "value": ["3", "2"]})), "must be less")]
#[case(one("cpu.model", "x", json!({"op": "InRegexp", "value": ["("]})), "no usable regular expression")]
#[case(one("cpu.model", "x", json!({"op": "InRegexp", "value": ["(a{1000}){1000}"]})), "no usable regular")]
#[case(one("cpu.model", "x", json!({"op": "In", "value": "x"})), "`value` is no list")]
#[case(one("cpu.model", "x", json!({"op": "Gt", "value": ["1"], "type": "float"})), "type \"float\"")]
#[case(one("cpu.model", "x", json!({"op": "Gt", "value": ["1"], "type": 3})), "`type` is no text")]
#[case(one("cpu.model", "x", json!({"op": "Exists", "not": true})), "the key \"not\" is not known")]
#[case(one("gpu.cuda", "x", json!({"op": "Exists"})), "the feature \"gpu.cuda\" is not known")]
#[case(one("cpu", "x", json!({"op": "Exists"})), "the feature \"cpu\" is not known")]
#[case(json!({"compatibilites": []}), "the key \"compatibilites\" is not known")]
#[case(json!({"compatibilities": [{"rule": []}]}), "the key \"rule\" is not known")]
#[case(json!({"compatibilities": [{"rules": [{"matchFeature": []}]}]}), "\"matchFeature\" is not")]
#[case(json!({"compatibilities": [{"rules": [{"matchAny": [{"matchAll": []}]}]}]}), "\"matchAll\"")]
#[case(
    json!({"compatibilities": [{"rules": [{"matchFeatures": [
        {"feature": "cpu.cpuid", "matchExpression": {}}
    ]}]}]}),
    "\"matchExpression\" is not"
)]
#[case(json!({"compatibilities": [{"rules": [{"matchFeatures": [{}]}]}]}), "needs `feature`")]
#[case(json!([]), "expected an object")]
fn what_has_no_meaning_is_refused_with_the_reason(#[case] document: Value, #[case] says: &str) {
    let error = Compatibility::parse(&document.to_string())
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_document_is_bounded() {
    let many: Map<String, Value> = (0..1_001)
        .map(|n| (n.to_string(), json!({"op": "Exists"})))
        .collect();
    let document = json!({"compatibilities": [{"rules": [{
        "matchFeatures": [{"feature": "cpu.model", "matchExpressions": many}]
    }]}]});
    let error = Compatibility::parse(&document.to_string())
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than 1000 expressions"), "{error}");
    let long = format!("{{\"x\": \"{}\"}}", "a".repeat(MOST_BYTES));
    assert!(Compatibility::parse(&long).is_err());
}

#[rstest]
#[case::another_vendor("cpu.model", "vendor_id", "arch:zen3", Mismatch::Proven)]
#[case::no_vendor("cpu.model", "vendor_id", "arch:x86_64_v3", Mismatch::Unstated)]
#[case::no_flag("cpu.cpuid", "SVE", "arch:zen3", Mismatch::Proven)]
#[case::no_cpu("cpu.cpuid", "SVE", "cuda:12.4", Mismatch::Unstated)]
#[case::another_module(
    "kernel.loadedmodule",
    "vfio",
    "kernel.loadedmodule:kvm",
    Mismatch::Proven
)]
#[case::no_module("kernel.loadedmodule", "vfio", "arch:zen3", Mismatch::Unstated)]
#[case::another_setting("kernel.config", "NO_HZ", "kernel.config:NO_HZ=y", Mismatch::Proven)]
#[case::no_setting("kernel.config", "NO_HZ", "kernel.config:X=y", Mismatch::Unstated)]
#[case::a_gpu_is_not_all_devices("pci.device", "class", "gpu:nvidia", Mismatch::Unstated)]
#[case::another_device(
    "pci.device",
    "class",
    "pci.device:class=0300,vendor=10de",
    Mismatch::Proven
)]
#[case::nobody_knows("cpu.magic", "x", "arch:zen3", Mismatch::Unknown)]
#[case::stated_all_the_same("cpu.magic", "x", "cpu.magic:x=1", Mismatch::Proven)]
#[case::no_earlier_rule("rule.matched", "x", "arch:zen3", Mismatch::Unstated)]
fn what_is_not_stated_is_another_thing_than_what_is_not_met(
    #[case] feature: &str,
    #[case] name: &str,
    #[case] machine: &str,
    #[case] mismatch: Mismatch,
) {
    let document = one(feature, name, json!({"op": "In", "value": ["wanted"]}));
    let wanted = [Feature::new("nfd", &document.to_string()).unwrap()];
    let machine = provided(machine);
    let found = fit(&wanted, &machine);
    assert_eq!(found.mismatch(), Some(mismatch), "{found}");
}

#[test]
fn of_rules_the_most_certain_objection_counts_and_of_sets_the_least_certain() {
    let rule = |feature: &str| {
        json!({"matchFeatures": [{
            "feature": feature, "matchExpressions": {"SVE": {"op": "Exists"}}
        }]})
    };
    let (proven, unstated) = (rule("cpu.cpuid"), rule("kernel.config"));
    let mismatch = |document: Value| {
        let wanted = [Feature::new("nfd", &document.to_string()).unwrap()];
        fit(&wanted, &provided("arch:zen3")).mismatch()
    };
    let both = json!({"compatibilities": [{"rules": [unstated, proven]}]});
    assert_eq!(mismatch(both), Some(Mismatch::Proven));
    let either = json!({"compatibilities": [{"rules": [proven]}, {"rules": [unstated]}]});
    assert_eq!(mismatch(either), Some(Mismatch::Unstated));
    let any = json!({"compatibilities": [{"rules": [{"matchAny": [proven, unstated]}]}]});
    assert_eq!(mismatch(any), Some(Mismatch::Unstated));
}
