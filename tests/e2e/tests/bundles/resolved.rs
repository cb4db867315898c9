//! `metahub resolve` without a server reads what `metahub export` writes.

use metahub_e2e::metahub::command;

use crate::{DOCUMENTS, LOGINS, Sites};

#[test]
fn an_export_and_documents_resolve_to_what_the_server_answers() {
    let Some(sites) = Sites::start() else { return };
    let (file, _) = sites.export(&["app:1", "--profiles"], "app.tar");
    let documents = sites.file("app.yaml");
    std::fs::write(&documents, DOCUMENTS).unwrap();
    let server = format!("http://{}", sites.site.host());
    for login in LOGINS.iter().map(|login| login.unwrap_or_default()) {
        let asked = ["resolve", "app:1", "--as", login, "--format", "json"];
        let told = command(&[&asked[..], &["--server", &server]].concat()).ok();
        let local = command(&asked)
            .arg("--catalog")
            .arg(&documents)
            .arg("--from")
            .arg(&file)
            .ok();
        // All but what only a server knows that derived it for somebody, as for the export.
        let (mut local, mut told) = (local.ok_json(), told.ok_json());
        for answer in [&mut local, &mut told] {
            let answer = answer.as_object_mut().unwrap();
            answer.remove("derivation");
            answer.remove("manifest_derivation");
        }
        assert_eq!(local, told, "{login}");
    }
}
