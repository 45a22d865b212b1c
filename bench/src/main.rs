//! The table of times: Curium, and the ratio of each peer to it.
//!
//! Child processes of this program do the work, one sample each. This process only waits. Each
//! child is pinned to one core, unless its workload has a thread of its own beside the runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::case::{self, Case, Result};
use bench::cores;
use bench::load::{Load, Workload};
use bench::picture;
use bench::table::Table;

const USAGE: &str = "\
curium-bench [--quick] [--only NAME,NAME..] [--rounds N] [--json] [--svg FILE]

Prints nanoseconds per operation of Curium, and the ratio of each peer to it (more than 1: slower
than Curium), medians over the rounds. --only takes names of rows, `grow` for all growth. --svg
writes bars to FILE, and beside it FILE with `-growth` in its name.";

struct Options {
    quick: bool,
    json: bool,
    rounds: usize,
    only: Vec<String>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "--one") {
        return if one(&words[1..]).is_some() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    let Some(options) = options(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The work of a child: one sample.
fn one(words: &[String]) -> Option<()> {
    let [runtime, workload, ops, size] = words else { return None };
    let load = Load::new(ops.parse().ok()?, size.parse().ok()?);
    let workload = Workload::named(workload)?;
    if !workload.has_threads() {
        pin().expect("a process may choose among its cores");
    }
    case::print_one(runtime, workload, load)
}

fn options(words: &[String]) -> Option<Options> {
    let mut options = Options { quick: false, json: false, rounds: 5, only: Vec::new(), svg: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--json" => options.json = true,
            "--rounds" => options.rounds = words.next()?.parse().ok().filter(|n| *n > 0)?,
            "--only" => options.only = words.next()?.split(',').map(str::to_owned).collect(),
            "--svg" => options.svg = Some(PathBuf::from(words.next()?)),
            _ => return None,
        }
    }
    Some(options)
}

fn run(options: &Options) -> Result<()> {
    let chosen = |case: &Case| {
        let named = |only: &String| case.name == only || only == "grow" && case.grows();
        options.only.is_empty() || options.only.iter().any(named)
    };
    let cases: Vec<Case> = case::all(options.quick).into_iter().filter(chosen).collect();
    if cases.is_empty() {
        return Err(format!("--only selects nothing\n\n{USAGE}").into());
    }
    if cases.iter().any(Case::counts_bytes) {
        case::build_the_counter_of_bytes()?;
    }
    let mut table = Table::default();
    for case in &cases {
        eprintln!("{} ({} operations, {} tasks)", case.name, case.load.ops, case.load.size);
        let rounds = if case.counts_bytes() { 1 } else { options.rounds };
        for _ in 0..rounds {
            for runtime in case.runtimes() {
                table.add(runtime, case.sample(runtime)?);
            }
        }
    }
    if options.json {
        println!("{}", table.json());
    } else {
        println!("{}\n\n{}", table.text(), table.growth());
    }
    if let Some(path) = &options.svg {
        fs::write(path, picture::bars(&table))?;
        fs::write(beside(path), picture::growth(&table))?;
    }
    Ok(())
}

/// `bars.svg` → `bars-growth.svg`.
fn beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-growth.svg"))
}

/// Pins this process to one core: the last that it may use.
fn pin() -> std::io::Result<()> {
    let cores = cores::allowed()?;
    cores.last().map_or(Ok(()), |last| cores::pin(*last))
}
