//! The demo catalog: the documents of the project's slides, as files that people may copy.

/// The documents as `(file name, YAML text)`.
#[must_use]
pub fn catalog() -> Vec<(&'static str, &'static str)> {
    vec![
        ("gromacs.yaml", include_str!("../catalog/gromacs.yaml")),
        (
            "cascadeLake.yaml",
            include_str!("../catalog/cascadeLake.yaml"),
        ),
        ("zen3.yaml", include_str!("../catalog/zen3.yaml")),
        ("aws-cli.yaml", include_str!("../catalog/aws-cli.yaml")),
    ]
}
