//! Facts about public registries that no protocol states: Docker Hub's API host, and which token
//! server belongs to which registry.

/// The host that images of Docker Hub are written with.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// Public registries that names lead to by default, beside those that are configured.
pub const REGISTRIES: &[&str] = &[
    DOCKER_HUB,
    "cgr.dev",
    "community.wave.seqera.io",
    "container-registry.oracle.com",
    "docker.elastic.co",
    "gcr.io",
    "ghcr.io",
    "icr.io",
    "k8s.gcr.io",
    "lscr.io",
    "mcr.microsoft.com",
    "nvcr.io",
    "public.ecr.aws",
    "quay.io",
    "registry.access.redhat.com",
    "registry.fedoraproject.org",
    "registry.gitlab.com",
    "registry.k8s.io",
    "registry.opensuse.org",
    "registry.redhat.io",
    "registry.suse.com",
];

/// Whether `host` is one of those. Where a port is written, it is another service.
pub(crate) fn is_well_known(host: &str) -> bool {
    REGISTRIES.contains(&canonical(host))
}

/// The one name of a host that has several: all of Docker Hub's are `docker.io`, and the port of
/// HTTPS is not written.
pub(crate) fn canonical(host: &str) -> &str {
    match host.strip_suffix(":443").unwrap_or(host) {
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
