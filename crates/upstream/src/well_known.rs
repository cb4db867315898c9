//! What everybody knows about public registries and no protocol says: Docker Hub's API host,
//! and which token server belongs to which registry.

/// The host that images of Docker Hub are written with.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// The one name of a host that has several: all of Docker Hub's are `docker.io`.
pub(crate) fn canonical(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        other => other,
    }
}

/// The host that answers the distribution API for images written with `host`.
pub(crate) fn api_host(host: &str) -> &str {
    match host {
        DOCKER_HUB => "registry-1.docker.io",
        other => other,
    }
}

/// Hosts, beside its own, whose token server a registry's credentials may go to.
pub(crate) fn realm_hosts(host: &str) -> &'static [&'static str] {
    match host {
        DOCKER_HUB => &["auth.docker.io"],
        "registry.gitlab.com" => &["gitlab.com"],
        _ => &[],
    }
}
