//! A client of the API for documents of a running MetaHub.

use std::io::IsTerminal as _;

use clap::Args;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{Method, StatusCode};
use metahub_client::session::{ApiAnswer, Client, Login, SessionError};
use metahub_operations::{DocumentKind, Listed, VersionInfo};
use miette::{IntoDiagnostic as _, miette};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::accounts_of::password_from_stdin;
use crate::commands::asked_server::AskedServer;

/// Most that is read of a password on standard input, in bytes.
const MAX_PASSWORD: u64 = 8192;

/// The server, and the login there.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    server: AskedServer,
    /// The account; changing takes a curator's or an admin's
    #[arg(long = "as", value_name = "ACCOUNT", env = "METAHUB_LOGIN")]
    account: String,
    /// Read the account's password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

impl ServerArgs {
    /// The server's documents of one kind.
    pub(crate) fn open(&self, kind: DocumentKind) -> miette::Result<DocumentServer> {
        let password = if self.password_stdin || !std::io::stdin().is_terminal() {
            password_from_stdin(MAX_PASSWORD)?
        } else {
            let prompt = format!("Password of {}: ", self.account);
            rpassword::prompt_password(prompt).into_diagnostic()?
        };
        let login = Login {
            name: self.account.clone(),
            password,
        };
        let client = self.server.client(Some(login))?;
        Ok(DocumentServer { client, kind })
    }
}

/// The precondition of a change.
pub(crate) enum Expects<'e> {
    /// Nothing.
    Nothing,
    /// The document of this entity tag.
    Tag(&'e str),
}

/// A document of the server.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) etag: String,
}

/// The documents of one kind.
pub(crate) struct DocumentServer {
    client: Client,
    pub(crate) kind: DocumentKind,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<VersionInfo>,
}

impl DocumentServer {
    /// A name in the API's form.
    pub(crate) fn name(&self, text: &str) -> miette::Result<String> {
        // Users who log in with `zen3=1.0` may write that here, too.
        let text = match self.kind {
            DocumentKind::Profile => text.replace(['=', '#'], ":"),
            DocumentKind::Collection => text.to_owned(),
        };
        self.kind.name(&text).into_diagnostic()
    }

    fn path(&self, name: &str) -> String {
        format!("/api/v1/{}/{name}", self.kind.plural())
    }

    /// All documents, by name.
    pub(crate) async fn list(&self) -> miette::Result<Vec<Listed>> {
        let kind = self.kind.plural();
        let answer = self.client.api(&format!("/api/v1/{kind}"), &[]).await;
        let mut answer: Value = answer.map_err(|error| report(error, None))?;
        let listed = answer.get_mut(kind).map(Value::take).unwrap_or_default();
        serde_json::from_value(listed).into_diagnostic()
    }

    /// Who made which version when, newest first.
    pub(crate) async fn history(&self, name: &str) -> miette::Result<Vec<VersionInfo>> {
        let path = format!("/api/v1/history/{}/{name}", self.kind.plural());
        let answer: Result<Versions, SessionError> = self.client.api(&path, &[]).await;
        Ok(answer.map_err(|error| report(error, None))?.versions)
    }

    /// A document, if there is one.
    pub(crate) async fn find(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> miette::Result<Option<Document>> {
        let version = version.map(|version| version.to_string());
        let query: Vec<(&str, &str)> = version.iter().map(|v| ("version", v.as_str())).collect();
        let path = self.path(name);
        let asked = self.client.api_text(Method::GET, &path, &query, &[], None);
        match asked.await {
            Ok(ApiAnswer { etag, text, .. }) => Ok(Some(Document {
                text,
                etag: etag.unwrap_or_default(),
            })),
            Err(SessionError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => {
                Ok(None)
            }
            Err(error) => Err(report(error, None)),
        }
    }

    /// The same, which must exist.
    pub(crate) async fn get(&self, name: &str, version: Option<u64>) -> miette::Result<Document> {
        let found = self.find(name, version).await?;
        found.ok_or_else(|| {
            let kind = self.kind.as_str();
            match version {
                Some(version) => miette!("the server keeps no version {version} of {name}"),
                None => miette!("the server keeps no {kind} {name} through its API"),
            }
        })
    }

    /// Creates or replaces a document. Returns the answer. Problems have places in `file`.
    pub(crate) async fn put(
        &self,
        name: &str,
        text: String,
        expects: Expects<'_>,
        file: Option<&str>,
    ) -> miette::Result<Value> {
        let quoted;
        let headers = match expects {
            Expects::Nothing => [(IF_NONE_MATCH, "*")],
            Expects::Tag(tag) => {
                quoted = format!("\"{tag}\"");
                [(IF_MATCH, quoted.as_str())]
            }
        };
        let path = self.path(name);
        let asked = self
            .client
            .api_text(Method::PUT, &path, &[], &headers, Some(text));
        let answer = asked.await.map_err(|error| report(error, file))?;
        serde_json::from_str(&answer.text).into_diagnostic()
    }

    /// Deletes a document.
    pub(crate) async fn delete(&self, name: &str, tag: &str) -> miette::Result<()> {
        let quoted = format!("\"{tag}\"");
        let headers = [(IF_MATCH, quoted.as_str())];
        let path = self.path(name);
        let asked = self
            .client
            .api_text(Method::DELETE, &path, &[], &headers, None);
        asked.await.map(drop).map_err(|error| report(error, None))
    }
}

/// A refusal by the server, for people: each problem in its own line, with its place in `file` if
/// that was sent.
fn report(error: SessionError, file: Option<&str>) -> miette::Report {
    match error {
        SessionError::Refused {
            message, detail, ..
        } => {
            let problems = detail.get("problems").and_then(Value::as_array);
            let lines: Vec<String> = problems
                .into_iter()
                .flatten()
                .map(|problem| line(problem, file))
                .collect();
            if lines.is_empty() {
                miette!("{message}")
            } else {
                miette!("the server refused it:\n{}", lines.join("\n"))
            }
        }
        SessionError::Unreachable { .. } => miette!(
            help = "start it with metahub serve, or name another with --server or METAHUB_SERVER",
            "{error}"
        ),
        error => miette!("{error}"),
    }
}

/// A problem as `metahub check` prints it.
pub(crate) fn line(problem: &Value, file: Option<&str>) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| problem.get(key).and_then(Value::as_u64).unwrap_or_default();
    let told = text("file");
    let own = told.starts_with(metahub_operations::DOCUMENTS_PATH);
    let file = file.filter(|_| own).unwrap_or(told);
    let (line, column) = (number("line"), number("column"));
    let (severity, message) = (text("severity"), text("message"));
    format!("{file}:{line}:{column}: {severity}: {message}")
}
