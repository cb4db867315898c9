//! Setups in folders of their own, each compared file by file before and after.

mod helpers;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Client, Request, Scope, renew_containerd, run};
use crate::answer::Answer;
use crate::logins::LoginsFile;
use crate::policy::{POLICY_VARIABLE, Policy};

const HOST: &str = "hub.example:5000";
/// alice:secret
const ALICE: &str = "YWxpY2U6c2VjcmV0";

/// A machine with one user.
struct Machine {
    folder: tempfile::TempDir,
    /// Whether `~/.local/bin` is on PATH.
    searched: bool,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            searched: true,
        };
        machine.write("exe/metahub-node", "the program");
        std::fs::create_dir_all(machine.path("home/.local/bin")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        match name {
            "HOME" => Some(self.path("home").into()),
            "PATH" if self.searched => Some(self.path("home/.local/bin").into()),
            "PATH" => Some("/nowhere/bin".into()),
            "XDG_RUNTIME_DIR" => Some(self.path("runtime").into()),
            POLICY_VARIABLE => Some(self.path("root/etc/metahub/node.yaml").into()),
            _ => None,
        }
    }

    fn run(&self, client: Client, scope: Scope, undo: bool) -> Answer {
        self.request(client, scope, undo, false)
    }

    fn request(&self, client: Client, scope: Scope, undo: bool, print: bool) -> Answer {
        let root = match scope {
            Scope::System => self.path("root"),
            Scope::User => PathBuf::from("/"),
        };
        let request = Request {
            clients: vec![client],
            registry: HOST.to_owned(),
            scope: Some(scope),
            print,
            undo,
            root,
            slurm_version: None,
        };
        let environment = |name: &str| self.variable(name);
        let exe = self.path("exe/metahub-node");
        run(
            &request,
            &Policy::default(),
            &environment,
            Some("zen4+cuda=12.4"),
            &exe,
        )
    }

    fn set_up(&self, client: Client, scope: Scope) -> Answer {
        let answer = self.run(client, scope, false);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer
    }

    fn undo(&self, client: Client, scope: Scope) -> Answer {
        let answer = self.run(client, scope, true);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer
    }

    fn logins(&self) -> crate::logins::Logins {
        LoginsFile::of_user(&|name| self.variable(name))
            .unwrap()
            .read()
            .unwrap()
    }

    /// All files but the program, by their path.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() != "metahub-node" {
                    files.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        files
    }
}

/// A configuration that only Docker understands, in an order that only its owner does.
const DOCKER: &str = "{\n\t\"zeta\": {\n\t\t\"a\": 1\n\t},\n\t\"credsStore\": \"desktop\",\n\t\"auths\": {\n\t\t\"other.example\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t},\n\t\"alpha\": [\n\t\t1.5\n\t]\n}";

#[rstest::rstest]
#[case(Client::Docker, Scope::User, "home/.docker/config.json", DOCKER)]
#[case(Client::Docker, Scope::User, "home/.docker/config.json", "")]
#[case(
    Client::Docker,
    Scope::System,
    "root/etc/skel/.docker/config.json",
    DOCKER
)]
#[case(
    Client::Apptainer,
    Scope::User,
    "home/.apptainer/docker-config.json",
    DOCKER
)]
#[case(Client::Apptainer, Scope::User, "home/.docker/config.json", DOCKER)]
#[case(
    Client::Podman,
    Scope::User,
    "home/.config/containers/auth.json",
    "{\n    \"auths\": {}\n}\n"
)]
#[case(Client::Podman, Scope::User, "runtime/containers/auth.json", "{}")]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/containers/registries.conf.d/zz-metahub.conf",
    ""
)]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/containers/registries.conf",
    "unqualified-search-registries = [\"a.example\"] # ours\n"
)]
#[case(
    Client::Containerd,
    Scope::System,
    "root/etc/containerd/certs.d/hub.example:5000/hosts.toml",
    ""
)]
#[case(
    Client::Containerd,
    Scope::System,
    "root/etc/containerd/certs.d/hub.example:5000/hosts.toml",
    "# ours\nserver = \"https://hub.example:5000\"\nca = \"/etc/ca.pem\" # the site's\n"
)]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/metahub/node.yaml",
    "# ours\nregistries: [a.example]\ntools: false # slow\n"
)]
fn setup_can_be_repeated_and_undone(
    #[case] client: Client,
    #[case] scope: Scope,
    #[case] file: &str,
    #[case] text: &str,
) {
    let machine = Machine::new();
    if !text.is_empty() {
        machine.write(file, text);
    }
    let before = machine.files();
    machine.set_up(client, scope);
    let after = machine.files();
    assert_ne!(after, before);
    let again = machine.set_up(client, scope);
    assert_eq!(again.stdout, "", "nothing is left to do");
    assert_eq!(machine.files(), after, "the second time changes nothing");
    for (path, text) in &after {
        assert!(
            !text.contains("\"credsStore\": \"metahub\""),
            "{path:?}: {text}"
        );
        assert!(
            !text.to_lowercase().contains("authorization"),
            "{path:?}: {text}"
        );
    }
    machine.undo(client, scope);
    assert_eq!(machine.files(), before, "all is as it was");
    machine.undo(client, scope);
    assert_eq!(machine.files(), before);
}

#[test]
fn what_is_not_for_us_keeps_its_order_and_its_writing() {
    let machine = Machine::new();
    machine.write("home/.docker/config.json", DOCKER);
    machine.set_up(Client::Docker, Scope::User);
    let written = machine.read("home/.docker/config.json");
    let expected = DOCKER.strip_suffix("\n}").unwrap().to_owned()
        + ",\n\t\"credHelpers\": {\n\t\t\"hub.example:5000\": \"metahub\"\n\t}\n}";
    assert_eq!(written, expected);
    // The store that may hold a login for this host is asked from now on by the helper.
    assert_eq!(machine.logins().helpers[HOST], "desktop");
}

#[test]
fn a_login_is_taken_over_before_the_helper_hides_it_and_given_back() {
    for (server, entry) in [
        (HOST, format!("{{\"auth\": \"{ALICE}\"}}")),
        (
            "https://hub.example:5000/v2/",
            format!("{{\"auth\": \"{ALICE}\"}}"),
        ),
        (
            HOST,
            "{\"username\": \"alice\", \"password\": \"secret\"}".to_owned(),
        ),
    ] {
        let machine = Machine::new();
        let file = "home/.docker/config.json";
        machine.write(
            file,
            &format!("{{\n\t\"auths\": {{\"{server}\": {entry}}}\n}}\n"),
        );
        let said = machine.set_up(Client::Docker, Scope::User);
        assert!(
            said.notes.iter().any(|note| note.contains("alice")),
            "{said:?}"
        );
        assert!(!format!("{said:?}").contains("secret"));
        let login = &machine.logins().logins[HOST];
        assert_eq!((&*login.username, &*login.secret), ("alice", "secret"));
        // `docker login` erases the entry and `docker logout` does too; undoing gives back the
        // login that the helper has by then.
        machine.write(
            file,
            &machine.read(file).replace(server, "gone.example").replace(
                "\"gone.example\": \"metahub\"",
                &format!("\"{HOST}\": \"metahub\""),
            ),
        );
        machine.undo(Client::Docker, Scope::User);
        assert!(machine.read(file).contains(ALICE), "{}", machine.read(file));
        assert!(machine.logins().logins.is_empty());
    }
}

#[test]
fn a_login_for_a_namespace_stays_where_it_is() {
    let machine = Machine::new();
    let file = "home/.config/containers/auth.json";
    let text = format!("{{\"auths\": {{\"{HOST}/team\": {{\"auth\": \"{ALICE}\"}}}}}}\n");
    machine.write(file, &text);
    let said = machine.set_up(Client::Podman, Scope::User);
    assert!(
        said.notes.iter().any(|note| note.contains("/team")),
        "{said:?}"
    );
    assert!(machine.logins().logins.is_empty());
    assert!(machine.read(file).contains(ALICE));
}

#[test]
fn undoing_merges_with_what_a_client_wrote_meanwhile() {
    let machine = Machine::new();
    let file = "home/.docker/config.json";
    machine.set_up(Client::Docker, Scope::User);
    let changed = machine
        .read(file)
        .replacen('{', "{\n\t\"currentContext\": \"remote\",", 1)
        .replace(
            "\"metahub\"",
            "\"metahub\",\n\t\t\"aws.example\": \"ecr-login\"",
        );
    machine.write(file, &changed);
    let said = machine.undo(Client::Docker, Scope::User);
    let left = machine.read(file);
    assert!(
        left.contains("remote") && left.contains("ecr-login"),
        "{left}"
    );
    assert!(!left.contains(HOST), "{left}");
    assert!(
        said.notes
            .iter()
            .any(|note| note.contains("currentContext")),
        "{said:?}"
    );
    // A helper that another program has set for the host since is not ours to remove.
    let machine = Machine::new();
    machine.set_up(Client::Docker, Scope::User);
    machine.write(
        file,
        &machine.read(file).replace("\"metahub\"", "\"vault\""),
    );
    let said = machine.undo(Client::Docker, Scope::User);
    assert!(machine.read(file).contains("vault"));
    assert!(
        said.notes.iter().any(|note| note.contains("vault")),
        "{said:?}"
    );
}

#[rstest::rstest]
#[case(
    Client::Docker,
    Scope::User,
    "home/.docker/config.json",
    "{ \"auths\": "
)]
#[case(Client::Docker, Scope::User, "home/.docker/config.json", "[]")]
#[case(
    Client::Docker,
    Scope::User,
    "home/.docker/config.json",
    "{\"credHelpers\": []}"
)]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/containers/registries.conf",
    "credential-helpers = 1"
)]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/containers/registries.conf",
    "[["
)]
#[case(
    Client::Podman,
    Scope::System,
    "root/etc/metahub/node.yaml",
    "registrys: []\n"
)]
#[case(
    Client::Containerd,
    Scope::System,
    "root/etc/containerd/certs.d/hub.example:5000/hosts.toml",
    "header = 3"
)]
fn what_cannot_be_read_is_named_and_nothing_is_written(
    #[case] client: Client,
    #[case] scope: Scope,
    #[case] file: &str,
    #[case] text: &str,
) {
    let machine = Machine::new();
    machine.write(file, text);
    let answer = machine.run(client, scope, false);
    assert_eq!(answer.code, 1, "{answer:?}");
    let name = Path::new(file).file_name().unwrap().to_str().unwrap();
    assert!(
        answer.notes.iter().any(|note| note.contains(name)),
        "{answer:?}"
    );
    assert_eq!(machine.read(file), text);
    let drop_in = "root/etc/containers/registries.conf.d/zz-metahub.conf";
    assert!(!machine.path(drop_in).exists());
}
