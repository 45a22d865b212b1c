//! The page of the ecosystem says what the examples of a package say, and CI runs them.

use std::fs;
use std::path::Path;

fn text(path: impl AsRef<Path>) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).expect("a readable text")
}

/// Checks each example of this package, and gives their number. `runs` are the forms in which the
/// script of CI may run the one of that name.
pub(crate) fn check_examples(script: &str, runs: impl Fn(&str) -> Vec<String>) -> usize {
    let (page, script) = (text("docs/ecosystem.md"), text(script));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for entry in fs::read_dir(examples).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let example = format!("```rust\n{}```", text(&path));
        assert!(page.contains(&example), "docs/ecosystem.md has not the text of {name}");
        assert!(runs(name).iter().any(|run| script.contains(run)), "CI does not run {name}");
        found += 1;
    }
    found
}
