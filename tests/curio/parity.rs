//! `docs/curio-parity.md`, checked: its rules exist, its numbers are right. The house rules check
//! that its tests exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const MONITOR: &str = "The monitor";
const WEAKNESSES: &str = "Where curio is weak, and what holds here";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/curio-parity.md")).expect("the page")
}

/// One row of a table: in which section, and its three cells.
struct Row {
    section: String,
    name: String,
    what: String,
    curium: String,
}

impl Row {
    /// The status at the beginning of the last cell: held, differs, …
    fn status(&self) -> &str {
        self.curium.split([':', ',']).next().unwrap_or_default()
    }

    /// Whether it is about a test of curio.
    fn lists_a_test(&self) -> bool {
        ![MONITOR, WEAKNESSES].contains(&&*self.section)
    }

    /// The text of the last cell after its status.
    fn detail(&self) -> &str {
        self.curium[self.status().len()..].trim_start_matches([':', ',', ' '])
    }

    /// The tests that it names, as file and function.
    fn tests(&self) -> Vec<(&str, &str)> {
        let quoted = self.curium.split('`').skip(1).step_by(2);
        quoted.filter_map(|text| text.split_once("::")).collect()
    }

    /// The rules that it cites.
    fn rules(&self) -> BTreeSet<&str> {
        let prose = self.curium.split('`').step_by(2);
        prose.flat_map(words).filter(|word| is_rule_id(word)).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
}

fn is_rule_id(word: &str) -> bool {
    let mut chars = word.chars();
    let letter = chars.next().is_some_and(|first| "CTGKYNQUSRIOM".contains(first));
    let digits = chars.as_str();
    letter && (1..=2).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
}

/// The rows of all sections, without those of the table of numbers at the top.
fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let (title, text) = section.split_once('\n').expect("a section has a text");
        // Without the head of the table and the line under it.
        for line in text.lines().filter(|line| line.starts_with('|')).skip(2) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, what, curium] = cells[..] else { panic!("not three cells: {line}") };
            rows.push(Row {
                section: title.trim_matches('`').to_owned(),
                name: name.to_owned(),
                what: what.to_owned(),
                curium: curium.to_owned(),
            });
        }
    }
    rows
}

fn assert_none(faults: &[String], what: &str) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

/// The rules that it cites are stated.
#[test]
fn every_rule_that_the_page_cites_is_stated() {
    let semantics = fs::read_to_string(root().join("docs/semantics.md")).expect("the rules");
    // A rule is stated where its id begins a bold text.
    let bold = semantics.split("**").skip(1).step_by(2);
    let stated: BTreeSet<&str> = bold.filter_map(|text| words(text).next()).collect();
    let mut faults = Vec::new();
    let page = page();
    for row in rows(&page) {
        for rule in row.rules().difference(&stated) {
            faults.push(format!("{} {}: {rule}", row.section, row.name));
        }
    }
    assert_none(&faults, "cited, but not stated");
}

/// Each row has what its status requires.
#[test]
fn every_row_says_what_it_must() {
    let mut faults = Vec::new();
    for row in rows(&page()) {
        let weakness = row.section == WEAKNESSES;
        let (tests, rules) = (row.tests().len(), row.rules().len());
        let complete = match row.status() {
            "held" if weakness => tests > 0 && rules > 0,
            "held" => tests > 0,
            "in part" => weakness && tests > 0 && rules > 0 && row.detail().contains("later"),
            "differs" => !weakness && tests > 0 && rules > 0 && row.detail().contains(". `"),
            "not here" => !weakness && !row.detail().is_empty(),
            "later" => tests <= 1 && !row.detail().is_empty(),
            _ => false,
        };
        if row.what.is_empty() || !complete {
            faults.push(format!("{} {}: {}", row.section, row.name, row.curium));
        }
    }
    assert_none(&faults, "incomplete");
}

/// The numbers at the top are those of the tables.
#[test]
fn the_numbers_at_the_top_add_up() {
    let page = page();
    let top = page.split("\n## ").next().unwrap_or_default();
    let line = top.lines().filter(|line| line.starts_with('|')).nth(2).expect("the numbers");
    let numbers: Vec<usize> = line
        .trim_matches('|')
        .split('|')
        .map(|number| number.trim().parse().expect("a number"))
        .collect();
    let mut counts = BTreeMap::new();
    for row in rows(&page).iter().filter(|row| row.lists_a_test()) {
        *counts.entry(row.status().to_owned()).or_insert(0) += 1;
    }
    let of = |status: &str| counts.get(status).copied().unwrap_or(0);
    let counted = ["held", "differs", "not here", "later"].map(of);
    assert_eq!(numbers[1..], counted);
    assert_eq!(numbers[0], counted.iter().sum::<usize>());
    assert_eq!(numbers[0], counts.values().sum::<usize>(), "{counts:?}");
    assert!(top.contains(&format!("lists {} of", numbers[0])), "the text says otherwise");
}

/// A test of curio, of one of its files, is listed once. The weaknesses are numbered.
#[test]
fn no_row_stands_twice() {
    let rows = rows(&page());
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for row in &rows {
        // Without the mark of its release.
        let whole = if row.lists_a_test() { ' ' } else { '|' };
        let name = row.name.split(whole).next().unwrap_or_default();
        if !seen.insert((&row.section, name)) {
            faults.push(format!("{} {name}", row.section));
        }
        if row.lists_a_test() && !(name.starts_with('`') && name.contains("test_")) {
            faults.push(format!("{} {name} is no test", row.section));
        }
    }
    assert_none(&faults, "twice, or misnamed");
    let weak = rows.iter().filter(|row| row.section == WEAKNESSES);
    let numbers: Vec<&str> = weak.map(|row| row.name.as_str()).collect();
    let expected: Vec<String> = (1..=24).map(|n| format!("W{n}")).collect();
    assert_eq!(numbers, expected);
}

/// The page can be read inside the repository: every link points into it.
#[test]
fn the_page_points_at_what_is_there() {
    let page = page();
    assert!(!page.contains("../"), "a path out of the folder");
    let links = page.split("](").skip(1).filter_map(|text| text.split(')').next());
    let mut local = 0;
    for link in links.filter(|link| !link.starts_with("https://")) {
        assert!(root().join("docs").join(link).exists(), "{link}");
        local += 1;
    }
    assert!(local > 0, "it links to the rules");
}
