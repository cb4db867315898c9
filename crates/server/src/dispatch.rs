//! Dispatches one request: route → identity → right → handler → answer → log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use metahub_auth::{Arrival, Granted, Identity, Right};
use metahub_oci::{ErrorCode, ImageReference, Reference, RepositoryName};
use metahub_operations::DocumentKind;
use metahub_registry::NamespaceError;

use crate::access;
use crate::admission::Admission;
use crate::app::App;
use crate::body::Body;
use crate::call::Call;
use crate::channels::{self, Below};
use crate::connection::Peer;
use crate::error::HttpError;
use crate::handlers::{base, curation, demand, hardware, lists, nodes, resolve, token};
use crate::host_header;
use crate::kind::Kind;
use crate::log::Record;
use crate::metrics::{Metrics, MetricsAccess};
use crate::operate::Operations;
use crate::operation::Operation;
use crate::request::{self, Pairs};
use crate::request_body::RequestBody;
use crate::route::{Curated, Route};
use crate::scrape::scrape;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// Answers requests. Shared by all connections.
pub(crate) struct Dispatcher {
    app: App,
    metrics: Arc<Metrics>,
    admission: Admission,
}

impl Dispatcher {
    pub(crate) fn new(app: App, metrics: Arc<Metrics>) -> Self {
        Self {
            admission: Admission::new(&app.limits),
            app,
            metrics,
        }
    }

    /// Answers one request. Never fails: an error is an answer too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = RequestBody::new(body, self.app.limits.stall_timeout).counted(&self.metrics);
        let client = self.app.addresses.client(&head.headers, peer.address);
        let mut record = Box::new(Record::new(
            &self.metrics,
            &head.method,
            &head.headers,
            client,
        ));
        let call = Call {
            query: Pairs::of(&head.uri),
            origin: self.app.addresses.origin(
                &head,
                peer.address,
                peer.tls,
                &self.app.authenticator.config().profiles_by,
            ),
            client,
            certificate: peer.certificate.as_deref().unwrap_or_default(),
            sendfile: peer.sendfile && head.version != Version::HTTP_2,
            head: &head,
        };
        let result = self.admitted(&call, body, &mut record).await;
        let mut response = result.unwrap_or_else(|error| {
            record.fails(&error);
            error.into_response()
        });
        record.answers(response.status());
        if self.app.authenticator.config().profile_header {
            channels::vary_by_profile_header(response.headers_mut());
        }
        response
            .headers_mut()
            .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if let Some(ns) = namespace(&call.query)
            && let Ok(ns) = HeaderValue::from_str(ns)
            && head.uri.path().starts_with("/v2/")
        {
            response.headers_mut().insert(OCI_NAMESPACE, ns);
        }
        response.map(|body| body.logged(record))
    }

    /// Answers one request if it is admitted. A panic becomes an answer too, and everything that
    /// the request held is released.
    async fn admitted(
        &self,
        call: &Call<'_>,
        body: RequestBody,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        let path = call.head.uri.path();
        record.share = self.admission.enter(path, call.client, &self.metrics)?;
        host_header::check(call.head)?;
        let dispatcher = AssertUnwindSafe(self.dispatch(call, body, record));
        dispatcher.catch_unwind().await.unwrap_or_else(|_| {
            self.metrics.panicked.inc();
            tracing::error!("the handling of a request panicked");
            Err(HttpError::code(
                ErrorCode::Unknown,
                "the registry failed; its log says why. Try again later",
            ))
        })
    }

    async fn dispatch(
        &self,
        call: &Call<'_>,
        body: RequestBody,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        let Call { head, query, .. } = call;
        let asked = Arc::new(Route::parse(&head.method, head.uri.path())?);
        let maps = &self.app.authenticator.config().profiles_by;
        let below = match &*asked {
            Route::In(name, operation) if operation.right() == Right::Pull => {
                channels::below_prefix(maps, &self.app.registry, name).await?
            }
            _ => None,
        };
        let (bare, prefix) = match (below, &*asked) {
            (Some(Below { prefix, rest }), Route::In(_, operation)) => {
                (Arc::new(Route::In(rest, operation.clone())), Some(prefix))
            }
            _ => (Arc::clone(&asked), None),
        };
        let route = match namespace(query) {
            Some(ns) => Arc::new(self.scoped(&bare, ns)?),
            None => bare,
        };
        record.kind = Kind::from(&*route);
        record.route = Some(Arc::clone(&route));
        if let Route::In(repository, _) = &*route {
            self.check_name(repository)?;
        }
        match &*route {
            Route::Health => Ok(base::health()),
            Route::Ready => base::ready(self.app.registry.store()),
            Route::Hardware => Ok(hardware::get(&self.app.registry)),
            Route::Demand => self.demand(call, record).await,
            Route::Welcome => Ok(base::welcome(&call.origin.host())),
            Route::JoinNode => {
                let body = request::read(body, nodes::MAX_BYTES, "the body").await?;
                nodes::join(self.app.authenticator.nodes(), &body, call.client).await
            }
            Route::ReportNode => self.report(call, record, body).await,
            Route::OpenApi => Ok(curation::openapi()),
            Route::Curated(kind, asked) => {
                let identity = self.identify(call, record).await?;
                self.curated(call, identity, *kind, asked, body).await
            }
            Route::Token => self.token(call, body).await,
            Route::Metrics => self.metrics(call, record).await,
            Route::Base => {
                let identity = self.identify(call, record).await?;
                self.require(call, identity).map(|_| base::base())
            }
            Route::Repositories => {
                let identity = self.identify(call, record).await?;
                let identity = access::may_list(&self.app.authenticator, identity, &call.origin)?;
                lists::repositories(
                    &self.app.registry,
                    &identity,
                    query,
                    self.app.limits.page_size,
                )
                .await
            }
            Route::Resolve => self.resolve(call, record).await,
            Route::In(name, operation) => {
                if self.app.read_only && operation.changes() {
                    return Err(read_only());
                }
                let identity = self.identify(call, record).await?;
                // The challenge names the requested name: it must not reveal which names below a
                // prefix exist here.
                let challenged = match (&identity, &*asked) {
                    (None, Route::In(asked, _)) if namespace(query).is_none() => asked,
                    _ => name,
                };
                let right = operation.right();
                let (mut identity, granted) = self.authorize(call, identity, right, challenged)?;
                if right != Right::Pull {
                    channels::refuse_push_below(maps, &self.app.registry, name).await?;
                }
                if matches!(operation, Operation::GetManifest(Reference::Tag(_))) {
                    identity = self.profiled(call, identity, prefix.as_ref(), record)?;
                }
                let asked = match &*asked {
                    Route::In(asked, _) => asked,
                    _ => name,
                };
                let operations = Operations {
                    app: &self.app,
                    metrics: &self.metrics,
                };
                operations
                    .operate(call, &identity, (&granted, asked), operation, body)
                    .await
            }
        }
    }

    /// Resolves `ns`, by which a client of a mirror names the registry
    /// (`spec.md#registry-proxying`). From here on the repository is `HOST/NAME`, and the rights of
    /// that name count. Nothing is pushed to another registry.
    fn scoped(&self, asked: &Route, ns: &str) -> Result<Route, HttpError> {
        let Route::In(name, operation) = asked else {
            return Ok(asked.clone());
        };
        if operation.right() != Right::Pull {
            return Err(HttpError::code(
                ErrorCode::Unsupported,
                format!(
                    "ns={ns}: a mirror is only read; push to the registry itself, or without ns"
                ),
            ));
        }
        let name = self.app.registry.namespaced(ns, name).map_err(|error| {
            let code = match error {
                NamespaceError::NotServed(_) => ErrorCode::NameUnknown,
                _ => ErrorCode::NameInvalid,
            };
            HttpError::code(code, error.to_string())
        })?;
        Ok(Route::In(name, operation.clone()))
    }

    /// The documents of the API, for accounts with the right to read or change them.
    async fn curated(
        &self,
        call: &Call<'_>,
        identity: Option<Arc<Identity>>,
        kind: DocumentKind,
        asked: &Curated,
        body: RequestBody,
    ) -> Result<Response<Body>, HttpError> {
        let changes = matches!(asked, Curated::Put(_) | Curated::Delete(_));
        let account = access::curator(&self.app.authenticator, identity, &call.origin, changes)?;
        if changes && self.app.read_only {
            return Err(read_only());
        }
        let Some(curation) = &self.app.curation else {
            return Err(HttpError::not_found("this server keeps no documents"));
        };
        let request = curation::Request {
            kind,
            account: &account,
            headers: &call.head.headers,
            query: &call.query,
        };
        curation::answer(curation, &request, asked, body).await
    }

    fn check_name(&self, name: &RepositoryName) -> Result<(), HttpError> {
        let (length, most) = (name.as_str().len(), self.app.limits.name_length);
        if length <= most {
            return Ok(());
        }
        let message = format!("the name has {length} characters: at most {most} are accepted here");
        Err(HttpError::code(ErrorCode::NameInvalid, message))
    }

    /// What a login gets for an image, and why.
    async fn resolve(
        &self,
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        let image = resolve::image(&call.query)?;
        let identity = self.identify(call, record).await?;
        let identity = identity.or_else(|| self.app.authenticator.anonymous());
        // The name of a pull of this image counts.
        let (image, prefix) = self.without_prefix(image).await?;
        let name = self.app.registry.client_name(&image)?;
        self.check_name(&name)?;
        let (identity, granted) = self.authorize(call, identity, Right::Pull, &name)?;
        let identity = self.profiled(call, identity, prefix.as_ref(), record)?;
        let repository = self.app.registry.read(&granted, call.client)?;
        resolve::get(
            &repository,
            &identity,
            &call.head.headers,
            &call.query,
            &image,
        )
        .await
    }

    /// A node's report about itself.
    async fn report(
        &self,
        call: &Call<'_>,
        record: &mut Record,
        body: RequestBody,
    ) -> Result<Response<Body>, HttpError> {
        let identity = self.identify(call, record).await?;
        let identity = self.require(call, identity)?;
        let body = request::read(body, nodes::MAX_BYTES, "the body").await?;
        nodes::report(self.app.authenticator.nodes(), &identity, &body)
    }

    /// Missing builds, for admins.
    async fn demand(
        &self,
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        let identity = self.identify(call, record).await?;
        access::require_admin(&self.app.authenticator, identity, &call.origin)?;
        demand::get(&self.app.registry, &call.query).await
    }

    /// The metrics page, for accounts that the configuration lets read it.
    async fn metrics(
        &self,
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        match self.app.metrics {
            MetricsAccess::Nobody => {
                return Err(HttpError::not_found(
                    "metrics are switched off (metrics: nobody in the configuration)",
                ));
            }
            MetricsAccess::Accounts => {
                let identity = self.identify(call, record).await?;
                access::require_account(&self.app.authenticator, identity, &call.origin)?;
            }
            MetricsAccess::Everybody => {}
        }
        let in_flight = self.admission.used();
        Ok(base::metrics(scrape(&self.metrics, &self.app, in_flight)))
    }

    /// The caller's identity, if the request has credentials.
    async fn identify(
        &self,
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<Option<Arc<Identity>>, HttpError> {
        let (headers, from) = (&call.head.headers, call.client);
        let authenticator = &self.app.authenticator;
        let identity =
            access::identify(authenticator, headers, from, call.certificate, &call.origin).await?;
        record.identity.clone_from(&identity);
        Ok(identity)
    }

    fn require(
        &self,
        call: &Call<'_>,
        identity: Option<Arc<Identity>>,
    ) -> Result<Arc<Identity>, HttpError> {
        access::require(&self.app.authenticator, identity, &call.origin)
    }

    /// The identity with the profile that the request's properties choose, if its login names no
    /// hardware. `prefix` was removed from the repository's name.
    fn profiled(
        &self,
        call: &Call<'_>,
        identity: Arc<Identity>,
        prefix: Option<&RepositoryName>,
        record: &mut Record,
    ) -> Result<Arc<Identity>, HttpError> {
        let authenticator = &self.app.authenticator;
        let by_host = authenticator.config().profiles_by.by_host();
        let host = by_host.then(|| call.origin.asked_host()).flatten();
        let arrival = Arrival {
            path: prefix,
            host: host.as_ref(),
            header: None,
            certificate: call.certificate,
            client: call.client,
        };
        let headers = &call.head.headers;
        let identity = channels::profiled(authenticator, headers, &arrival, identity)?;
        record.identity = Some(Arc::clone(&identity));
        Ok(identity)
    }

    /// An image's name without the prefix that chooses a profile, and that prefix.
    async fn without_prefix(
        &self,
        image: ImageReference,
    ) -> Result<(ImageReference, Option<RepositoryName>), HttpError> {
        let maps = &self.app.authenticator.config().profiles_by;
        let below = match image.host() {
            None => channels::below_prefix(maps, &self.app.registry, image.name()).await?,
            Some(_) => None,
        };
        Ok(match below {
            Some(Below { prefix, rest }) => (image.with_name(rest), Some(prefix)),
            None => (image, None),
        })
    }

    fn authorize(
        &self,
        call: &Call<'_>,
        identity: Option<Arc<Identity>>,
        right: Right,
        name: &RepositoryName,
    ) -> Result<(Arc<Identity>, Granted), HttpError> {
        access::authorize(&self.app.authenticator, identity, &call.origin, right, name)
    }

    async fn token(&self, call: &Call<'_>, body: RequestBody) -> Result<Response<Body>, HttpError> {
        let form = request::read(body, token::MAX_FORM_BYTES, "the form").await?;
        token::issue(&self.app.authenticator, call, &form).await
    }
}

/// The registry of the repository, as a client of a mirror names it.
fn namespace(query: &Pairs) -> Option<&str> {
    query.get("ns").filter(|ns| !ns.is_empty())
}

fn read_only() -> HttpError {
    HttpError::code(
        ErrorCode::Unsupported,
        "this registry is read-only (read_only in its configuration): nothing can be pushed or \
         deleted",
    )
    .with_header(header::ALLOW, "GET, HEAD")
}
