//! Pages that show what an example prints.

use std::fs;

use super::{assert_none, root, sources};

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
