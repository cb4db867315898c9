//! Reads the machine type from the clouds' metadata services. They are asked only on request, at
//! addresses that only a cloud's own network answers, and never through a proxy.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Request;

/// Longest answer that is read, in bytes.
const MOST_BYTES: u64 = 1024;

/// A cloud that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon EC2.
    Amazon,
    /// Google Compute Engine.
    Google,
    /// Microsoft Azure.
    Azure,
}

/// A cloud's metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataService {
    /// Whose it is.
    pub cloud: Cloud,
    /// `http://HOST[:PORT]`.
    pub address: String,
}

impl MetadataService {
    /// The services of all clouds, at their addresses.
    #[must_use]
    pub fn all() -> Vec<Self> {
        [Cloud::Amazon, Cloud::Google, Cloud::Azure]
            .into_iter()
            .map(|cloud| Self {
                cloud,
                address: "http://169.254.169.254".to_owned(),
            })
            .collect()
    }

    /// The instance type; `None` when it does not answer as that cloud does.
    fn instance(&self, agent: &Agent) -> Option<String> {
        let get = |path: &str, header: (&str, &str)| {
            call(agent, "GET", &format!("{}{path}", self.address), header)
        };
        match self.cloud {
            Cloud::Amazon => {
                let token = call(
                    agent,
                    "PUT",
                    &format!("{}/latest/api/token", self.address),
                    ("X-aws-ec2-metadata-token-ttl-seconds", "60"),
                )?;
                let header = ("X-aws-ec2-metadata-token", token.as_str());
                get("/latest/meta-data/instance-type", header)
            }
            Cloud::Google => {
                // projects/NUMBER/machineTypes/TYPE
                let path = "/computeMetadata/v1/instance/machine-type";
                let answer = get(path, ("Metadata-Flavor", "Google"))?;
                answer.rsplit('/').next().map(str::to_owned)
            }
            Cloud::Azure => get(
                "/metadata/instance/compute/vmSize?api-version=2021-02-01&format=text",
                ("Metadata", "true"),
            ),
        }
    }
}

fn call(agent: &Agent, method: &str, url: &str, header: (&str, &str)) -> Option<String> {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header(header.0, header.1)
        .body(())
        .ok()?;
    let mut answer = agent.run(request).ok()?;
    let text = answer
        .body_mut()
        .with_config()
        .limit(MOST_BYTES)
        .read_to_string()
        .ok()?;
    let text = text.trim();
    // A type is one word; anything else is the page of another server.
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

/// Asks all at once, and returns the first answer.
pub(crate) fn ask(services: &[MetadataService], patience: Duration) -> Option<String> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let (sender, receiver) = mpsc::channel();
    for service in services {
        // An abandoned thread ends at its time limit.
        let (service, agent, sender) = (service.clone(), agent.clone(), sender.clone());
        thread::spawn(move || {
            if let Some(instance) = service.instance(&agent) {
                let _ = sender.send(instance);
            }
        });
    }
    drop(sender);
    receiver.recv_timeout(patience).ok()
}
