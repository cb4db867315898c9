//! Nested keys, such as `limits.requests`: see [`super::keys`].

use std::path::PathBuf;

use metahub_auth::DnsName;
use metahub_registry::{Free, ImmutableTags};

use super::declare::{Declared, Field, Keys, settings};
use super::environment::Environment;
use super::settings::Config;
use super::shapes;
use super::slurm_jwt::SlurmJwtSource;
use super::time::Time;
use super::values::{Count, DocumentMemory, ManifestSize, MungeSwitch, Percent, Rate, Size};
use super::yaml::ConfigError;

settings! {
    /// The keys under `tls`.
    TlsLayer {
        /// A certificate chain, PEM, the server's own first, such as `/etc/metahub/tls.crt`.
        ///
        /// With it and its key, the address speaks HTTPS and nothing else: TLS 1.2 and 1.3, HTTP/2
        /// and HTTP/1.1.
        certificate: Option<PathBuf> = "" => |config, file| config.tls.certificate = Some(file);

        /// Its private key, PEM, not encrypted, such as `/etc/metahub/tls.key`. A pair that does
        /// not match is never used.
        key: Option<PathBuf> = "" => |config, file| config.tls.key = Some(file);

        /// Authorities, PEM, for client certificates, used by [`profiles_by.certificate`](#access).
        /// A client without a certificate is served as well, one with another authority's
        /// certificate fails in the handshake. Read at start only.
        client_authorities: Option<PathBuf> = ""
            => |config, file| config.tls.client_authorities = Some(file);
    }
}

settings! {
    /// The keys under `signing`.
    SigningLayer {
        /// The private key, a PEM file: PKCS #8, SEC 1, or as `cosign generate-key-pair` writes it,
        /// such as `/etc/metahub/cosign.key`. ECDSA P-256. Others than its owner and group must not
        /// have access to it. Read at start only.
        key: Option<PathBuf> = "" => |config, file| config.signing.key = Some(file);

        /// A file with the password of a key that cosign has encrypted. Without it the password is
        /// taken from the variable `COSIGN_PASSWORD`.
        password_file: Option<PathBuf> = ""
            => |config, file| config.signing.password_file = Some(file);
    }
}

settings! {
    /// The keys under `nodes`.
    NodesLayer {
        /// Whether nodes can join: each exchanges a token of `metahub node token` for its own,
        /// which `metahub node revoke` revokes.
        join: Option<bool> = "false" => |config, join| config.nodes.join = join;

        /// Whether credentials of [MUNGE](node.md#who-a-node-is) prove nodes: `true`, or the socket of
        /// a `munged` that is not at the usual place. The program `unmunge` must be installed here.
        #[schemars(with = "Option<shapes::BoolOrText>")]
        munge: Option<MungeSwitch> = "false"
            => |config, munge| config.nodes.munge = munge.0;

        /// DNS names of client certificates that are nodes', such as `['*.nodes.example']`; the
        /// certificate's name is the node's. Needs `tls.client_authorities`.
        #[schemars(with = "Option<Vec<String>>")]
        certificate: Option<Vec<DnsName>> = "[]"
            => |config, names| config.nodes.certificate = names;

        /// Whose tokens of Slurm (`auth/jwt`) prove nodes: `{jwks_file: FILE}` for a set of public
        /// keys, or `{hs256_key_file: FILE}` for the key that Slurm's daemons share, which makes
        /// tokens for anybody. With `users: [root]`, the default, those of root do. Read at start
        /// only.
        slurm_jwt: Option<SlurmJwtSource> = ""
            => |config, source| config.nodes.slurm_jwt = Some(source.config());

        /// Most nodes that are listed. Beyond that no node can join, but nodes that prove their
        /// identity otherwise are served.
        limit: Option<Count<1, 1_000_000>> = "10000"
            => |config, limit| config.nodes.limit = limit.0;
    }
}

settings! {
    /// The keys under `limits`.
    LimitsLayer {
        /// Connections open at once. Further clients wait until one is free; idle connections are
        /// closed for them.
        ///
        /// The server asks the operating system for as many open files as it may have, and says so
        /// at start if those may not suffice.
        connections: Option<Count<1, 1_000_000>> = "4096"
            => |config, count| config.limits.connections = count.0;

        /// Requests answered at once, over all connections, until the last byte of their answers
        /// went out. Further ones are answered 503 with `Retry-After`. `/healthz` and `/readyz` do
        /// not count.
        requests: Option<Count<1, 1_000_000>> = "4096"
            => |config, count| config.limits.requests = count.0;

        /// The same of one client: an IPv4 address, or the /64 network of an IPv6 address.
        ///
        /// Behind a proxy that [`trust_forwarded`](#address) does not name, all clients count as
        /// one: name it, or raise this.
        requests_per_client: Option<Count<1, 1_000_000>> = "2048"
            => |config, count| config.limits.requests_per_client = count.0;

        /// Memory for manifests and indexes of more than 16 KiB that are read from clients or
        /// upstreams, parsed, or derived from; at least 16 MiB. A parsed one counts 48 times its
        /// size. One that waits longer than 20 seconds for memory is answered 503 with
        /// `Retry-After`.
        ///
        /// The factor 48 was measured while a login's choice is made from it. Smaller documents
        /// never wait ([why](decisions/one-budget-for-documents.md)).
        documents: Option<DocumentMemory> = "256 MiB"
            => |config, memory| config.documents = memory.0;

        /// For a request's headers from their first byte on, for the first request of a connection,
        /// and for a TLS handshake. Then the connection is closed.
        header_timeout: Option<Time> = "15s"
            => |config, time| config.limits.header_timeout = time.duration();

        /// Between two requests on one connection. Then it is closed.
        idle_timeout: Option<Time> = "75s"
            => |config, time| config.limits.idle_timeout = time.duration();

        /// Without receiving a byte of a push, or sending a byte of a pull.
        ///
        /// A push is answered 408, and its upload can be resumed. A pull's connection is closed.
        /// Over HTTP/2, where a client can keep a connection busy with other things, a stream of
        /// which it takes less than 16 KiB in this time is reset. A slow client that does not stop
        /// is served to the end.
        stall_timeout: Option<Time> = "60s"
            => |config, time| config.limits.stall_timeout = time.duration();

        /// For the requests that run when the server is asked to shut down (SIGTERM, Ctrl-C).
        ///
        /// New connections are refused at once. A second signal cuts the rest off, and the exit
        /// code is 1.
        drain_timeout: Option<Time> = "30s"
            => |config, time| config.limits.drain_timeout = time.duration();

        /// How long abandoned uploads and interrupted fetches are kept.
        upload_idle: Option<Time> = "24h" => |config, time| config.upload_idle = time.duration();

        /// Largest manifest or index that may be pushed, from 16 KiB to 4 MiB. Larger ones are
        /// answered 413.
        manifest_size: Option<ManifestSize> = "4 MiB"
            => |config, size| config.limits.manifest_size = size.0;

        /// Longest name of a repository, in characters, up to 255. Longer ones are answered 400.
        name_length: Option<Count<1, 255>> = "255"
            => |config, count| config.limits.name_length = count.0;

        /// Most tags, repositories or referrers in one answer, whatever a client asks for; a `Link`
        /// header leads on.
        page_size: Option<Count<1, 100_000>> = "1000"
            => |config, count| config.limits.page_size = count.0;
    }
}

settings! {
    /// The keys under `gc`.
    GcLayer {
        /// How often garbage is collected: blobs that no manifest of their repository names,
        /// derived content whose source was deleted or that no record leads to, abandoned uploads.
        /// `0s`: only by `metahub gc`.
        every: Option<Time> = "24h" => |config, every| config.upkeep.gc_every = every.duration();

        /// Content that was stored or used less than this ago stays: clients push blobs before the
        /// manifest that names them.
        grace: Option<Time> = "24h" => |config, grace| config.upkeep.gc_grace = grace.duration();
    }
}

settings! {
    /// The keys under `scrub`.
    ScrubLayer {
        /// How often everything is reread and checked; damaged content is quarantined, and fetched
        /// again if it came from an upstream. `0s`: only by `metahub scrub`.
        every: Option<Time> = "0s" => |config, every| config.upkeep.scrub_every = every.duration();

        /// Bytes a second that scrubbing reads at most, to leave the disk to others.
        rate: Option<Rate> = "32 MiB" => |config, rate| config.upkeep.scrub_rate = rate.0;
    }
}

settings! {
    /// The keys under `cache`.
    CacheLayer {
        /// How much content of all upstreams together may be cached, such as `500 GiB`; by default
        /// only the disk is a bound.
        ///
        /// Blobs and manifests count, each once for an upstream, and so do running fetches; content
        /// derived from them does not.
        size: Option<Size> = "" => |config, size| config.registry.cache.size = Some(size.0);

        /// How much of the disk the cache leaves free: a part of it, or bytes such as `50 GiB`.
        /// When less is free, for whatever reason, cached content is evicted; a fetch that would
        /// still exceed the bound is refused. `0%` for no such bound.
        ///
        /// The refusal is a 503 with this key's name.
        #[schemars(with = "Option<shapes::Text>")]
        keep_free: Option<Free> = "10%" => |config, free| config.registry.cache.keep_free = free;

        /// The largest blob that is fetched.
        largest_blob: Option<Size> = "64 GiB"
            => |config, size| config.registry.cache.largest_blob = size.0;

        /// How much of the cache may be content that only one client without an account requested;
        /// content that a second client or an account used does not count. `100%` for no such
        /// bound.
        anonymous_share: Option<Percent> = "50%"
            => |config, share| config.registry.cache.anonymous_share = share.0;

        /// Images that are never evicted: regular expressions that match a whole `HOST/NAME:TAG`,
        /// such as `['docker.io/library/debian:.*']`.
        ///
        /// Repositories of upstreams are listed under these names; a port is written with `_`.
        #[schemars(with = "Option<Vec<String>>")]
        pinned: Option<ImmutableTags> = "[]"
            => |config, pinned| config.registry.cache.pinned = pinned;

        /// Content that was used less than this ago stays, even beyond the bound: a pull of it may
        /// be running.
        spare: Option<Time> = "1m"
            => |config, spare| config.registry.cache.spare = spare.duration();

        /// Room for derived content: indexes, manifests and configurations; layers do not count.
        /// The least recently used is evicted first, and is derived again, with the same digest,
        /// when its tag is requested.
        ///
        /// There is one record for each outcome, however many logins share it. A use is a pull by
        /// tag or by digest. Derived content that a tag, an index or a referrer names stays.
        /// Applies with `offline: true` as well.
        derived: Option<Size> = "1 GiB"
            => |config, size| config.registry.cache.derived = size.0;

        /// How long derived content stays after its last use, as long as `derived` has room. `0s`:
        /// until there is no room.
        ///
        /// Tagged or pinned content stays longer; see [which limit
        /// wins](decisions/derived-content-is-kept-for-a-time.md#which-limit-wins).
        keep_derived: Option<Time> = "90d"
            => |config, keep| config.registry.cache.keep_derived = keep.duration();
    }
}

settings! {
    /// The keys under `demand`.
    DemandLayer {
        /// Most combinations of image, kind of machine and what it got that are recorded. `0`: none
        /// are.
        ///
        /// What clients without an account ask for takes no place from what nodes and accounts
        /// asked for ([why](decisions/pulls-that-fell-back-are-counted.md)).
        limit: Option<Count<0, 1_000_000>> = "10000"
            => |config, limit| config.registry.demand.limit = limit.0 as u64;

        /// How long they are.
        keep: Option<Time> = "90d" => |config, keep| config.registry.demand.keep = keep.duration();
    }
}
