//! The pages of the documentation: what they show of examples, and how long their lines are.

use std::fs;
use std::path::Path;

use super::{assert_none, files, root, sources};

/// The page of hangs shows what the example prints, whose output is compared when it runs.
#[test]
fn the_page_of_hangs_shows_what_the_example_prints() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a readable text");
    let (page, ways) = (read("docs/when-it-hangs.md"), read("examples/hangs/ways.rs"));
    let printed = read("examples/expected/hangs.txt");
    let mut faults = Vec::new();
    let mut shown = 0;
    for part in printed.trim_end().split("\n\n").filter(|part| part.contains('\n')) {
        let (name, tree) = part.split_once('\n').expect("a name, and a tree");
        let text = format!("```text\n{tree}\n```");
        // The link to the function goes to its line.
        let line = ways.lines().position(|line| line.starts_with(&format!("async fn {name}(")));
        let link = format!("[`{name}`](../examples/hangs/ways.rs#L{}).", line.unwrap_or(0) + 1);
        let section = page.split("\n## ").find(|section| section.contains(&link));
        if !section.is_some_and(|section| section.contains(&text)) {
            faults.push(format!("{name}: {link}\n{text}"));
        }
        shown += 1;
    }
    assert_eq!(shown, 10, "{printed}");
    assert_none(&faults, "not in docs/when-it-hangs.md");
}

/// The longest line of a page. Code, tables, and lists of tests have lines as they must be.
const PAGE_LINE: usize = 120;

#[test]
fn lines_of_pages_are_short() {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let mut faults = Vec::new();
    for (name, text) in files(&["docs", "CHANGELOG.md"], is_page) {
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            in_code ^= line.trim_start().starts_with("```");
            let lists_tests = line.starts_with("- ") && line.contains(": `");
            let is_free = in_code || line.starts_with('|') || lists_tests;
            if !is_free && line.chars().count() > PAGE_LINE {
                faults.push(format!("{name}:{}: {} columns", at + 1, line.chars().count()));
            }
        }
    }
    assert_none(&faults, "too long");
}

/// `curium` exports all of the kernel, and what is hidden only where the kernel exports it would be
/// on its front page.
#[test]
fn what_the_kernel_hides_is_hidden_in_curium() {
    let code = sources(&["kernel/src"]);
    let root = fs::read_to_string(root().join("kernel/src/lib.rs")).expect("a readable text");
    let (mut faults, mut seen) = (Vec::new(), 0);
    for hidden in root.split("#[doc(hidden)]\n").skip(1) {
        let used = hidden.split(';').next().and_then(|used| used.trim().strip_prefix("pub use "));
        let names = used.and_then(|used| used.rsplit("::").next()).expect("an export");
        for name in names.trim_matches(['{', '}']).split(',').map(str::trim) {
            let item = ["struct", "trait", "fn", "enum"].map(|kind| format!("\npub {kind} {name}"));
            let is_hidden = |text: &str| {
                let at = item.iter().find_map(|item| text.find(item.as_str()));
                at.is_some_and(|at| {
                    let attributes =
                        text[..at].lines().rev().take_while(|line| line.starts_with("#["));
                    attributes.into_iter().any(|line| line == "#[doc(hidden)]")
                })
            };
            seen += 1;
            if !code.iter().any(|(_, text)| is_hidden(text)) {
                faults.push(name.to_owned());
            }
        }
    }
    assert!(seen > 10, "{seen} names are hidden");
    assert_none(&faults, "hidden only where they are exported");
}
