//! One request's way: route → identity → right → handler → answer → log line.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use metahub_auth::{Authenticator, Identity, Right};
use metahub_oci::{MAX_MANIFEST_BYTES, RepositoryName};
use metahub_registry::Registry;

use crate::access::{self, Origin};
use crate::body::Body;
use crate::error::HttpError;
use crate::handlers::{base, blobs, lists, manifests, resolve, token, uploads};
use crate::log::Record;
use crate::request::{self, Pairs};
use crate::route::Route;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// What every request needs. Shared by all connections.
pub struct App {
    /// The registry itself.
    pub registry: Registry,
    /// Tells who asks.
    pub authenticator: Authenticator,
    /// The `HOST:PORT` to name where a client names none.
    pub fallback_host: String,
}

/// One request, taken apart.
struct Call {
    head: http::request::Parts,
    query: Pairs,
    origin: Origin,
    peer: SocketAddr,
}

impl App {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut record = Box::new(Record::new(&head.method, &head.headers, peer));
        let call = Call {
            query: Pairs::of(&head.uri),
            origin: Origin::of(&head, false, &self.fallback_host),
            head,
            peer,
        };
        let result = self.dispatch(&call, body, &mut record).await;
        let mut response = result.unwrap_or_else(|error| {
            record.code = Some(error.error_code());
            error.into_response()
        });
        record.status = response.status();
        response
            .headers_mut()
            .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        response.map(|body| body.logged(record))
    }

    async fn dispatch(
        &self,
        call: &Call,
        body: Incoming,
        record: &mut Record,
    ) -> Result<Response<Body>, HttpError> {
        let head = &call.head;
        let route = Route::parse(&head.method, head.uri.path())?;
        if let Some(repository) = route.repository() {
            record.repository = repository.to_string();
            record.reference = route.reference();
        }
        match route {
            Route::Health => return Ok(base::health()),
            Route::Welcome => return Ok(base::welcome(&call.origin.host)),
            Route::Token => return self.token(call, body).await,
            _ => {}
        }
        let from = call.peer.ip();
        let identity =
            access::identify(&self.authenticator, &head.headers, from, &call.origin).await?;
        if let Some(identity) = &identity {
            identity.login().clone_into(&mut record.login);
        }
        self.run(route, identity, call, body).await
    }

    async fn token(&self, call: &Call, body: Incoming) -> Result<Response<Body>, HttpError> {
        let head = &call.head;
        let form = request::read(body, token::MAX_FORM_BYTES, "the form").await?;
        let (from, origin) = (call.peer.ip(), &call.origin);
        token::issue(
            &self.authenticator,
            &head.method,
            &head.headers,
            &call.query,
            form,
            from,
            origin,
        )
        .await
    }

    /// Maps each operation to exactly one right, and to its handler.
    async fn run(
        &self,
        route: Route,
        identity: Option<Arc<Identity>>,
        call: &Call,
        body: Incoming,
    ) -> Result<Response<Body>, HttpError> {
        let registry = &self.registry;
        let Call { head, query, .. } = call;
        let may = |right: Right, name: &RepositoryName| {
            access::authorize(
                &self.authenticator,
                identity.clone(),
                &call.origin,
                right,
                name,
            )
        };
        match &route {
            Route::Health | Route::Welcome | Route::Token => Ok(base::health()),
            Route::Base => {
                access::require(&self.authenticator, identity, &call.origin)?;
                Ok(base::base())
            }
            Route::Repositories => {
                let identity = access::require(&self.authenticator, identity, &call.origin)?;
                access::may_list(&identity)?;
                lists::repositories(registry, &identity, query).await
            }
            Route::Resolve => {
                let image = resolve::image(query)?;
                let identity = match identity {
                    Some(identity) => Some(identity),
                    None => self.authenticator.anonymous(),
                };
                let identity = access::authorize(
                    &self.authenticator,
                    identity,
                    &call.origin,
                    Right::Pull,
                    image.name(),
                )?;
                resolve::get(registry, &identity, &head.headers, query, &image).await
            }
            Route::GetBlob(name, digest) => {
                may(Right::Pull, name)?;
                blobs::get(registry, &head.method, &head.headers, name, digest).await
            }
            Route::DeleteBlob(name, digest) => {
                may(Right::Delete, name)?;
                blobs::delete(registry, name, digest).await
            }
            Route::GetManifest(name, reference) => {
                let identity = may(Right::Pull, name)?;
                let (method, headers) = (&head.method, &head.headers);
                manifests::get(
                    registry,
                    method,
                    headers,
                    identity.profile(),
                    name,
                    reference,
                )
                .await
            }
            Route::PutManifest(name, reference) => {
                may(Right::Push, name)?;
                let bytes: Bytes = request::read(body, MAX_MANIFEST_BYTES, "a manifest").await?;
                manifests::put(registry, &head.headers, query, name, reference, bytes).await
            }
            Route::DeleteManifest(name, reference) => {
                may(Right::Delete, name)?;
                manifests::delete(registry, name, reference).await
            }
            Route::DeleteTag(name, tag) => {
                may(Right::Delete, name)?;
                manifests::delete(registry, name, &tag.clone().into()).await
            }
            Route::StartUpload(name) => {
                let identity = may(Right::Push, name)?;
                let may_mount = |from: &RepositoryName| {
                    access::may_mount(&self.authenticator, &identity, &call.origin, from, name)
                };
                let headers = &head.headers;
                uploads::start(registry, &identity, &may_mount, query, headers, name, body).await
            }
            Route::UploadStatus(name, id) => {
                may(Right::Push, name)?;
                uploads::status(registry, name, id).await
            }
            Route::AppendUpload(name, id) => {
                may(Right::Push, name)?;
                uploads::append(registry, &head.headers, name, id, body).await
            }
            Route::FinishUpload(name, id) => {
                may(Right::Push, name)?;
                uploads::finish(registry, query, &head.headers, name, id, body).await
            }
            Route::CancelUpload(name, id) => {
                may(Right::Push, name)?;
                uploads::cancel(registry, name, id).await
            }
            Route::Tags(name) => {
                may(Right::Pull, name)?;
                lists::tags(registry, query, name).await
            }
            Route::Referrers(name, digest) => {
                may(Right::Pull, name)?;
                lists::referrers(registry, query, name, digest).await
            }
        }
    }
}
