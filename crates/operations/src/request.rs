//! A request for any operation on a data folder, as it goes through the control socket.

use metahub_registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backup::Backup;
use crate::demand::ShowDemand;
use crate::error::OperationError;
use crate::images::{TakeInventory, Warm};
use crate::import::ImportBundle;
use crate::names::{ListEmptyNames, Release};
use crate::operation::Operation;
use crate::pins::{ListPins, PinImage, UnpinImage};
use crate::progress::Progress;
use crate::upkeep::{CollectGarbage, Scrub};

/// An operation on a data folder. Its JSON is that of the operation with the field `order`, which
/// names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Request {
    /// Collect garbage.
    Gc(CollectGarbage),
    /// Reread everything.
    Scrub(Scrub),
    /// Copy everything.
    Backup(Backup),
    /// Fetch images in full.
    Warm(Warm),
    /// The same, with their inventory.
    Inventory(TakeInventory),
    /// Import a bundle.
    Import(ImportBundle),
    /// Release local names.
    Release(Release),
    /// List the local names without pushed content.
    EmptyNames(ListEmptyNames),
    /// Pin a manifest.
    Pin(PinImage),
    /// Remove a pin.
    Unpin(UnpinImage),
    /// List the pins.
    Pins(ListPins),
    /// Report missing builds.
    Demand(ShowDemand),
}

impl Request {
    /// Runs it. Returns its report as JSON.
    ///
    /// # Errors
    /// As [`OperationError`] says.
    pub async fn carry_out(
        self,
        registry: &Registry,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Value, OperationError> {
        match self {
            Self::Gc(one) => report(one, registry, progress).await,
            Self::Scrub(one) => report(one, registry, progress).await,
            Self::Backup(one) => report(one, registry, progress).await,
            Self::Warm(one) => report(one, registry, progress).await,
            Self::Inventory(one) => report(one, registry, progress).await,
            Self::Import(one) => report(one, registry, progress).await,
            Self::Release(one) => report(one, registry, progress).await,
            Self::EmptyNames(one) => report(one, registry, progress).await,
            Self::Pin(one) => report(one, registry, progress).await,
            Self::Unpin(one) => report(one, registry, progress).await,
            Self::Pins(one) => report(one, registry, progress).await,
            Self::Demand(one) => report(one, registry, progress).await,
        }
    }

    /// Whether it does not need the documents, which may then have errors.
    #[must_use]
    pub fn is_upkeep(&self) -> bool {
        matches!(
            self,
            Self::Gc(_)
                | Self::Scrub(_)
                | Self::Backup(_)
                | Self::Release(_)
                | Self::EmptyNames(_)
                | Self::Pin(_)
                | Self::Unpin(_)
                | Self::Pins(_)
                | Self::Demand(_)
        )
    }
}

async fn report<O: Operation>(
    operation: O,
    registry: &Registry,
    progress: impl FnMut(Progress) + Send + Sync,
) -> Result<Value, OperationError> {
    let report = operation.carry_out(registry, progress).await?;
    Ok(serde_json::to_value(report)?)
}

macro_rules! request_of {
    ($($operation:ident => $request:ident),* $(,)?) => {$(
        impl From<$operation> for Request {
            fn from(operation: $operation) -> Self {
                Self::$request(operation)
            }
        }
    )*};
}

request_of! {
    CollectGarbage => Gc,
    Scrub => Scrub,
    Backup => Backup,
    Warm => Warm,
    TakeInventory => Inventory,
    ImportBundle => Import,
    Release => Release,
    ListEmptyNames => EmptyNames,
    PinImage => Pin,
    UnpinImage => Unpin,
    ListPins => Pins,
    ShowDemand => Demand,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What commands and servers of former versions send and understand.
    #[test]
    fn the_json_of_a_request_stays_what_it_was() {
        let images = json!({"images": ["a:1"], "login": null, "platforms": [metahub_oci::Platform::linux_amd64()], "profiles": false});
        let with = |order: &str| {
            let mut value = json!({"order": order});
            let fields = images.as_object().unwrap().clone();
            value.as_object_mut().unwrap().extend(fields);
            value
        };
        for written in [
            json!({"order": "gc", "grace_seconds": 60, "dry_run": true}),
            json!({"order": "scrub", "bytes_per_second": null, "dry_run": false, "accept_loss": true}),
            json!({"order": "backup", "folder": "/b", "prune": false}),
            with("warm"),
            with("inventory"),
            json!({"order": "import", "path": "/f.tar", "name": null, "documents": true}),
            json!({"order": "release", "names": ["team/app"]}),
            json!({"order": "empty-names"}),
            json!({"order": "pin", "image": "lab/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}),
            json!({"order": "unpin", "image": "lab/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}),
            json!({"order": "pins"}),
            json!({"order": "demand", "seconds": 86400, "image": null}),
        ] {
            let request: Request = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(request).unwrap(), written);
        }
        let former = json!({"order": "scrub", "bytes_per_second": 5, "dry_run": false});
        let request: Request = serde_json::from_value(former).unwrap();
        assert!(matches!(
            request,
            Request::Scrub(Scrub {
                accept_loss: false,
                ..
            })
        ));
        for wrong in [json!({"order": "x"}), json!({}), json!({"order": "backup"})] {
            assert!(serde_json::from_value::<Request>(wrong).is_err());
        }
    }
}
