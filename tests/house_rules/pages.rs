//! Pages that show what an example prints.

use std::fs;

use super::{assert_none, root};

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
