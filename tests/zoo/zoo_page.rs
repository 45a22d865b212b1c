//! The page says what the tests say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::hunt::rows;

/// The tests of the zoo, by `module::name`, with the bug and the verdict that their code names.
fn tests() -> BTreeMap<String, (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo");
    let mut tests = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module.starts_with("zoo_") && module != "zoo_page" {
            let text = fs::read_to_string(&path).expect("a readable text");
            for code in text.split("#[test]\n").skip(1) {
                let (name, hunt) = test_of(code);
                tests.insert(format!("{module}::{name}"), hunt);
            }
        }
    }
    tests
}

/// The name of the test with this code, and the bug and the verdict.
fn test_of(code: &str) -> (&str, (String, String)) {
    let name = code.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
    let body = code.split("\n}").next().unwrap();
    let verdict = if body.contains(" cannot_happen(") { "cannot happen" } else { "found" };
    let bug = body.split('"').nth(1).unwrap_or_default();
    (name, (bug.to_owned(), verdict.to_owned()))
}

/// V4: the table of the page. The numbers of runs and schedules are compared by the tests.
#[test]
fn every_test_of_the_zoo_has_its_row_and_every_row_its_test() {
    let listed = rows().into_iter().map(|row| (row.test, (row.bug, row.verdict)));
    let rows = listed.len();
    let listed: BTreeMap<_, _> = listed.collect();
    assert_eq!(listed.len(), rows, "a test has two rows");
    assert_eq!(listed, tests(), "on the left docs/zoo.md, on the right tests/zoo");
    assert!(rows >= 15, "the zoo has lost animals: {rows} are left");
}
