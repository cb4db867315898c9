//! The keys of the configuration file, in the order of `metahub.example.yaml`. Each is declared
//! once; the file, the page `docs/configuration.md` and the JSON Schema are made of what stands
//! here. The first paragraph of a key's text stands in the file, all of it on the page.

use std::net::SocketAddr;
use std::path::PathBuf;

use metahub_auth::{AnonymousAccess, ProfilePassword, ProfilesBy};
use metahub_hardware::Extension;
use metahub_registry::{ImmutableTags, InspectionMode, LocalContent, Unsure};
use metahub_server::{MetricsAccess, Proxies, PublicUrl, SendBlobs};
use metahub_upstream::{AnyHost, ProxiedPrivate};

use super::catalog::CatalogEntry;
use super::declare::{Declared, Field, Keys, settings};
use super::environment::Environment;
use super::groups::{
    CacheLayer, DemandLayer, GcLayer, LimitsLayer, NodesLayer, ScrubLayer, SigningLayer, TlsLayer,
};
use super::settings::Config;
use super::shapes;
use super::time::Time;
use super::values::{FileHashes, Rate, UpstreamList};
use super::warm::WarmConfig;
use super::yaml::ConfigError;

settings! {
    /// One layer of settings: the file, the environment, or the flags.
    Layer {
        /// Address and port. Port 0 takes a free one, which is printed.
        listen: Option<SocketAddr> = "127.0.0.1:5000" => |config, listen| config.listen = listen;

        /// Folder that holds content, accounts and keys; made if it is missing. One server at a
        /// time.
        data: Option<PathBuf> = "metahub-data" => |config, data| config.data = data;

        /// TLS: with a certificate and its key the address above speaks HTTPS (HTTP/2 and HTTP/1.1)
        /// and nothing else. Files that change are taken up as reload_interval says; open
        /// connections keep the certificate they began with.
        tls: TlsLayer = "" => |config, tls| tls.apply_to(config);

        /// Where clients reach this server, if that is not what their requests say:
        /// `http://HOST[:PORT]` or `https://HOST[:PORT]`. Challenges name it as the place to get
        /// tokens.
        #[schemars(with = "Option<shapes::Text>")]
        public_url: Option<PublicUrl> = "" => |config, url| config.public_url = Some(url);

        /// Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed: a list of networks
        /// and addresses such as `[10.0.0.0/8, 127.0.0.1]`; `true` for every peer; `false` for
        /// none. Anybody can send these headers, so name no network from which clients come.
        ///
        /// The client's address, which limits wrong passwords and stands in the log, is the last
        /// one in `X-Forwarded-For` that is no such proxy.
        #[schemars(with = "Option<shapes::BoolOrTexts>")]
        trust_forwarded: Option<Proxies> = "false"
            => |config, proxies| config.trust_forwarded = proxies;

        /// [Profile and collection documents](documents.md): files, or folders that are searched
        /// for `*.yaml` and `*.yml`. They are used in addition to the built-in profiles and those
        /// that [an import](air-gapped.md) put into the folder `catalog` of the data folder. Also
        /// [catalogs of other registries](catalogs.md), which are followed: `oci://HOST/NAME:TAG`,
        /// or `{oci: HOST/NAME:TAG, key: FILE}` for one that the key's owner has signed. The
        /// variable separates paths by `:`, or is a list in brackets as here.
        ///
        /// The mapping also takes `every` (how often to poll, `1m`), `plain_http`, `ca_file` and
        /// `credentials`, as upstreams do. Without these three the registry is read as the upstream
        /// of that host.
        catalog: Option<Vec<CatalogEntry>> = "[]" => |config, catalog| config.catalog = catalog;

        /// [Signatures](signing.md) of what MetaHub derives, as `cosign sign` makes them. Without a
        /// key nothing is signed.
        signing: SigningLayer = "" => |config, signing| signing.apply_to(config);

        /// How often to look whether files of the catalog or of TLS changed; `0s`: never. SIGHUP
        /// reads them anew at once. A catalog with an error is logged, line by line, and the
        /// previous one stays in use.
        reload_interval: Option<Time> = "2s"
            => |config, every| config.reload_interval = every.duration();

        /// CPU targets, aliases and fallbacks in addition to [archspec's](hardware.md#cpu-targets).
        hardware: Option<Extension> = "
  targets: {}                   # such as zen9: {from: [zen5], vendor: AuthenticAMD, features: [x]}
  aliases: {}                   # such as our-nodes: zen4
  fallbacks: {}                 # such as neoverse_v2: [neoverse_v1]: it runs images for them, too"
            => |config, hardware| config.hardware = hardware;

        /// What clients may do without an account: `none`, `read`, or `write` (for labs only).
        anonymous: Option<AnonymousAccess> = "read"
            => |config, access| config.auth.anonymous = access;

        /// What a login under a profile alone (`docker login HOST -u zen3`) requires: `any`
        /// password, or also an `account` (`ACCOUNT/zen3` with the account's password).
        profile_password: Option<ProfilePassword> = "any"
            => |config, password| config.auth.profile_password = password;

        /// Whether the header `X-Meta-Profile: LOGIN` of a request sets its profile if its own
        /// login names no hardware: for nodes whose pods have logins of their own. It adds no
        /// right.
        ///
        /// See [Mirrors](#mirrors). Where `profile_password` is `account`, it counts together with
        /// an account only.
        profile_header: Option<bool> = "false"
            => |config, header| config.auth.profile_header = header;

        /// Profiles for requests by tag whose login names no hardware, by other properties of the
        /// request: each maps to a login without an account. The first that applies counts: path,
        /// host, `X-Meta-Profile`, certificate, network. None adds a right.
        ///
        /// See [How the registry hears it](node.md#how-the-registry-hears-it).
        profiles_by: Option<ProfilesBy> = "
  path: {}                      # such as gpu: zen4+cuda=12.4, for HOST/gpu/NAME
  host: {}                      # such as zen3.hub.example: zen3, for zen3.hub.example/NAME
  certificate: {}               # such as '*.zen3.example': zen3, by a DNS name of the certificate
  network: {}                   # such as 10.2.0.0/16: zen3, by the client's address"
            => |config, by| config.auth.profiles_by = by;

        /// [Who a node is](node.md#who-a-node-is): the ways in which a node proves that. Nobody needs
        /// one for a public profile. A node that proved who it is may pull, also where `anonymous`
        /// is `none`; no other right comes of it.
        nodes: NodesLayer = "" => |config, nodes| nodes.apply_to(config);

        /// The lifetime of a token that a client gets for its login; at least `60s`.
        token_lifetime: Option<Time> = "5m"
            => |config, lifetime| config.auth.token_lifetime = lifetime.duration();

        /// Who may read [`/metrics`](monitoring.md): `nobody`, logins under one of the `accounts`,
        /// whatever its role, or `everybody`. Metrics show the names of profiles and of upstreams.
        metrics: Option<MetricsAccess> = "accounts" => |config, access| config.metrics = access;

        /// How much one client may take. A client that passes a limit gets an answer that names it,
        /// or is cut off where it does not listen.
        limits: LimitsLayer = "" => |config, limits| limits.apply_to(config);

        /// Garbage collection while the server runs.
        gc: GcLayer = "" => |config, gc| gc.apply_to(config);

        /// Rereading of everything while the server runs, as `metahub scrub` does.
        scrub: ScrubLayer = "" => |config, scrub| scrub.apply_to(config);

        /// Whether every push and every deletion is refused, with 405 `UNSUPPORTED`. Content of
        /// upstreams is still cached.
        read_only: Option<bool> = "false" => |config, read_only| config.read_only = read_only;

        /// How blobs get to clients: `sendfile`, by the kernel and out of its page cache, which
        /// takes effect for HTTP/1 without TLS; or `read`, into memory and then written.
        ///
        /// [Which is better where](decisions/send-blobs-with-sendfile.md).
        send_blobs: Option<SendBlobs> = "sendfile" => |config, send| config.send_blobs = send;

        /// Whether accounts may delete the tags, manifests and blobs that they may push. One switch
        /// for every way to delete.
        delete: Option<bool> = "true" => |config, delete| config.registry.delete = delete;

        /// Tags that are pushed once: regular expressions that match a whole `NAME:TAG`, such as
        /// `['prod/.*:v[0-9.]+']`. They are never changed or deleted, and neither is any content
        /// that they need.
        ///
        /// Pushing something else under such a tag is refused with 403 `DENIED`; so is deleting the
        /// tag, its manifest, or a manifest or blob that this needs. Pushing the same again is no
        /// change.
        #[schemars(with = "Option<Vec<String>>")]
        immutable_tags: Option<ImmutableTags> = "[]"
            => |config, tags| config.registry.immutable_tags = tags;

        /// Whether a pushed manifest may refer to content that is not stored here.
        sparse: Option<bool> = "false" => |config, sparse| config.registry.sparse = sparse;

        /// How long an upstream's tag is served from the cache before it is revalidated.
        tag_lifetime: Option<Time> = "1m"
            => |config, lifetime| config.registry.tag_lifetime = lifetime.duration();

        /// Where a name is looked up first: in pushed repositories (`first`; a name that was pushed
        /// to is wholly local until [`metahub release`](command-line.md)), or at its upstreams
        /// (`last`; their content under a name that was pushed to is served with a warning).
        local: Option<LocalContent> = "first" => |config, local| config.registry.local = local;

        /// How to handle an image with a requirement that the login does not mention, such as CUDA
        /// on a build host that states its CPU only: `serve` it with a warning where nothing fits
        /// better, or `refuse` it.
        unstated: Option<Unsure> = "serve"
            => |config, unstated| config.registry.policy.unstated = unstated;

        /// How to handle an image with [requirements of its own that cannot be
        /// read](documents.md#what-an-image-itself-requires): `refuse` it, or `serve` it with a
        /// warning.
        unknown_requirements: Option<Unsure> = "refuse"
            => |config, unknown| config.registry.policy.unknown = unknown;

        /// How to use the result of [reading the code of images](inspect.md#in-the-registry):
        /// `trust-labels` reads none; `warn` reads it in the background, and serves an image whose
        /// code requires more than the login has with a warning; `enforce` does not serve such an
        /// image, nor one whose code is not known.
        inspection: Option<InspectionMode> = "warn"
            => |config, mode| config.registry.inspection.mode = mode;

        /// Most bytes of layers that are read for it per second in the background.
        inspection_rate: Option<Rate> = "64 MiB"
            => |config, rate| config.registry.inspection.rate = rate.0;

        /// How long a pull waits with `inspection: enforce` until the code of the chosen image has
        /// been read; after that it counts as not known. Clients themselves give up after some 30
        /// seconds.
        inspection_wait: Option<Time> = "20s"
            => |config, wait| config.registry.inspection.wait = wait.duration();

        /// Files that need no more than was proven, as an operator knows, by the SHA-256 of their
        /// content in hexadecimal; `metahub inspect --format json` shows it. With `@TARGET` after
        /// it, only for logins whose processor has all features of this target:
        /// `metahub inspect IMAGE --run-on TARGET` prints these.
        #[schemars(with = "Option<Vec<String>>")]
        inspection_lifted: Option<FileHashes> = "[]"
            => |config, hashes| config.registry.inspection.lifted = hashes.0;

        /// Registries to pull through: content that is not stored here is fetched there, and
        /// cached. Several for one host, or several defaults, are tried in this order.
        ///
        /// [`metahub.example.yaml`](../metahub.example.yaml) shows the keys of each.
        upstreams: Option<UpstreamList> = "
  - host: docker.io             # as images are written: docker.io/library/debian
    default: true               # names without a host are looked for here
    # url: https://registry-1.docker.io     # where its API is; by default https://HOST
    # plain_http: false         # speak HTTP without TLS
    # allow_private: false      # follow redirects to private addresses
    # ca_file: site-ca.pem      # authorities to trust beside the system's
    # credentials:
    #   username: alice
    #   password_file: /run/secrets/docker-hub      # or password_env: NAME_OF_A_VARIABLE
    #   # or instead, alone: docker_config: /root/.docker/config.json, or helper: ecr-login
    # pass_through:             # read it for each account with its own login there, instead
    #   remember: 5m            # how long one answer of the upstream opens what is cached
    # prefixes:                 # names that lead here by how they begin
    #   - prefix: hub           # hub/library/debian
    #     to: library           # what stands in its place there; nothing by default
    # tag_lifetime: 10m         # for this upstream's tags, instead of the one above
    # tags:                     # by pattern of a whole NAME:TAG there; the first that matches counts
    #   - match: '.*:v?[0-9]+[.][0-9]+[.][0-9]+'
    #     lifetime: immutable   # never asked for again
    #   - match: '.*:nightly'
    #     lifetime: 10s
    # parallel: 1               # requests at once for one large blob, up to 16
    # gone: keep                # a tag that vanishes there: keep serving the copy, or follow
    # realm_hosts: []           # further hosts whose token server may see the credentials
    # cache_size: 200 GiB       # how much of it may be cached; see cache below
    # timeouts:
    #   connect: 10s
    #   answer: 30s
    #   between_bytes: 30s
    # retry:
    #   attempts: 4             # per request
    #   first_wait: 250ms       # doubles each time, in part by chance
    #   longest_wait: 5s
    #   patience: 20s           # for all attempts, and for a Retry-After"
            => |config, list| config.upstreams.upstreams = list.into_upstreams();

        /// The unlisted registries that a name such as `quay.io/x/y` may lead to: `well-known` ([by
        /// this list](#well-known-registries)), `true` for any public host, `false` for none. With
        /// `true` every client that may pull chooses the hosts that this server contacts, and what
        /// it caches.
        #[schemars(with = "Option<shapes::BoolOrWellKnown>")]
        allow_any_host: Option<AnyHost> = "well-known"
            => |config, any| config.upstreams.allow_any_host = any;

        /// How to handle names of hosts that a [forward proxy](#forward-proxies) (`HTTPS_PROXY`)
        /// resolves: they go to the proxy (`allow`), or are resolved here as well and refused where
        /// they lead to private addresses, or are unknown here (`refuse`).
        proxied_private: Option<ProxiedPrivate> = "allow"
            => |config, private| config.upstreams.proxied_private = private;

        /// Never contact any upstream: serve stored content only.
        offline: Option<bool> = "false" => |config, offline| config.upstreams.offline = offline;

        /// Images to fetch before anybody pulls them: a list of items with the keys below. Each is
        /// fetched when the server starts and again as `every` says; what is here already costs one
        /// question to the upstream per tag. What fails is logged and tried again the next time.
        warm: Option<Vec<WarmConfig>> = "[]
#  - images: [quay.io/org/app:1, gromacs:2021.5]
#    as: zen3                   # only what this login gets of them; everything by default
#    platforms: [linux/amd64]   # by default linux on this machine's architecture
#    every: 1h                  # 0s: only at the start"
            => |config, warm| config.warm = warm;

        /// How much may be cached from upstreams; what was used least recently is evicted, and is
        /// fetched again when somebody asks for it. What was pushed is never evicted, nor what a
        /// collection names. Offline nothing is.
        cache: CacheLayer = "" => |config, cache| cache.apply_to(config);

        /// How much is recorded of pulls that fell back to a lesser build or found none, for
        /// [`metahub demand`](curating.md#what-to-build-next).
        demand: DemandLayer = "" => |config, demand| demand.apply_to(config);
    }
}
