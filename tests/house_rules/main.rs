//! Checks of the house rules: sizes, directions of dependencies, documentation, a test for every
//! rule.
//!
//! Limits are only ever tightened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod manifests;
mod pages;
mod rooms;

const LINE: usize = 100;
const FUNCTION: usize = 60;
const FILE: usize = 400;

const LIBRARIES: [&str; 6] = ["kernel", "sync", "io", "net", "os", "src"];
const ALL: [&str; 10] =
    ["kernel", "sync", "io", "net", "os", "src", "tests", "examples", "bench", "ecosystem"];
/// The packages of the workspace `ecosystem`.
const ADAPTERS: [&str; 6] = [
    "ecosystem/cli",
    "ecosystem/direct",
    "ecosystem/hickory",
    "ecosystem/hyper",
    "ecosystem/quinn",
    "ecosystem/tokio",
];
/// The packages that are published.
const PACKAGES: [&str; 7] = [".", "kernel", "sync", "io", "net", "os", "monitor"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file in some folders whose path is `wanted`, by its path from the root, with its text.
fn files(folders: &[&str], wanted: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() && !path.ends_with("target") {
            let entries = fs::read_dir(&path).expect("a readable folder");
            paths.extend(entries.map(|entry| entry.expect("a readable folder").path()));
        } else if path.is_file() && wanted(&path) {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).expect("a readable text")));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no files found in {folders:?}");
    found
}

/// Every Rust file of some folders, by its path from the root.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    files(folders, |path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// The whole repository: code, pages, manifests, and the scripts of CI.
fn of_the_project() -> Vec<&'static str> {
    let others = ["README.md", "CHANGELOG.md", "Cargo.toml", "rustfmt.toml", "docs", ".ci"];
    [ALL.as_slice(), &others].concat()
}

fn manifest(package: &str) -> String {
    fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a manifest")
}

fn assert_none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

#[test]
fn lines_files_and_functions_are_short() {
    let mut faults = Vec::new();
    for (name, text) in sources(&ALL) {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE {
            faults.push(format!("{name}: {} lines", lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            if line.chars().count() > LINE {
                faults.push(format!("{name}:{}: {} columns", at + 1, line.chars().count()));
            }
            let length = function_length(&lines[at..]);
            if length > FUNCTION {
                faults.push(format!("{name}:{}: a function of {length} lines", at + 1));
            }
        }
    }
    assert_none(&faults, "too long");
}

/// The number of lines of the function that begins on the first of `lines`, or 0.
fn function_length(lines: &[&str]) -> usize {
    let code = lines[0].trim_start();
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async"];
    let before = code.split("fn ").next().unwrap_or_default();
    let begins =
        code.contains("fn ") && before.split_whitespace().all(|word| modifiers.contains(&word));
    if !begins || code.ends_with(';') || code.ends_with("{}") {
        return 0;
    }
    let indent = &lines[0][..lines[0].len() - code.len()];
    let end = format!("{indent}}}");
    lines.iter().position(|line| *line == end).map_or(0, |at| at + 1)
}

#[test]
fn every_file_says_what_it_is() {
    let headless = sources(&ALL).into_iter().filter(|(_, text)| !text.starts_with("//!"));
    let faults: Vec<String> = headless.map(|(name, _)| name).collect();
    assert_none(&faults, "no header");
}

#[test]
fn imports_go_one_way() {
    let mut faults = Vec::new();
    let forbidden: [(&str, &[&str]); 5] = [
        ("kernel", &["sync", "io", "net", "os", "curium"]),
        ("sync", &["io", "net", "os", "curium"]),
        ("io", &["sync", "net", "os", "curium"]),
        ("net", &["sync", "os", "curium"]),
        ("os", &["sync", "net", "curium"]),
    ];
    for (package, others) in forbidden {
        for other in others {
            for (name, text) in sources(&[package]) {
                let uses = format!("use {other}::");
                if text.lines().any(|line| line.trim_start().starts_with(&uses)) {
                    faults.push(format!("{name} uses {other}"));
                }
            }
            // The rest is for the tests of the crate, which contain the examples of the
            // documentation.
            let text = manifest(package);
            let shipped = text.split("[dev-dependencies]").next().unwrap_or_default();
            if shipped.lines().any(|line| line.starts_with(&format!("{other} ="))) {
                faults.push(format!("{package}/Cargo.toml depends on {other}"));
            }
        }
    }
    assert_none(&faults, "wrong direction");
}

/// A program depends on the facade, and uses the other crates only through it.
#[test]
fn examples_name_the_facade() {
    let mut faults = Vec::new();
    let others = ["use kernel", "use sync", "use io", "use net", "use os"];
    let folders = ["kernel", "sync", "io", "net", "os", "src", "examples", "ecosystem"];
    for (name, text) in sources(&folders) {
        let example = name.starts_with("examples") || name.starts_with("ecosystem");
        for (at, line) in text.lines().map(str::trim_start).enumerate() {
            let doc = line.strip_prefix("//!").or(line.strip_prefix("///"));
            let code = match doc {
                Some(code) => code.trim_start_matches([' ', '#']),
                None if example => line,
                None => continue,
            };
            if others.iter().any(|other| code.starts_with(other)) {
                faults.push(format!("{name}:{}: {line}", at + 1));
            }
        }
    }
    assert_none(&faults, "an example that a program cannot copy");
}

#[test]
fn only_the_kernel_writes_futures_by_hand() {
    let mut faults = Vec::new();
    // No leaf: a future in a box, with settings.
    let boxed = "net/src/serve.rs";
    for (name, text) in sources(&["sync", "io", "net", "os", "src"]) {
        if name == boxed {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if line.starts_with("impl") && line.contains(" Future for ") {
                faults.push(format!("{name}:{}", at + 1));
            }
        }
    }
    assert_none(&faults, "a leaf outside the kernel");
}

#[test]
fn what_can_be_awaited_says_what_a_cancellation_keeps() {
    let mut faults = Vec::new();
    for (name, text) in sources(&[&LIBRARIES[..], &ADAPTERS].concat()) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let open = code.starts_with("pub fn ") || code.starts_with("pub async fn ");
            if open && is_awaitable(&lines[at..]) && !documents_cancellation(&lines[..at]) {
                faults.push(format!("{name}:{}: {code}", at + 1));
            }
        }
    }
    assert_none(&faults, "no `# Cancellation` section");
}

/// Whether the function that begins here returns a future: by its type, or one of the leaves of
/// Curium.
fn is_awaitable(lines: &[&str]) -> bool {
    let end = lines.iter().position(|line| line.ends_with('{')).unwrap_or(0);
    let signature = lines[..=end].join(" ");
    let leaves =
        ["Sleep", "YieldNow", "Timeout<", "IgnoreAfter<", "Shield<", "Cancellable<", "Finally<"];
    let waits = ["Join<", "WaitEnd", "Cancel "];
    let result = signature.rsplit("-> ").next().unwrap_or_default();
    signature.contains("async fn")
        || signature.contains("-> impl Future<")
        || leaves.iter().chain(&waits).any(|leaf| result.starts_with(leaf))
}

fn documents_cancellation(before: &[&str]) -> bool {
    let docs = before.iter().rev().take_while(|line| {
        let line = line.trim_start();
        line.starts_with("///") || line.starts_with("#[")
    });
    docs.into_iter().any(|line| line.contains("# Cancellation"))
}

#[test]
fn nothing_is_unsafe_or_unfinished() {
    let mut faults = Vec::new();
    let words = ["unsafe {", "unsafe fn", "unsafe impl", "todo!(", "unimplemented!(", "#[ignore"];
    for (name, text) in sources(&ALL) {
        for (at, line) in text.lines().enumerate() {
            let found = words.iter().any(|word| line.contains(word));
            if found && !name.starts_with("tests/house_rules/") {
                faults.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    for workspace in [".", "ecosystem"] {
        let forbids = manifest(workspace).contains("unsafe_code = \"forbid\"");
        assert!(forbids, "{workspace}/Cargo.toml forbids it");
    }
    for package in PACKAGES.iter().chain(&ADAPTERS) {
        if !manifest(package).contains("[lints]\nworkspace = true") {
            faults.push(format!("{package} does not take the lints of the workspace"));
        }
    }
    assert_none(&faults, "unsafe or unfinished");
}

#[test]
fn no_process_is_started_beside_tests_that_close_sockets() {
    let mut faults = Vec::new();
    for (name, text) in sources(&["tests/net", "tests/curio"]) {
        let starts = ["children", "Command"].iter().any(|word| text.contains(word));
        if starts {
            faults.push(name);
        }
    }
    assert_none(&faults, "a child holds duplicates of all sockets; see tests/net/main.rs");
}

/// Whether a word is the id of a rule: a letter of the list, and a number.
fn is_rule_id(word: &str) -> bool {
    let (letter, number) = word.split_at(word.len().min(1));
    let digits = (1..=2).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    "CTGKYNQSURIOEVM".contains(letter) && digits
}

fn rule_ids(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.is_ascii());
    words.filter(|word| !word.is_empty() && is_rule_id(word)).map(str::to_owned)
}

#[test]
fn every_rule_of_the_semantics_has_a_test_that_cites_it() {
    let semantics = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    // A rule is stated where its id begins a bold text.
    let bold = semantics.split("**").skip(1).step_by(2);
    let stated: BTreeSet<String> = bold.filter_map(|text| rule_ids(text).next()).collect();
    for (letter, count) in [("C", 12), ("T", 7), ("G", 8), ("K", 9), ("Y", 5), ("N", 5)] {
        for number in 1..=count {
            let id = format!("{letter}{number}");
            assert!(stated.contains(&id), "docs/semantics.md does not state {id}");
        }
    }
    let mut cited = BTreeSet::new();
    for (name, text) in sources(&["tests", "kernel", "sync", "io", "net", "os", "ecosystem"]) {
        if !name.starts_with("tests/house_rules/") {
            cited.extend(cited_by_tests(&text));
        }
    }
    let listed = |id: &&String| semantics.contains(&format!("\n- {id}: `"));
    let unlisted: Vec<String> = stated.iter().filter(|id| !listed(id)).cloned().collect();
    assert_none(&unlisted, "rules without a row in the list of tests");
    let missing: Vec<String> = stated.difference(&cited).cloned().collect();
    assert_none(&missing, "rules that no test cites");
}

/// The rules named in the comments right above tests.
fn cited_by_tests(text: &str) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    let mut comment = String::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("///") {
            comment.push_str(line);
        } else if line.starts_with("#[test]") {
            cited.extend(rule_ids(&comment));
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    cited
}

/// The tests of each file of tests, by the name of its module. Pages cite tests by that name alone,
/// whatever folder the file is in.
fn tests_by_module() -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = BTreeMap::new();
    for (name, text) in sources(&["tests", "ecosystem"]) {
        let module = Path::new(&name).file_stem().unwrap().to_str().unwrap();
        let tests = tests_of(&text);
        if !tests.is_empty() {
            let twice = modules.insert(module.to_owned(), tests);
            assert!(twice.is_none(), "there are two modules {module} with tests");
        }
    }
    modules
}

fn tests_of(text: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            tests.extend(rest.split('(').next().map(str::to_owned));
            is_test = false;
        }
        is_test |= line == "#[test]";
    }
    tests
}

/// The tests that a page cites in code quotes, as `module::a_sentence_with_underscores`. A quote of
/// this form that begins with the name of a crate is a function of that crate.
fn cited_tests(page: &str) -> Vec<(&str, &str)> {
    let snake = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_lowercase());
    let sentence = |text: &str| {
        let digits: [char; 10] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
        text.contains('_') && snake(&text.replace(digits, ""))
    };
    let crates =
        ["kernel", "sync", "io", "net", "os", "curium", "std", "futures", "tokio", "tracing"];
    let quoted = page.split('`').skip(1).step_by(2).filter_map(|text| text.split_once("::"));
    quoted
        .filter(|(module, test)| snake(module) && sentence(test) && !crates.contains(module))
        .collect()
}

fn assert_cited_tests_exist(page: &str) {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (modules, cited) = (tests_by_module(), cited_tests(&text));
    let missing = cited
        .iter()
        .filter(|(module, test)| !modules.get(*module).is_some_and(|tests| tests.contains(*test)));
    let faults: Vec<String> = missing.map(|(module, test)| format!("{module}::{test}")).collect();
    assert!(cited.len() > 100, "{page} cites {} tests only", cited.len());
    assert_none(&faults, &format!("{page} cites tests that are not there"));
}

#[test]
fn every_test_that_the_semantics_names_exists() {
    assert_cited_tests_exist("docs/semantics.md");
}

#[test]
fn every_test_that_the_page_of_curio_names_exists() {
    assert_cited_tests_exist("docs/curio-parity.md");
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    let mut faults = Vec::new();
    // In two halves, so that this file does not match.
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let is_text = |path: &Path| path.extension().is_none_or(|it| it != "png");
    for (name, text) in files(&of_the_project(), is_text) {
        for (at, line) in text.lines().enumerate() {
            if paths.iter().any(|path| line.contains(path)) {
                faults.push(format!("{name}:{}: a path of some machine", at + 1));
            }
        }
    }
    assert_none(&faults, "not of the project");
}
