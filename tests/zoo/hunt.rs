//! Runs the hunt for a bug, and compares what it sees with the row of the page.

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use curium::kernel::testing::{Explored, Swept};

/// What a passing hunt has tried.
pub(crate) trait Tried {
    const BY: &'static str;
    /// What is counted.
    const UNIT: &'static str;

    /// The number of runs or schedules.
    fn count(&self) -> usize;

    /// Whether nothing was left out.
    fn is_complete(&self) -> bool;
}

impl Tried for Swept {
    const BY: &'static str = "sweep";
    const UNIT: &'static str = "runs";

    fn count(&self) -> usize {
        self.runs
    }

    fn is_complete(&self) -> bool {
        true
    }
}

impl Tried for Explored {
    const BY: &'static str = "explore";
    const UNIT: &'static str = "schedules";

    fn count(&self) -> usize {
        self.schedules
    }

    fn is_complete(&self) -> bool {
        self.complete
    }
}

/// The hunt tries a situation in which `bug` would show, and passes.
#[track_caller]
pub(crate) fn cannot_happen<T: Tried>(bug: &str, hunt: impl FnOnce() -> T) {
    let (ended, took) = caught(hunt);
    let tried = match ended {
        Ok(tried) => tried,
        Err(text) => panic!("{bug} can happen: {text}"),
    };
    assert!(tried.is_complete(), "the hunt for {bug} has left something out");
    tell::<T>(bug, "cannot happen", tried.count(), took);
}

/// The hunt for the `planted` version of `bug` fails and says `saying`; the `right` version beside
/// it passes.
#[track_caller]
pub(crate) fn found<T: Tried>(
    bug: &str,
    saying: &str,
    planted: impl FnOnce() -> T,
    right: impl FnOnce() -> T,
) {
    let (ended, took) = caught(planted);
    let text = match ended {
        Ok(tried) => panic!("{bug} was not found: {} runs have passed", tried.count()),
        Err(text) => text,
    };
    assert!(text.contains(saying), "the failure does not say {saying:?}: {text}");
    let (ended, _) = caught(right);
    match ended {
        Ok(tried) => assert!(tried.is_complete(), "the right version is not tried out"),
        Err(text) => panic!("the right version fails: {text}"),
    }
    println!("\n{text}");
    tell::<T>(bug, "found", count_in(&text), took);
}

/// Prints what a test has seen, and compares it with the row of the page.
#[track_caller]
fn tell<T: Tried>(bug: &str, verdict: &str, count: usize, took: Duration) {
    println!("{bug}: {verdict}; {}, {count} {}, {}", T::BY, T::UNIT, rounded(took));
    let row = rows().into_iter().find(|row| row.bug == bug);
    let Some(row) = row else { panic!("docs/zoo.md has no row for {bug}") };
    assert_eq!(
        (row.verdict.as_str(), row.by.as_str(), row.count),
        (verdict, T::BY, count),
        "{bug}: on the left the row of docs/zoo.md, on the right what the test has seen"
    );
}

/// A time to one digit.
fn rounded(took: Duration) -> String {
    let millis = took.as_millis();
    if millis == 0 {
        return "< 1 ms".to_owned();
    }
    let power = 10_u128.pow(millis.ilog10());
    format!("{} ms", (millis + power / 2) / power * power)
}

/// The number of runs of a sweep, or of the schedule, in the text of a failure.
fn count_in(text: &str) -> usize {
    let before = [" runs of the sweep failed", " of the exploration failed"];
    let head = before.iter().find_map(|before| text.split_once(before)).map(|(head, _)| head);
    let word = head.and_then(|head| head.rsplit(' ').next());
    match word.and_then(|word| word.parse().ok()) {
        Some(count) => count,
        None => panic!("no sweep and no exploration has failed: {text}"),
    }
}

thread_local! {
    /// Panics of this thread are expected and not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The value or the panic text of a hunt, and how long it took.
fn caught<T>(hunt: impl FnOnce() -> T) -> (Result<T, String>, Duration) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                print(panic);
            }
        }));
    });
    QUIET.set(true);
    let start = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(hunt));
    let took = start.elapsed();
    QUIET.set(false);
    let ended = ended.map_err(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(_) => "a panic without a text".to_owned(),
    });
    (ended, took)
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) bug: String,
    pub(crate) verdict: String,
    pub(crate) by: String,
    pub(crate) count: usize,
    pub(crate) test: String,
}

/// The rows of the table in `docs/zoo.md`.
pub(crate) fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/zoo.md");
    let text = fs::read_to_string(page).expect("a readable page");
    text.lines().filter(|line| line.starts_with("| [")).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [bug, _, verdict, by, count, _, test] = cells[..] else {
        panic!("a row of docs/zoo.md has seven cells: {line}");
    };
    let name = bug.trim_start_matches('[').split("](").next();
    Row {
        bug: name.unwrap_or_default().to_owned(),
        verdict: verdict.to_owned(),
        by: by.to_owned(),
        count: count.parse().expect("a number of runs or schedules"),
        test: test.trim_matches('`').to_owned(),
    }
}
