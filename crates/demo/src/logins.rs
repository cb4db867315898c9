//! The logins of the demo, and what each must get. `metahub demo --check` tests a running server
//! against this table.

/// What a login must get for one image on one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An image built for this target (`arch:zen3`), with so many layers added.
    Target(&'static str, usize),
    /// The image that runs on any machine of the architecture, with so many layers added.
    Generic(usize),
    /// The index as it was pushed, byte for byte.
    Untouched,
    /// Nothing fits: 404 and a message that says what was wanted and what exists.
    NothingFits,
}

/// A login to show.
#[derive(Clone, Copy, Debug)]
pub struct DemoLogin {
    /// The user name, empty for no login at all.
    pub login: &'static str,
    /// Which architecture a machine of that login has (`amd64`, `arm64`).
    pub architecture: &'static str,
    /// What [`crate::FEATURETEST`] must be.
    pub featuretest: Expected,
    /// What [`crate::GROMACS`] must be.
    pub gromacs: Expected,
    /// What it shows, in a few words.
    pub shows: &'static str,
}

const fn row(
    login: &'static str,
    architecture: &'static str,
    featuretest: Expected,
    gromacs: Expected,
    shows: &'static str,
) -> DemoLogin {
    DemoLogin {
        login,
        architecture,
        featuretest,
        gromacs,
        shows,
    }
}

/// The logins, in the order to show them.
pub const LOGINS: [DemoLogin; 9] = {
    use Expected::{Generic, NothingFits, Target, Untouched};
    [
        row(
            "",
            "amd64",
            Untouched,
            Target("arch:x86_64_v2", 0),
            "no login: an ordinary registry; a collection gives what runs on most machines",
        ),
        row(
            "cascadeLake",
            "amd64",
            Target("arch:cascadeLake", 0),
            Target("arch:x86_64_v4", 0),
            "a profile's filter decides",
        ),
        row(
            "zen3",
            "amd64",
            Target("arch:zen3", 0),
            Target("arch:zen3", 0),
            "another profile, the same tag",
        ),
        row(
            "aws/cli",
            "amd64",
            Generic(3),
            Target("arch:x86_64_v2", 0),
            "layers are added on the way",
        ),
        row(
            "zen3+aws/cli",
            "amd64",
            Target("arch:zen3", 3),
            Target("arch:zen3", 0),
            "two profiles at once",
        ),
        row(
            "cpu=icelake",
            "amd64",
            Target("arch:cascadeLake", 0),
            Target("arch:x86_64_v4", 0),
            "a CPU that no build names gets its nearest ancestor's",
        ),
        row(
            "cpu=zen4",
            "amd64",
            Target("arch:zen3", 0),
            Target("arch:zen3", 0),
            "nearest ancestor again",
        ),
        row(
            "cpu=neoverse_v1",
            "arm64",
            Target("arch:neoverse_v1", 0),
            Target("arch:neoverse_v1", 0),
            "another architecture",
        ),
        row(
            "cpu=x86_64",
            "amd64",
            Generic(0),
            NothingFits,
            "never an image that the machine cannot run",
        ),
    ]
};
