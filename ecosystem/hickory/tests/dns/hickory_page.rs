//! The page of the ecosystem says what the example says.

#[path = "../../../support/page.rs"]
mod page;

/// E4: the page has the text of the example, and CI runs it.
#[test]
fn the_page_has_the_example_of_hickory_and_ci_runs_it() {
    let runs = |name: &str| vec![format!("$examples/{name}\"")];
    assert!(page::check_examples(".ci/ecosystem.d/hickory", runs) > 0);
}
