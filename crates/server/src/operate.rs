//! Routes an operation of the distribution API, with its right, to its handler.

use http::{Method, Response, header};
use metahub_auth::{Granted, Identity, Right};
use metahub_oci::{ErrorCode, Reference, RepositoryName, Tag};
use metahub_registry::{Puller, Push, Read, Repository};

use crate::app::App;
use crate::body::Body;
use crate::call::Call;
use crate::error::HttpError;
use crate::handlers::{blobs, lists, manifests, uploads};
use crate::metrics::Metrics;
use crate::operation::Operation;
use crate::request;
use crate::request_body::RequestBody;
use crate::respond::CONTENT_DIGEST;

/// Carries out operations.
pub(crate) struct Operations<'a> {
    pub(crate) app: &'a App,
    pub(crate) metrics: &'a Metrics,
}

impl Operations<'_> {
    /// Hands an operation to its handler. `granted` is the right to it, `asked` the client's name
    /// of the repository.
    pub(crate) async fn operate(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        (granted, asked): (&Granted, &RepositoryName),
        operation: &Operation,
        body: RequestBody,
    ) -> Result<Response<Body>, HttpError> {
        let (registry, client) = (&self.app.registry, call.client);
        match granted.right() {
            Right::Push => {
                let repository = registry.push(granted, client)?;
                self.push(call, identity, &repository, operation, body)
                    .await
            }
            Right::Delete => {
                let repository = registry.delete(granted, client)?;
                match operation {
                    Operation::DeleteBlob(digest) => blobs::delete(&repository, digest).await,
                    Operation::DeleteManifest(reference) => {
                        manifests::delete(&repository, reference).await
                    }
                    Operation::DeleteTag(tag) => {
                        manifests::delete(&repository, &tag.clone().into()).await
                    }
                    _ => Err(mismatch(operation)),
                }
            }
            Right::Pull | Right::Curate | Right::Admin => {
                let repository = registry.read(granted, client)?;
                self.read(call, identity, (&repository, asked), operation)
                    .await
            }
        }
    }

    async fn read(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        (repository, asked): (&Repository<'_, Read>, &RepositoryName),
        operation: &Operation,
    ) -> Result<Response<Body>, HttpError> {
        let Call { head, query, .. } = call;
        let (method, headers, limits) = (&head.method, &head.headers, &self.app.limits);
        match operation {
            Operation::GetBlob(digest) => {
                let manner = blobs::Manner {
                    sendfile: call.sendfile,
                    pushes: identity.pushes_to(repository.name()),
                };
                blobs::get(repository, method, headers, digest, manner).await
            }
            Operation::GetManifest(reference) => {
                let profile = identity.profile();
                let puller = Puller {
                    is_head: method == Method::HEAD,
                    address: call.client,
                    agent: request::header(headers, header::USER_AGENT).unwrap_or_default(),
                    has_account: identity.account().is_some(),
                    node: identity.node().map(|node| node.name.as_str()),
                };
                let answer =
                    manifests::get(repository, method, headers, profile, reference, &puller)
                        .await?;
                if let Reference::Tag(tag) = reference {
                    self.metrics.resolved(profile);
                    // Docker and containerd request a tag by HEAD, and continue by digest.
                    self.note_pull(identity, asked, tag, &answer);
                }
                Ok(answer)
            }
            Operation::Tags => {
                let profile = identity.profile();
                lists::tags(repository, profile, query, limits.page_size, asked).await
            }
            Operation::Referrers(digest) => {
                lists::referrers(repository, query, limits.page_size, asked, digest).await
            }
            _ => Err(mismatch(operation)),
        }
    }

    /// Notes what a node got for `asked:tag`.
    fn note_pull(
        &self,
        identity: &Identity,
        asked: &RepositoryName,
        tag: &Tag,
        answer: &Response<Body>,
    ) {
        if let (Some(nodes), Some(node)) = (self.app.authenticator.nodes(), identity.node())
            && let Some(digest) = answer.headers().get(CONTENT_DIGEST)
            && let Ok(digest) = digest.to_str()
        {
            nodes.pulled(node, format!("{asked}:{tag}"), digest.to_owned());
        }
    }

    async fn push(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        repository: &Repository<'_, Push>,
        operation: &Operation,
        body: RequestBody,
    ) -> Result<Response<Body>, HttpError> {
        let Call { head, query, .. } = call;
        let headers = &head.headers;
        match operation {
            Operation::PutManifest(reference) => {
                let documents = self.app.registry.documents();
                let limit = self.app.limits.manifest_size;
                let read = request::read_document(body, limit, "a manifest", documents);
                let (bytes, _until_stored) = read.await?;
                manifests::put(repository, headers, query, reference, bytes).await
            }
            Operation::StartUpload => {
                let mounts = uploads::Mounts {
                    registry: &self.app.registry,
                    authenticator: &self.app.authenticator,
                    identity,
                    origin: &call.origin,
                    client: call.client,
                };
                uploads::start(repository, &mounts, query, headers, body).await
            }
            Operation::UploadStatus(id) => uploads::status(repository, id).await,
            Operation::AppendUpload(id) => uploads::append(repository, headers, id, body).await,
            Operation::FinishUpload(id) => {
                uploads::finish(repository, query, headers, id, body).await
            }
            Operation::CancelUpload(id) => uploads::cancel(repository, id).await,
            _ => Err(mismatch(operation)),
        }
    }
}

/// An operation with another right than its own, which [`Operation::right`] rules out.
fn mismatch(operation: &Operation) -> HttpError {
    tracing::error!(?operation, "has no handler under its right");
    HttpError::code(
        ErrorCode::Unknown,
        "the registry failed; its log says why. Try again later",
    )
}
