//! Layers that a profile adds to an image are held against the login by their code, as the image
//! is.
#![allow(clippy::unwrap_used, reason = "a test, which fails by panicking")]

use std::time::Duration;

use metahub_e2e::corpus::Corpus;
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::{Outcome, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;

const PROFILES: &str = "
profiles:
  - name: site/tools
    actions:
      - name: manifest-add
        event: post-manifest-get
        when: {repository: lab/app}
        args: {layers: [lab/tools], position: after}
";

fn layer(name: &str, march: &str) -> Vec<u8> {
    let corpus = Corpus::new();
    let line = format!("gcc -O3 -march={march} main.c part.c -o OUT");
    corpus.build(name, &line);
    corpus.layer()
}

#[test]
fn a_layer_that_needs_more_than_the_login_has_is_warned_of_or_not_added() {
    if !require::tools(&["gcc", "tar", "gzip"]) {
        return;
    }
    let (app, tools) = (layer("app", "x86-64"), layer("tool", "x86-64-v4"));
    for mode in ["enforce", "warn", "trust-labels"] {
        let config = format!(
            "anonymous: write\nallow_any_host: false\nupstreams: []\n\
             inspection: {mode}\ninspection_wait: 2m\n"
        );
        let metahub = MetaHub::start(&config, &[("lab.yaml", PROFILES)]);
        let push = |repository, tag, layer: &[u8]| {
            let host = metahub.host();
            Pusher {
                host,
                repository,
                login: None,
            }
            .image(tag, "amd64", layer)
        };
        let image = push("lab/app", "one", &app);
        let _ = push("lab/tools", "latest", &tools);
        let pusher = Pusher {
            host: metahub.host(),
            repository: "lab/app",
            login: None,
        };
        pusher.index("many", &[(&image, "amd64", &["arch:x86_64"])]);
        let server = format!("http://{}", metahub.host());
        let resolve = |image: &str, login: &str| -> Outcome {
            let args = [
                "resolve",
                image,
                "--as",
                login,
                "--server",
                &server,
                "--explain",
            ];
            command(&args).run()
        };
        for image in ["lab/app:one", "lab/app:many"] {
            // The outcome that is made for the one must not be served to the other.
            let fits = resolve(image, "zen4+site/tools");
            assert_eq!(fits.code, Some(0), "{mode}: {}", fits.all());
            let without = resolve(image, "x86_64_v2");
            assert_eq!(without.code, Some(0), "{mode}: {}", without.all());
            let told = resolve(image, "x86_64_v2+site/tools");
            match mode {
                "enforce" => {
                    assert_eq!(told.code, Some(3), "{image}: {}", told.all());
                    told.says("cannot have the layers of lab/tools")
                        .says("bin/tool requires x86_64_v4");
                    let (_, tag) = image.split_once(':').unwrap();
                    let pull = metahub.call("GET", &format!("/v2/lab/app/manifests/{tag}"));
                    let pull = pull.login(Some(("x86_64_v2+site/tools", "any"))).send();
                    assert_eq!(pull.status, 404, "{}", pull.text());
                }
                "warn" => {
                    let warned = || {
                        let told = resolve(image, "x86_64_v2+site/tools");
                        assert_eq!(told.code, Some(0), "{}", told.all());
                        told.all().contains("bin/tool requires x86_64_v4")
                    };
                    let limit = Duration::from_secs(120);
                    assert!(wait_until(limit, warned), "{}", metahub.log());
                }
                _ => {
                    assert_eq!(told.code, Some(0), "{}", told.all());
                    told.does_not_say("requires x86_64_v4");
                }
            }
        }
    }
}
