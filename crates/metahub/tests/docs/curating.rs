//! The tests of `docs/curating.md`, run by the commands that it shows.

use super::*;

#[test]
fn the_tests_of_the_page_run_as_it_shows() {
    let page = blocks(&read(&root().join("docs/curating.md")));
    let block = |language: &str| {
        let mut all = page.iter();
        let (_, text) = all.find(|(of, _)| of == language).unwrap();
        text.clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.yaml");
    std::fs::write(&file, block("yaml")).unwrap();
    let commands = block("sh");
    let mut outputs = Vec::new();
    for command in commands.lines() {
        let args: Vec<_> = command
            .strip_prefix("metahub ")
            .unwrap()
            .split(' ')
            .collect();
        let (code, out, error) = metahub(folder.path(), &args);
        assert_eq!(code, 0, "{command}: {out}{error}");
        outputs.push(out);
    }
    assert_eq!(outputs.len(), 4);
    assert_eq!(outputs[0], block("text"));

    // The failure that the page shows.
    let failing = block("yaml").replace("THREADS: 8}}", "THREADS: 8, DEBUG: 1}}");
    std::fs::write(&file, failing).unwrap();
    let (code, out, _) = metahub(folder.path(), &["profile", "test", "site.yaml"]);
    assert_eq!(code, 1, "{out}");
    let mut texts = page.iter().filter(|(of, _)| of == "text");
    let (_, failure) = texts.nth(1).unwrap();
    assert!(out.contains(failure.trim_end()), "{out}");
}
