//! The program on a node: detects the node, builds its login, and sets up the clients that use it.
//! The registry decides what fits; this only states truthfully what the node has.

pub mod answer;
pub mod cache;
pub mod cli;
mod cred_file;
pub mod detect;
pub mod doctor;
mod examples;
pub mod exec;
pub mod format;
mod generated;
pub mod helper;
pub mod identity;
pub mod importer;
pub mod known_targets;
pub mod kubelet;
pub mod login;
pub mod logins;
pub mod policy;
pub mod reference;
pub mod refresh;
pub mod resolve;
pub mod server;
pub mod setup;
pub mod slurm;
pub mod time_limit;
pub mod trusted;
mod user_name;
