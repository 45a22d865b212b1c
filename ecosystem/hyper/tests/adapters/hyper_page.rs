//! The page of the ecosystem says what the examples say.

#[path = "../../../support/page.rs"]
mod page;

/// E4: the page has the text of each example, and CI runs it.
#[test]
fn the_page_has_every_example_and_ci_runs_it() {
    let runs = |name: &str| {
        let start = format!("start {name}");
        vec![format!("{start}\n"), format!("{start} "), format!("\"$examples/{name}\" ")]
    };
    assert!(page::check_examples(".ci/ecosystem.d/hyper", runs) > 1);
}
