//! crane, oras and regctl on a node: one `setup` gives all three the node's image, a person's own
//! login and logout hold, and undone, all is as before.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::node::NodeUser;
use metahub_e2e::process::Cmd;
use metahub_e2e::world::World;

const IMAGE: &str = "qnib/featuretest:latest";

/// One of the clients, and how it is told things.
struct Client {
    program: &'static str,
    /// Prints the digest of an image.
    digest: &'static [&'static str],
    login: &'static [&'static str],
    logout: &'static [&'static str],
}

const CLIENTS: [Client; 3] = [
    Client {
        program: "crane",
        digest: &["digest"],
        login: &["auth", "login"],
        logout: &["auth", "logout"],
    },
    Client {
        program: "oras",
        digest: &["resolve", "--plain-http"],
        login: &["login", "--plain-http"],
        logout: &["logout"],
    },
    Client {
        program: "regctl",
        digest: &["image", "digest", "--list"],
        login: &["registry", "login", "--skip-check"],
        logout: &["registry", "logout"],
    },
];

impl Client {
    fn command(&self, user: &NodeUser) -> Cmd {
        let command = Cmd::new(self.program).env_clear_of_proxies();
        user.with(command)
            .env("DOCKER_CONFIG", user.path(".docker"))
    }

    fn seen(&self, user: &NodeUser, image: &str) -> String {
        self.seen_with(self.command(user), image)
    }

    fn seen_with(&self, command: Cmd, image: &str) -> String {
        let shown = format!("{} {} {image}", self.program, self.digest.join(" "));
        let outcome = command.args(self.digest).arg(image).shown(shown).ok();
        outcome.stdout.trim().to_owned()
    }

    fn log_in(&self, user: &NodeUser, host: &str, (name, password): (&str, &str)) {
        self.command(user)
            .args(self.login)
            .args(["-u", name])
            .args(match self.program {
                "regctl" => ["--pass-stdin", host],
                _ => ["--password-stdin", host],
            })
            .stdin(password)
            .ok();
    }
}

#[test]
fn one_setup_gives_crane_oras_and_regctl_the_nodes_image() {
    let Some(world) = World::start(&CLIENTS.map(|client| client.program)) else {
        return;
    };
    let host = world.metahub.host();
    world.metahub.add_account("alice", "reader", "wonderland");
    let image = world.metahub.image(IMAGE);
    let digest =
        |login: &str, password: &str| NodeUser::digest(&world.metahub, IMAGE, login, password);
    for client in &CLIENTS {
        let program = client.program;
        let user = NodeUser::new(&["arch:zen3"]);
        if program == "regctl" {
            let plain = ["registry", "set", "--tls", "disabled", "--skip-check", host];
            client.command(&user).args(plain).ok();
        }
        let anonymous = client.seen(&user, &image);
        assert_ne!(anonymous, digest("zen3", "any"), "{program}");

        user.command(&["setup", "docker", "--registry", host]).ok();
        assert_eq!(
            client.seen(&user, &image),
            digest("zen3", "any"),
            "{program}"
        );
        let over = client
            .command(&user)
            .env("METAHUB_NODE_LOGIN", "cascadeLake");
        assert_eq!(
            client.seen_with(over, &image),
            digest("cascadeLake", "any"),
            "{program}"
        );

        client.log_in(&user, host, ("alice", "wonderland"));
        // regctl keeps a login in a file of its own, which comes before every helper.
        let person = match program {
            "regctl" => digest("alice", "wonderland"),
            _ => digest("alice/zen3", "wonderland"),
        };
        assert_eq!(client.seen(&user, &image), person, "{program}");
        assert!(!user.read(".docker/config.json").contains("wonderland"));
        client.command(&user).args(client.logout).arg(host).ok();
        assert_eq!(
            client.seen(&user, &image),
            digest("zen3", "any"),
            "{program}"
        );

        user.command(&["setup", "docker", "--registry", host, "--undo"])
            .ok();
        let left = user.read(".docker/config.json");
        assert!(!left.contains("metahub"), "{left}");
        assert_eq!(client.seen(&user, &image), anonymous, "{program}");
    }
}
