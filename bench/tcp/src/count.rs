//! Instructions and system calls per request, which do not depend on the load of the machine.
//!
//! The server runs under valgrind or strace, and the load outside. Two runs, one with more work:
//! both contain the cost of starting and ending, so the difference is the cost of the work alone. A
//! watched server is slow, so the load waits until it sleeps. Otherwise it would find the next
//! message at each look, which an unwatched server does not. With many connections the server is
//! stopped while they all send, so that it sees them together, as a busy server does. That costs it
//! one interrupted call per step.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::args::{Options, Workload};
use crate::load::{self, Ending};
use crate::report::{self, Figures};
use crate::rounds::{ACCEPTING, ECHOING, LARGE, SENDING, SMALL};
use crate::serve::Runtime;
use crate::server::Server;

/// Fewer and more pieces of work.
const FULL: (usize, usize) = (6_400, 32_000);
const QUICK: (usize, usize) = (640, 3_200);

pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let work = if options.quick { QUICK } else { FULL };
    let folder = std::env::temp_dir().join(format!("curium-bench-tcp.{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut figures = Figures::new(&options.runtimes);
    let mut calls = Vec::new();
    for &workload in options.workloads.iter().filter(|workload| workload.piece().is_some()) {
        for &runtime in options.runtimes.iter().filter(|&&on| workload.is_asked_of(on)) {
            eprintln!("{} on {runtime}", workload.name());
            let spent = instructions(&folder, workload, runtime, work)?;
            let metric = |what| {
                format!("{}, {what} a {}", workload.name(), workload.piece().unwrap_or_default())
            };
            figures.add(&metric("user instructions"), runtime, spent);
            let each = system_calls(&folder, workload, runtime, work)?;
            figures.add(&metric("system calls"), runtime, each.values().sum());
            calls.push((workload, runtime, each));
        }
    }
    fs::remove_dir_all(&folder)?;
    if options.json {
        report::json(&figures);
        return Ok(());
    }
    report::table(&figures);
    println!("\nsystem calls each, by name:");
    for (workload, runtime, each) in calls {
        let each = each.iter().filter(|(_, count)| **count >= 0.005);
        let text: String = each.map(|(name, count)| format!("  {name} {count:.2}")).collect();
        println!("{:<16}{runtime:<8}{text}", workload.name());
    }
    Ok(())
}

fn drive(
    workload: Workload,
    server: &Server,
    count: usize,
    traced: bool,
) -> Result<(), Box<dyn Error>> {
    let at = server.address;
    match workload {
        Workload::EchoLatency => {
            load::in_step(at, 1, SMALL, count, || server.until_asleep(), || Ok(()))?;
        }
        // Slower than valgrind, and nothing else can stop a traced process.
        Workload::EchoThroughput | Workload::EchoTimeouts if traced => {
            load::in_step(at, ECHOING, LARGE, count, || server.until_asleep(), || Ok(()))?;
        }
        Workload::EchoThroughput | Workload::EchoTimeouts => {
            load::in_step(at, ECHOING, LARGE, count, || server.hold(), || server.let_go())?;
        }
        Workload::AcceptRate => load::connections(at, ACCEPTING, count, Ending::Close)?,
        Workload::ResetRate => load::connections(at, ACCEPTING, count, Ending::Reset)?,
        Workload::ReadLines => load::lines(at, count)?,
        Workload::UdpEcho => load::datagrams(at, SENDING, SMALL, count)?,
        Workload::EchoCores
        | Workload::AcceptCores
        | Workload::ReadPieces
        | Workload::Idle
        | Workload::GrowAccept
        | Workload::GrowAccepted => {}
    }
    Ok(())
}

/// Runs the load against a server under `watcher`, and returns the file that the watcher wrote.
fn watched(
    watcher: &[&str],
    file: PathBuf,
    workload: Workload,
    runtime: Runtime,
    count: usize,
) -> Result<String, Box<dyn Error>> {
    let named = |part: &&str| part.replace("FILE", &file.to_string_lossy());
    let watcher: Vec<String> = watcher.iter().map(named).collect();
    let server = Server::start_under(&watcher, runtime, workload.form(), None)?;
    drive(workload, &server, count, watcher[0] == "strace")?;
    server.stop()?;
    Ok(fs::read_to_string(file)?)
}

fn instructions(
    folder: &Path,
    workload: Workload,
    runtime: Runtime,
    (few, many): (usize, usize),
) -> Result<f64, Box<dyn Error>> {
    let total = |count: usize| {
        let watcher = ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=FILE"];
        let file = folder.join(format!("callgrind.{}.{runtime}.{count}", workload.name()));
        let text = watched(&watcher, file, workload, runtime, count)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
        let total = total.and_then(|total| total.trim().parse::<f64>().ok());
        total.ok_or_else(|| Box::<dyn Error>::from("callgrind wrote no total"))
    };
    Ok((total(many)? - total(few)?) / (many - few) as f64)
}

fn system_calls(
    folder: &Path,
    workload: Workload,
    runtime: Runtime,
    (few, many): (usize, usize),
) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let total = |count: usize| {
        let watcher = ["strace", "-f", "-c", "-U", "name,calls", "-o", "FILE"];
        let file = folder.join(format!("strace.{}.{runtime}.{count}", workload.name()));
        let text = watched(&watcher, file, workload, runtime, count)?;
        Ok::<_, Box<dyn Error>>(text.lines().filter_map(calls_in).collect())
    };
    let fewer: BTreeMap<String, f64> = total(few)?;
    let more: BTreeMap<String, f64> = total(many)?;
    let each = |(name, calls): (String, f64)| {
        let started = fewer.get(&name).copied().unwrap_or_default();
        (name, (calls - started) / (many - few) as f64)
    };
    Ok(more.into_iter().map(each).collect())
}

/// A line of strace's summary: the name of a system call, and its count.
fn calls_in(line: &str) -> Option<(String, f64)> {
    let mut words = line.split_whitespace();
    let (name, calls) = (words.next()?, words.next()?.parse().ok()?);
    (name != "total").then(|| (name.to_owned(), calls))
}
