//! How the table is printed.

use super::*;

fn row(image: &str, kinds: &[Kind]) -> Row {
    let cell = |kind: &Kind| Cell {
        kind: *kind,
        to: (*kind == Kind::Exact).then(|| "zen3".to_owned()),
        steps: None,
        entry: (*kind == Kind::Exact).then(|| "q/g:zen3".to_owned()),
        needs: Vec::new(),
        why: "fits".to_owned(),
    };
    Row {
        image: image.to_owned(),
        cells: kinds.iter().map(cell).collect(),
        note: None,
    }
}

#[test]
fn the_page_says_all_and_lets_nothing_through() {
    let unread = Row {
        note: Some("no <such> image".to_owned()),
        ..row("<b>&\"x\"", &[])
    };
    let matrix = Matrix {
        targets: vec!["zen3".to_owned(), "zen4".to_owned()],
        rows: vec![row("gromacs", &[Kind::Exact, Kind::None]), unread],
    };
    let page = html::page(&matrix);
    for part in [
        "<title>Coverage</title>",
        ">zen4</span>",
        "class=\"exact\"",
        "q/g:zen3",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("&lt;b&gt;&amp;&quot;x&quot;"));
    assert!(page.contains("no &lt;such&gt; image"));
    assert!(!page.contains("<script") && !page.contains("http"));
}

#[test]
fn the_entries_behind_the_table_are_told_once_each() {
    let row = row("gromacs:1", &[Kind::Exact, Kind::None, Kind::Exact]);
    assert_eq!(taken(&row), ["zen3 is q/g:zen3"]);
}

#[test]
fn fields_of_a_table_are_quoted_where_they_must_be() {
    assert_eq!(quoted("plain"), "plain");
    assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
}
