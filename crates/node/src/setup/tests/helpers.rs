//! Which files name the helper, and what clients without one are given.

use super::*;

#[test]
fn no_file_names_a_helper_that_clients_would_not_find() {
    let mut machine = Machine::new();
    machine.searched = false;
    if rustix::process::geteuid().is_root() {
        // Root has /usr/local/bin, which is not on this PATH either.
        assert!(
            !machine
                .variable("PATH")
                .unwrap()
                .to_str()
                .unwrap()
                .contains("local")
        );
    }
    let before = machine.files();
    let answer = machine.run(Client::Docker, Scope::User, false);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.notes[0].contains("PATH"), "{answer:?}");
    assert_eq!(machine.files(), before);
    // The other way round: a program that cannot be installed leaves no file that names it.
    let machine = Machine::new();
    std::fs::remove_dir(machine.path("home/.local/bin")).unwrap();
    machine.write("home/.local/bin", "a file");
    let answer = machine.run(Client::Podman, Scope::User, false);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(!machine.path("home/.config/containers/auth.json").exists());
}

#[test]
fn the_helper_goes_only_when_nothing_names_it_any_more() {
    let machine = Machine::new();
    let helper = machine.path("home/.local/bin/docker-credential-metahub");
    machine.set_up(Client::Docker, Scope::User);
    machine.set_up(Client::Podman, Scope::User);
    assert!(helper.is_file());
    machine.undo(Client::Docker, Scope::User);
    assert!(helper.is_file(), "podman still needs it");
    assert!(machine.logins().registries.contains(HOST));
    machine.undo(Client::Podman, Scope::User);
    assert!(!helper.exists());
    assert!(machine.logins().registries.is_empty());
}

#[test]
fn podman_is_told_of_the_helper_beside_those_that_were_in_force() {
    let machine = Machine::new();
    let drop_in = "root/etc/containers/registries.conf.d/zz-metahub.conf";
    machine.set_up(Client::Podman, Scope::System);
    let text = machine.read(drop_in);
    assert!(
        text.contains(r#"credential-helpers = ["containers-auth.json", "metahub"]"#),
        "{text}"
    );
    let machine = Machine::new();
    machine.write(
        "root/etc/containers/registries.conf",
        "credential-helpers = [\"a\"]\n",
    );
    machine.write(
        "root/etc/containers/registries.conf.d/10-site.conf",
        "credential-helpers = [\"site\", \"containers-auth.json\"]\n",
    );
    machine.set_up(Client::Podman, Scope::System);
    let text = machine.read(drop_in);
    assert!(
        text.contains(r#"["site", "containers-auth.json", "metahub"]"#),
        "{text}"
    );
    let policy = machine.read("root/etc/metahub/node.yaml");
    assert!(policy.contains(HOST), "the helper answers for it: {policy}");
}

#[test]
fn containerd_sends_the_login_where_it_cannot_be_passed_by() {
    let machine = Machine::new();
    machine.set_up(Client::Containerd, Scope::System);
    let file = "root/etc/containerd/certs.d/hub.example:5000/hosts.toml";
    let text = machine.read(file);
    assert!(
        text.contains("[header]\nX-Meta-Profile = \"zen4+cuda=12.4\""),
        "{text}"
    );
    assert!(
        text.contains("server = \"https://hub.example:5000\""),
        "{text}"
    );
    assert!(
        text.trim_end().ends_with("[host]"),
        "containerd 1.6 ignores a file without it, and asks others if one is in it: {text}"
    );
    let root = machine.path("root");
    assert_eq!(
        renew_containerd(&root, HOST, "zen4+cuda=12.4").unwrap(),
        None
    );
    assert!(
        renew_containerd(&root, HOST, "zen4+cuda=13.0")
            .unwrap()
            .is_some()
    );
    assert!(machine.read(file).contains("cuda=13.0"));
    assert_eq!(
        renew_containerd(&root, "other.example", "zen4").unwrap(),
        None
    );
    let refused = machine.run(Client::Containerd, Scope::User, false);
    assert_eq!(refused.code, 1, "{refused:?}");
}

#[test]
fn printing_writes_nothing_and_shows_no_password() {
    let machine = Machine::new();
    machine.write(
        "home/.docker/config.json",
        &format!(
            "{{\n\t\"auths\": {{\n\t\t\"{HOST}\": {{\n\t\t\t\"auth\": \"{ALICE}\"\n\t\t}}\n\t}}\n}}"
        ),
    );
    let before = machine.files();
    let shown = machine.request(Client::Docker, Scope::User, false, true);
    assert_eq!(machine.files(), before);
    assert!(
        shown.stdout.contains("\"hub.example:5000\": \"metahub\""),
        "{shown:?}"
    );
    assert!(!shown.stdout.contains(ALICE), "{shown:?}");
}

#[test]
fn where_one_file_cannot_be_written_the_others_are_as_they_were() {
    let machine = Machine::new();
    // Two files of one plan, the second in a folder that is a file.
    machine.write("runtime/containers/auth.json", "{}");
    machine.write("home/.config/containers", "a file");
    let answer = machine.run(Client::Podman, Scope::User, false);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert_eq!(machine.read("runtime/containers/auth.json"), "{}");
}
