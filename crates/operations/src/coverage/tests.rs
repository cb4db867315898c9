//! The table of images × targets.

use super::*;

const DOCUMENTS: &str = "
manifests:
  - name: gromacs
    tag: 2021.5
    manifests:
      - {image: 'q/g:cascade', platform: {features: [arch:cascadeLake]}}
      - {image: 'q/g:zen3', platform: {features: [arch:zen3]}}
  - name: app
    manifests:
      - {image: 'q/a:v3', platform: {features: [arch:x86_64_v3]}}
      - {image: 'q/a:any'}
      - {image: 'q/a:v4', platform: {features: [arch:x86_64_v4, cuda:12.4]}}
";

fn matrix(targets: &[&str], names: &[&str]) -> Matrix {
    let loaded = Catalog::from_documents(&[("a.yaml", DOCUMENTS)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let catalog = loaded.catalog;
    let texts = |list: &[&str]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
    let mut builder = Builder::new(columns(&catalog, &texts(targets)).unwrap());
    for collection in Selected::parse(&texts(names))
        .unwrap()
        .collections(&catalog)
    {
        let (index, note) = builder.by_documents(collection);
        builder.add(collection.name.to_string(), &index, note);
    }
    builder.finish()
}

fn short(cell: &Cell) -> String {
    match (cell.kind, &cell.to) {
        (Kind::Exact, _) => "=".to_owned(),
        (Kind::Fallback, to) => format!("→ {}", to.as_deref().unwrap_or_default()),
        (Kind::Generic, _) => "generic".to_owned(),
        (Kind::None, _) => "-".to_owned(),
    }
}

/// `image: cell cell ...`
fn told(matrix: &Matrix) -> Vec<String> {
    matrix
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.cells.iter().map(short).collect();
            format!("{}: {}", row.image, cells.join(", "))
        })
        .collect()
}

#[test]
fn each_target_gets_what_a_pull_would_give_it() {
    let targets = [
        "zen3",
        "zen5",
        "icelake",
        "haswell",
        "x86_64",
        "a64fx",
        "zen4+driver=550",
    ];
    assert_eq!(
        told(&matrix(&targets, &[])),
        [
            "app: → x86_64_v3, → x86_64_v3, → x86_64_v3, → x86_64_v3, generic, generic, → x86_64_v4",
            "gromacs: =, → zen3, → cascadelake, -, -, -, → zen3",
        ]
    );
}

#[test]
fn what_needs_more_than_a_cpu_never_runs_anywhere() {
    const GPU: &str = "
manifests:
  - name: md
    manifests:
      - {image: 'q/md:gpu', platform: {os: linux, architecture: amd64, features: [gpu:nvidia, 'mpi:mpich']}}
";
    let loaded = Catalog::from_documents(&[("a.yaml", GPU)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let logins = ["zen3", "zen3+gpu=nvidia", "zen3+gpu=nvidia+mpi=mpich"].map(str::to_owned);
    let mut builder = Builder::new(columns(&loaded.catalog, &logins).unwrap());
    for collection in loaded.catalog.collections() {
        let (index, note) = builder.by_documents(collection);
        builder.add(collection.name.to_string(), &index, note);
    }
    let matrix = builder.finish();
    let needs: Vec<String> = matrix.rows[0]
        .cells
        .iter()
        .map(|cell| cell.needs.join(" "))
        .collect();
    assert_eq!(needs, ["gpu:nvidia mpi:mpich", "mpi:mpich", ""]);
}

#[test]
fn what_is_assumed_is_noted() {
    let matrix = matrix(&["zen3"], &[]);
    let notes: Vec<bool> = matrix.rows.iter().map(|row| row.note.is_some()).collect();
    assert_eq!(notes, [true, false]);
}

#[test]
fn collections_are_picked_by_name_and_tag() {
    for (names, expected) in [
        (&["gromacs"][..], &["gromacs"][..]),
        (&["gromacs:2021.5"], &["gromacs"]),
        (&["gromacs:2022"], &[]),
        (&["app", "gromacs"], &["app", "gromacs"]),
    ] {
        let matrix = matrix(&["zen3"], names);
        let images: Vec<&str> = matrix.rows.iter().map(|row| row.image.as_str()).collect();
        assert_eq!(images, expected);
    }
}

#[test]
fn every_known_target_can_be_looked_at() {
    let matrix = matrix(&["all"], &["gromacs"]);
    assert!(matrix.targets.len() >= 80);
    assert_eq!(matrix.rows[0].cells.len(), matrix.targets.len());
    let exact = matrix.rows[0].count(Kind::Exact);
    assert_eq!(exact, 2);
    // No image of AMD's or Intel's for machines of another family.
    for (target, cell) in matrix.targets.iter().zip(&matrix.rows[0].cells) {
        if target.starts_with("neoverse") || target.starts_with("power") {
            assert_eq!(cell.kind, Kind::None, "{target}");
        }
    }
}

#[test]
fn an_unknown_target_is_told() {
    let catalog = Catalog::builtin();
    let error = columns(&catalog, &["zenn3".to_owned()]).err().unwrap();
    assert!(error.to_string().contains("zen3"), "{error}");
}

#[test]
fn machines_that_documents_describe_are_looked_at_beside_the_usual_ones() {
    let documents = "
profiles:
  - {name: site/b, features: [arch:zen3, 'cuda:12.4']}
  - {name: site/a, features: [arch:haswell]}
  - {name: site/tool, features: [mpi:mpich]}
";
    let loaded = Catalog::from_documents(&[("a.yaml", documents)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let all = columns(&loaded.catalog, &[]).unwrap();
    let own: Vec<&str> = all
        .iter()
        .skip(USUAL.len())
        .map(|c| c.login.as_str())
        .collect();
    assert_eq!(own, ["site/a", "site/b"]);
    let named = columns(&loaded.catalog, &["zen4".to_owned()]).unwrap();
    assert_eq!(named.len(), 1);
}

#[test]
fn the_usual_targets_are_known() {
    assert_eq!(
        columns(&Catalog::builtin(), &[]).unwrap().len(),
        USUAL.len()
    );
}
