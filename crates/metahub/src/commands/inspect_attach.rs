//! `metahub inspect IMAGE --attach`: what was found as a referrer of the image, beside the image
//! (image specification, "Guidelines for artifact usage").

use metahub_client::session::Session;
use metahub_oci::{Digest, Document, ImageReference, MediaType, Reference};
use metahub_operations::InspectReport;
use metahub_signature::EMPTY_CONFIG;
use metahub_upstream::UpstreamConfig;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::json;

use crate::commands::registry_args::{client, push_referrer};

/// The type of the artifact and of its one layer, which is the report as `--format json` prints it.
const INSPECTION: &str = "application/vnd.metahub.inspection.v1+json";

/// Pushes the reports of `image` beside it; the digests of what was pushed. The same report pushed
/// again is the same artifact.
pub(crate) async fn attach(
    image: &ImageReference,
    registry: &UpstreamConfig,
    reports: &[InspectReport],
) -> miette::Result<Vec<Digest>> {
    let client = client(registry).await?;
    let session = client.open_to_push(image.name()).await;
    let session = session
        .into_diagnostic()
        .wrap_err_with(|| format!("nothing can be pushed to {image}"))?;
    let mut attached = Vec::with_capacity(reports.len());
    for report in reports {
        let pushed = push(&session, report).await;
        attached.push(
            pushed
                .wrap_err_with(|| format!("the inspection of {} was not pushed", report.digest))?,
        );
    }
    Ok(attached)
}

async fn push(session: &Session<'_>, report: &InspectReport) -> miette::Result<Digest> {
    let subject = Reference::Digest(report.digest.clone());
    let subject = session.manifest(&subject).await.into_diagnostic()?;
    let bytes = serde_json::to_vec(report).into_diagnostic()?;
    let artifact = artifact(&subject, &bytes)?;
    let digest = artifact.digest().clone();
    if !push_referrer(session, bytes, &artifact).await? {
        return Err(miette!(
            help = "it is there as {digest}, but nobody who has the image finds it; push it to a \
                    registry of the distribution specification 1.1",
            "the registry does not list referrers"
        ));
    }
    Ok(digest)
}

fn artifact(subject: &Document, report: &[u8]) -> miette::Result<Document> {
    let described = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": INSPECTION,
        "config": described(MediaType::OCI_EMPTY, EMPTY_CONFIG),
        "layers": [described(INSPECTION, report)],
        "subject": subject.descriptor().as_json(),
    });
    Document::parse(manifest.to_string().into(), None).into_diagnostic()
}
