//! What machines got is counted: by what, and within which bounds.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use metahub_registry::{Demand, DemandKind, DemandSettings, Puller};

use crate::world::{World, name};
use crate::*;

const SOMEBODY: Puller<'static> = Puller {
    is_head: false,
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    agent: "client",
    has_account: false,
    node: None,
};

impl World {
    async fn pull_by(&self, login: &str, image: &str, puller: &Puller<'_>) -> bool {
        let profile = self.catalog.interpret(login, &|_| false).unwrap().profile;
        let (repository, tag) = image.split_once(':').unwrap();
        let tag: Tag = tag.parse().unwrap();
        let repository = name(repository);
        let repository = self.registry.operator().read(&repository);
        let pulled = repository.pulled(&tag, &profile, Accepts::Index, puller);
        pulled.await.is_ok()
    }

    async fn demand(&self) -> Demand {
        let since = SystemTime::now() - Duration::from_hours(24);
        self.registry.demand(since, |_| true).await.unwrap()
    }

    /// What of `image` a login got, as it was counted for a pull by that login alone.
    async fn counted(login: &str, image: &str) -> Option<(String, DemandKind, u64)> {
        let world = Self::new().await.filled().await;
        // Chosen, then found again, then answered as before.
        for _ in 0..3 {
            world.pull_by(login, image, &SOMEBODY).await;
        }
        let demand = world.demand().await;
        let counts = world.registry.counts();
        match demand.rows.as_slice() {
            [] if demand.pulls == 0 => None,
            [] => {
                assert_eq!((demand.pulls, counts.demand_exact), (3, 3));
                Some((String::new(), DemandKind::Exact, 0))
            }
            [row] => {
                assert_eq!((row.pulls, demand.pulls), (3, 3));
                assert_eq!((row.nodes, row.more_nodes), (0, false));
                let target = format!("{}+{}", row.target, row.gpu);
                let target = target.trim_end_matches('+');
                Some((format!("{target} {}", row.got), row.kind, row.bytes / 3))
            }
            rows => panic!("{rows:?}"),
        }
    }
}

#[tokio::test]
async fn a_pull_counts_by_how_well_its_build_serves_the_processor_of_the_login() {
    let exact = || (String::new(), DemandKind::Exact, 0);
    let got = |text: &str, kind, bytes| Some((text.to_owned(), kind, bytes));
    for (login, expected) in [
        ("zen3+cuda=12.4", Some(exact())),
        ("cascadelake", Some(exact())),
        ("zen4+cuda=12.4", got("zen4 zen3", DemandKind::Fallback, 4)),
        (
            "zen4+cuda=12.4+cc=9.0",
            got("zen4+cc:9.0 zen3", DemandKind::Fallback, 4),
        ),
        (
            "icelake",
            got("icelake cascadelake", DemandKind::Fallback, 3),
        ),
        ("haswell", got("haswell generic", DemandKind::Generic, 4)),
        ("x86_64", Some(exact())),
        ("a64fx", got("a64fx generic", DemandKind::Generic, 3)),
        ("power9le", got("power9le none", DemandKind::None, 0)),
        // No processor, no lack of a build for one.
        ("cuda=12.4", None),
        ("any", None),
    ] {
        assert_eq!(
            World::counted(login, "lab/app:latest").await,
            expected,
            "{login}"
        );
    }
    // Nobody builds this for processors, and nothing is called like that.
    assert_eq!(World::counted("zen4", "lab/one:latest").await, None);
    assert_eq!(World::counted("zen4", "lab/nothing:latest").await, None);
}

#[tokio::test]
async fn an_image_of_a_collection_counts_though_it_is_built_for_no_processor() {
    let documents = "
manifests:
  - {name: app, manifests: [{image: 'lab/one:latest', platform: {features: []}}]}
";
    let world = World::of_documents(documents).await.filled().await;
    assert!(world.pull_by("zen4", "app:latest", &SOMEBODY).await);
    let demand = world.demand().await;
    assert_eq!(demand.rows.len(), 1, "{demand:?}");
    assert_eq!(
        (demand.rows[0].got.as_str(), demand.fell_back),
        ("generic", 1)
    );
}

#[tokio::test]
async fn nodes_are_told_apart_and_nobody_reads_which_they_are() {
    let demand = DemandSettings {
        secret: Some(metahub_store::Redacted::new([7; 32])),
        ..DemandSettings::default()
    };
    let settings = Settings {
        demand,
        ..Settings::default()
    };
    let store = Store::temporary().await.unwrap();
    let world = World::with(store, settings).await.filled().await;
    for node in ["n1", "n2", "n1"] {
        let puller = Puller {
            node: Some(node),
            ..SOMEBODY
        };
        world.pull_by("icelake", "lab/app:latest", &puller).await;
    }
    world.pull_by("icelake", "lab/app:latest", &SOMEBODY).await;
    let demand = world.demand().await;
    assert_eq!((demand.rows[0].nodes, demand.rows[0].pulls), (2, 4));
    // Another day of the same adds to it.
    let puller = Puller {
        node: Some("n3"),
        ..SOMEBODY
    };
    world.pull_by("icelake", "lab/app:latest", &puller).await;
    let demand = world.demand().await;
    assert_eq!((demand.rows[0].nodes, demand.rows[0].pulls), (3, 5));
}

#[tokio::test]
async fn whatever_logins_are_thought_up_there_are_few_rows_and_those_of_accounts_stay() {
    let settings = Settings {
        demand: DemandSettings {
            limit: 10,
            ..DemandSettings::default()
        },
        ..Settings::default()
    };
    let store = Store::temporary().await.unwrap();
    let world = World::with(store, settings).await.filled().await;
    let account = Puller {
        has_account: true,
        ..SOMEBODY
    };
    world.pull_by("icelake", "lab/app:latest", &account).await;
    world.registry.write_demand().await.unwrap();
    // What is invented beside targets and kinds of GPUs makes no row.
    for number in 0..400 {
        let login = format!("haswell+cc=77.{number}+site=s{number}");
        world.pull_by(&login, "lab/app:latest", &SOMEBODY).await;
    }
    assert_eq!(world.demand().await.rows.len(), 2);
    for target in [
        "zen",
        "zen5",
        "broadwell",
        "skylake",
        "sandybridge",
        "ivybridge",
    ] {
        for gpu in ["8.0", "8.6", "9.0"] {
            let login = format!("{target}+cc={gpu}");
            world.pull_by(&login, "lab/app:latest", &SOMEBODY).await;
        }
    }
    let demand = world.demand().await;
    assert_eq!(demand.rows.len(), 10);
    assert!(demand.rows.iter().any(|row| row.target == "icelake"));
    assert_eq!(world.registry.counts().demand_dropped, 20 - 10);
}

#[tokio::test]
async fn what_is_counted_is_there_after_a_restart_if_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path(), Mode::Serve);
    let world = World::with(open().await.unwrap(), Settings::default()).await;
    let world = world.filled().await;
    world.pull_by("icelake", "lab/app:latest", &SOMEBODY).await;
    world.registry.write_demand().await.unwrap();
    // Not written: what a crash loses.
    world.pull_by("icelake", "lab/app:latest", &SOMEBODY).await;
    let store = world.registry.store().clone();
    store.close().await;
    assert!(world.registry.write_demand().await.is_err());
    drop((world, store));
    let world = World::with(open().await.unwrap(), Settings::default()).await;
    let demand = world.demand().await;
    assert_eq!((demand.rows.len(), demand.pulls), (1, 1));
}

#[tokio::test]
async fn nothing_is_recorded_where_nothing_is_to_be() {
    let settings = Settings {
        demand: DemandSettings {
            limit: 0,
            ..DemandSettings::default()
        },
        ..Settings::default()
    };
    let store = Store::temporary().await.unwrap();
    let world = World::with(store, settings).await.filled().await;
    world.pull_by("icelake", "lab/app:latest", &SOMEBODY).await;
    let demand = world.demand().await;
    assert_eq!((demand.pulls, demand.is_recorded), (0, false));
    assert_eq!(world.registry.counts().demand_fallback, 1);
}
