//! Examples and exit codes at the end of each command's `--help` and manual page.

/// For the program's own help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the reason is on standard error
  2  wrong arguments
  3  nothing fits: no image can run on this node (resolve, exec)

Called as docker-credential-metahub it is a credential helper.";

pub(crate) const DETECT: &str = "\
Examples:
  metahub-node detect                       each fact, and the file or tool that states it
  metahub-node detect --why                 also how the CPU target was chosen
  metahub-node detect --format json         for programs
  metahub-node detect --format nfd          for Node Feature Discovery's features.d
  metahub-node detect --format slurm        for slurm.conf
  metahub-node detect --format flux         for Flux's configuration of resources
  metahub-node detect --root /mnt/image     what the files below a folder state";

pub(crate) const LOGIN: &str = "\
Examples:
  metahub-node login                            such as zen4+cuda=12.4+mpi=mpich
  metahub-node login --registry hub.example     as that registry knows the node";

pub(crate) const REFRESH: &str = "\
Examples:
  metahub-node refresh                                 as root, at boot
  METAHUB_NODE_CACHE=$PWD/cache metahub-node refresh   another folder for the cache";

pub(crate) const JOIN: &str = "\
Examples:
  metahub-node join --registry hub.example                           the token on standard input
  metahub-node join --registry hub.example --token-file join-token   as root";

pub(crate) const CREDENTIAL: &str = "\
Examples:
  echo hub.example | metahub-node credential get     the login that clients use there
  metahub-node credential list                       each MetaHub with its user name";

pub(crate) const RESOLVE: &str = "\
Examples:
  metahub-node resolve hub.example/gromacs:2021.5     HOST/NAME@sha256:...";

pub(crate) const EXEC: &str = "\
Examples:
  metahub-node exec -- ch-image pull hub.example/gromacs:2021.5
  metahub-node exec -- sarus pull hub.example/gromacs:2021.5";

pub(crate) const SLURM: &str = "\
Examples:
  metahub-node slurm hub.example/gromacs:2021.5     image ..., and constraint zen3|zen4 if not all fit";

pub(crate) const IMPORTER: &str = "\
Examples:
  PYXIS_RUNTIME_PATH=$PWD metahub-node importer get docker://hub.example/gromacs:2021.5
  PYXIS_RUNTIME_PATH=$PWD metahub-node importer release";

pub(crate) const KUBELET: &str = "\
Examples:
  cat request.json | metahub-node kubelet     a CredentialProviderResponse";

pub(crate) const SETUP: &str = "\
Examples:
  metahub-node setup docker --registry hub.example             for the caller
  metahub-node setup --all --registry hub.example              every client that is installed
  metahub-node setup podman --registry hub.example --system    for all users
  metahub-node setup slurm --registry hub.example              what each job needs
  metahub-node setup docker --registry hub.example --print     show it and write nothing
  metahub-node setup docker --registry hub.example --undo      take it back";

pub(crate) const DOCTOR: &str = "\
Examples:
  metahub-node doctor                                   registries, certificates, clock, helper
  metahub-node doctor hub.example/gromacs:2021.5        and which image this node gets";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  metahub-node completions bash > /usr/share/bash-completion/completions/metahub-node
  metahub-node completions zsh > /usr/share/zsh/vendor-completions/_metahub-node
  metahub-node completions fish > /usr/share/fish/vendor_completions.d/metahub-node.fish";

pub(crate) const MAN: &str = "\
Examples:
  metahub-node man | man -l -
  metahub-node man --out /usr/share/man/man1";
