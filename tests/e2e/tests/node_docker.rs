//! A node's user of Docker types nothing and gets the node's own image; a person's login, an
//! override and the way back all hold.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::node::NodeUser;
use metahub_e2e::process::{Cmd, Outcome};
use metahub_e2e::world::World;

const IMAGE: &str = "qnib/featuretest:latest";

/// Docker's command line of a node's user, whose configuration is in their home.
struct Client<'a> {
    user: &'a NodeUser,
    docker: &'a Docker,
    image: String,
}

impl Client<'_> {
    fn cli(&self) -> Cmd {
        let folder = self.user.path(".docker");
        self.user
            .with(self.docker.cli("node"))
            .env("DOCKER_CONFIG", folder)
    }

    /// Pulls anew and says under which digest.
    fn pull(&self) -> String {
        self.pull_with(self.cli())
    }

    fn pull_with(&self, cli: Cmd) -> String {
        // What is there already would be under its former digest too.
        let _ = self
            .docker
            .cli("engine")
            .args(["image", "rm", "--force", &self.image])
            .run();
        cli.args(["pull", &self.image]).ok();
        self.docker.repo_digest(&self.image)
    }

    fn login(&self, host: &str, name: &str, password: &str) -> Outcome {
        self.cli()
            .args(["login", host, "-u", name, "--password-stdin"])
            .stdin(password)
            .shown(format!("docker login {host} -u {name}"))
            .run()
    }
}

#[test]
fn a_fresh_user_sets_docker_up_and_pulls_what_the_node_runs_best() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let engine = world.docker();
    let host = world.metahub.host();
    world.metahub.add_account("alice", "reader", "wonderland");
    let user = NodeUser::new(&["arch:zen3"]);
    let client = Client {
        user: &user,
        docker: &engine,
        image: world.metahub.image(IMAGE),
    };
    let digest =
        |login: &str, password: &str| NodeUser::digest(&world.metahub, IMAGE, login, password);
    let before = "{\n\t\"detachKeys\": \"ctrl-q\"\n}\n";
    user.write(".docker/config.json", before);
    let anonymous = client.pull();
    assert_ne!(anonymous, digest("zen3", "any"), "nobody is asked yet");

    user.command(&["setup", "docker", "--registry", host]).ok();
    let configured = user.read(".docker/config.json");
    assert!(
        configured.contains(&format!("\"{host}\": \"metahub\"")),
        "{configured}"
    );
    assert!(!configured.contains("credsStore"), "{configured}");
    assert_eq!(client.pull(), digest("zen3", "any"));
    let ran = client
        .cli()
        .args(["run", "--rm", "--network=host", &client.image])
        .ok();
    assert!(ran.stdout.to_lowercase().contains("zen3"), "{ran}");

    // An override for one command.
    let over = client.cli().env("METAHUB_NODE_LOGIN", "cascadeLake");
    assert_eq!(client.pull_with(over), digest("cascadeLake", "any"));

    // A person logs in, and has this node's image under their own name.
    assert_eq!(client.login(host, "alice", "wonderland").code, Some(0));
    assert!(world.metahub.says("alice"));
    assert_eq!(client.pull(), digest("alice/zen3", "wonderland"));
    let logins = user.read(".config/metahub/logins.json");
    assert!(
        logins.contains("alice") && !logins.contains("zen3"),
        "{logins}"
    );
    assert!(!user.read(".docker/config.json").contains("wonderland"));
    // Wrong passwords are still refused, and leave what was there.
    assert_ne!(client.login(host, "alice", "wrong").code, Some(0));
    assert_eq!(client.pull(), digest("alice/zen3", "wonderland"));
    client.cli().args(["logout", host]).ok();
    assert_eq!(client.pull(), digest("zen3", "any"));

    user.command(&["setup", "docker", "--registry", host, "--undo"])
        .ok();
    // Docker writes its file anew at a logout, in its own order.
    let left = user.read(".docker/config.json");
    assert!(
        left.contains("ctrl-q") && !left.contains("metahub"),
        "{left}"
    );
    assert!(!user.path(".local/bin/docker-credential-metahub").exists());
    assert_eq!(user.read(".config/metahub/logins.json"), "");
    assert_eq!(client.pull(), anonymous);
}

#[test]
fn a_login_from_before_goes_on_and_comes_back() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let engine = world.docker();
    let host = world.metahub.host();
    world.metahub.add_account("alice", "reader", "wonderland");
    let user = NodeUser::new(&["arch:zen3"]);
    let client = Client {
        user: &user,
        docker: &engine,
        image: world.metahub.image(IMAGE),
    };
    assert_eq!(client.login(host, "alice", "wonderland").code, Some(0));
    let before = user.read(".docker/config.json");
    assert!(before.contains("auth"), "{before}");
    user.command(&["setup", "docker", "--registry", host])
        .ok()
        .says("alice");
    let expected = NodeUser::digest(&world.metahub, IMAGE, "alice/zen3", "wonderland");
    assert_eq!(client.pull(), expected);
    user.command(&["setup", "docker", "--registry", host, "--undo"])
        .ok();
    assert_eq!(user.read(".docker/config.json"), before);
    client.pull();
    // A registry that is gone costs a pull, and nothing else.
    user.command(&["setup", "docker", "--registry", "127.0.0.1:1"])
        .ok();
    let answer = user
        .command(&["credential", "get"])
        .stdin("127.0.0.1:1")
        .ok();
    assert_eq!(answer.ok_json()["Username"], "zen3");
}
