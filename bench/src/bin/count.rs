//! Runs only one workload of one runtime, to be run under valgrind.
//!
//! `count RUNTIME WORKLOAD OPERATIONS [TASKS]`

use std::process::ExitCode;

use bench::load::{Load, Workload};
use bench::runtimes;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if run(&words).is_some() {
        return ExitCode::SUCCESS;
    }
    eprintln!("count RUNTIME WORKLOAD OPERATIONS [TASKS]; not every runtime has every workload");
    ExitCode::from(2)
}

fn run(words: &[String]) -> Option<()> {
    let run = runtimes::named(words.first()?)?;
    let workload = Workload::named(words.get(1)?)?;
    let ops = words.get(2)?.parse().ok()?;
    let size = words.get(3).map_or(Some(workload.load().size), |word| word.parse().ok())?;
    run(workload, Load::new(ops, size), || {}).map(|_| ())
}
