//! The page of the ecosystem says what the examples say.

use std::fs;
use std::path::Path;

fn text(path: impl AsRef<Path>) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).expect("a readable text")
}

/// E4: the page has the text of each example, and CI runs it.
#[test]
fn the_page_has_each_direct_example_and_ci_runs_it() {
    let (page, script) = (text("docs/ecosystem.md"), text(".ci/ecosystem.d/direct"));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for entry in fs::read_dir(examples).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let example = format!("```rust\n{}```", text(&path));
        assert!(page.contains(&example), "docs/ecosystem.md has not the text of {name}");
        assert!(script.contains(&format!("$examples/{name}\"")), "CI does not run {name}");
        found += 1;
    }
    assert!(found > 1);
}
