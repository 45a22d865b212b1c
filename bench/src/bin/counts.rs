//! Instructions per operation, under valgrind, and system calls, under strace, compared with the
//! kept counts. Fails if one grew.
//!
//! Counts repeat where times do not, so they can be checked on any machine. Each workload runs
//! twice, with few operations and with more. The difference, per operation, is free of the
//! cost of starting and ending. Run it as `.ci/counts`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

use bench::load::Workload;
use bench::runtimes;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The workloads that are counted. Those that measure time are not.
const WORKLOADS: [Workload; 25] = [
    Workload::SpawnJoin,
    Workload::SpawnJoinOne,
    Workload::Yield,
    Workload::ChanPingpong,
    Workload::ChanThroughput,
    Workload::QueuePingpong,
    Workload::QueueThroughput,
    Workload::LockContended,
    Workload::LockFree,
    Workload::PermitContended,
    Workload::PermitFree,
    Workload::TimerInsertCancel,
    Workload::Cancel,
    Workload::CancelMany,
    Workload::GroupMember,
    Workload::GroupEmpty,
    Workload::GroupOne,
    Workload::GroupTen,
    Workload::ScopeTen,
    Workload::UnorderedTen,
    Workload::GatherTwo,
    Workload::TimeoutReady,
    Workload::TimeoutRecv,
    Workload::TimeoutNested,
    Workload::EndSleepers,
];

/// What is counted in a kernel with a watcher or a flight recorder too: the name of the figure, the
/// kernel, and the workload.
const SEEN: [(&str, &str, Workload); 5] = [
    ("spawn_join_watched", runtimes::WATCHED, Workload::SpawnJoin),
    ("spawn_join_1_watched", runtimes::WATCHED, Workload::SpawnJoinOne),
    ("yield_watched", runtimes::WATCHED, Workload::Yield),
    ("spawn_join_recorded", runtimes::RECORDED, Workload::SpawnJoin),
    ("yield_recorded", runtimes::RECORDED, Workload::Yield),
];

/// What is counted of the system calls: the name of the figure, the workload, which calls, and per
/// how many operations.
const CALLS: [(&str, Workload, &str, u64); 2] = [
    ("start_stop_calls", Workload::StartStop, "total", 1),
    ("wake_thread_futex_calls_of_100", Workload::WakeThread, "futex", 100),
];

/// The kept figures of the TCP servers: the name here, the name of the figure there, and per how
/// many requests or connections. Those that end in `_watched` are of a kernel with a watcher.
const SERVED: [(&str, &str, f64); 9] = [
    ("echo_64", "echo_throughput, user instructions a request", 1.0),
    ("echo_64_calls_of_100", "echo_throughput, system calls a request", 100.0),
    ("echo_timeouts", "echo_timeouts, user instructions a request", 1.0),
    ("echo_1", "echo_latency, user instructions a request", 1.0),
    ("echo_1_calls_of_100", "echo_latency, system calls a request", 100.0),
    ("accept_rate", "accept_rate, user instructions a connection", 1.0),
    ("reset_rate", "reset_rate, user instructions a connection", 1.0),
    ("echo_64_watched", "echo_throughput, user instructions a request", 1.0),
    ("echo_1_watched", "echo_latency, user instructions a request", 1.0),
];

/// Operations of the shorter and of the longer run.
const FEW: u64 = 10_000;
const MORE: u64 = 30_000;

/// The same for those of which system calls are counted, because tracing is slow.
const FEW_TRACED: u64 = 500;
const MORE_TRACED: u64 = 1_500;

/// By how much a count may grow. How many events one look at the poll finds depends on timing, so
/// system calls may grow by a tenth. One more per request would be a third.
fn tolerance(name: &str) -> f64 {
    if name.contains("calls") { 1.10 } else { 1.03 }
}

/// The most runs of the servers, to find one that a busy machine has not disturbed.
const ATTEMPTS: usize = 3;

fn has_grown(kept: Option<&Table>, name: &str, now: u64) -> bool {
    let before = kept.and_then(|kept| kept.get(name));
    before.is_some_and(|&before| now as f64 > before as f64 * tolerance(name))
}

/// Dependencies that run inside these workloads.
const PACKAGES: [&str; 5] = ["mio", "pin-project-lite", "rustix", "slab", "tracing-core"];

const KEPT: &str = "bench/counts.toml";
const USAGE: &str = "\
.ci/counts             Curium's counts; fails if one grew by more than 3 % (system calls: 10)
.ci/counts --record    the same, and keeps them for this toolchain and these dependencies
.ci/counts --peers     those of all runtimes beside them";

fn main() -> ExitCode {
    let outcome = match env::args().nth(1).as_deref() {
        None => check(false),
        Some("--record") => check(true),
        Some("--peers") => peers(),
        Some(_) => Err(USAGE.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Counts Curium's workloads and compares them with the kept ones.
fn check(record: bool) -> Result<ExitCode> {
    let key = key()?;
    let tables = parse(&fs::read_to_string(KEPT)?);
    let kept = tables.get(&key);
    let mut counts = Vec::new();
    let mut grown = 0;
    for workload in WORKLOADS {
        if cfg!(curium_no_records) && workload.cancels() {
            continue;
        }
        let now = count("curium", workload)?.ok_or("Curium has every workload")?;
        counts.push((workload.name(), now));
    }
    for (name, kernel, workload) in SEEN {
        let now = count(kernel, workload)?.ok_or("Curium has every workload")?;
        counts.push((name, now));
    }
    for (name, workload, call, each) in CALLS {
        let now = calls("curium", workload, call, each)?.ok_or("Curium has every workload")?;
        counts.push((name, now));
    }
    counts.extend(served_at_best(kept)?);
    println!(
        "{:<32}{:>8}{:>8}{:>9}{:>8}",
        "instructions, system calls", "now", "kept", "change", "goal"
    );
    for &(name, now) in &counts {
        let before = kept.and_then(|kept| kept.get(name)).copied();
        let goal = tables.get("goals").and_then(|goals| goals.get(name));
        let change = before.filter(|before| *before > 0).map(|before| now as f64 / before as f64);
        let too_much = has_grown(kept, name, now);
        grown += usize::from(too_much);
        println!(
            "{name:<32}{now:>8}{:>8}{:>9}{:>8}{}",
            before.map_or("-".into(), |before| before.to_string()),
            change.map_or("-".into(), |change| format!("{:+.1} %", (change - 1.0) * 100.0)),
            goal.map_or("-".into(), ToString::to_string),
            if too_much { "  GREW" } else { "" },
        );
    }
    if record {
        keep(&key, &counts)?;
        println!("kept in {KEPT} for [\"{key}\"]");
        return Ok(ExitCode::SUCCESS);
    }
    if kept.is_none() {
        println!("nothing kept for [\"{key}\"]; `.ci/counts --record` keeps these");
    }
    if grown > 0 {
        println!("{grown} grew by more than they may; if that is meant: `.ci/counts --record`");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts the workloads of every runtime.
fn peers() -> Result<ExitCode> {
    print!("{:<32}", "instructions, system calls");
    for (runtime, _) in runtimes::ALL {
        print!("{runtime:>14}");
    }
    println!();
    for workload in WORKLOADS {
        print!("{:<32}", workload.name());
        for (runtime, _) in runtimes::ALL {
            print!("{:>14}", shown(count(runtime, workload)?));
        }
        println!();
    }
    for (name, workload, call, each) in CALLS {
        print!("{name:<32}");
        for (runtime, _) in runtimes::ALL {
            print!("{:>14}", shown(calls(runtime, workload, call, each)?));
        }
        println!();
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(count: Option<u64>) -> String {
    count.map_or("-".into(), |count| count.to_string())
}

/// The least cost of a request that was measured, because a busy machine only adds to it.
fn served_at_best(kept: Option<&Table>) -> Result<Vec<(&'static str, u64)>> {
    let mut least = served()?;
    for _ in 1..ATTEMPTS {
        if !least.iter().any(|&(name, now)| has_grown(kept, name, now)) {
            break;
        }
        for (best, (_, again)) in least.iter_mut().zip(served()?) {
            best.1 = best.1.min(again);
        }
    }
    Ok(least)
}

/// The cost of a request or a connection for the echo server, as the benchmark of servers
/// counts it.
fn served() -> Result<Vec<(&'static str, u64)>> {
    let mut counts = served_by("curium", "echo,accept,reset")?;
    counts.extend(served_by("curium-watched", "echo_throughput,echo_latency")?);
    Ok(counts)
}

fn served_by(server: &str, workloads: &str) -> Result<Vec<(&'static str, u64)>> {
    let program = env::current_exe()?.with_file_name("curium-bench-tcp");
    let run = Command::new(program)
        .args(["count", "--quick", "--json", "--runtimes", server, "--only", workloads])
        .output()
        .map_err(|error| format!("curium-bench-tcp: {error}"))?;
    if !run.status.success() {
        let says = String::from_utf8_lossy(&run.stderr);
        return Err(format!("curium-bench-tcp count: {}\n{says}", run.status).into());
    }
    let said = String::from_utf8(run.stdout)?;
    let mut counts = Vec::new();
    let watched = server.ends_with("watched");
    let is_served = |it: &(&str, &str, f64)| it.0.ends_with("_watched") == watched;
    for (name, metric, requests) in SERVED.into_iter().filter(is_served) {
        let line = said.lines().find(|line| line.contains(metric));
        let median = line.and_then(|line| line.split("\"median\": ").nth(1)?.split(',').next());
        let median: f64 = median.ok_or_else(|| format!("no figure of {metric}"))?.parse()?;
        counts.push((name, (median * requests).round() as u64));
    }
    Ok(counts)
}

/// Instructions per operation. `None` if the runtime has no such workload.
fn count(runtime: &str, workload: Workload) -> Result<Option<u64>> {
    let (fewer, more) = operations(workload);
    let Some(few) = collected(runtime, workload, fewer)? else { return Ok(None) };
    let many = collected(runtime, workload, more)?.ok_or("it ran with fewer operations")?;
    Ok(Some(many.saturating_sub(few) / (more - fewer)))
}

/// The operations of the two runs.
fn operations(workload: Workload) -> (u64, u64) {
    match workload {
        // Whole batches.
        Workload::CancelMany => (workload.load().size, 3 * workload.load().size),
        _ => (FEW, MORE),
    }
}

/// All instructions of one run.
fn collected(runtime: &str, workload: Workload, ops: u64) -> Result<Option<u64>> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(count_program()?)
        .args([runtime, workload.name(), &ops.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let says = String::from_utf8_lossy(&run.stderr);
    match run.status.code() {
        Some(0) => {}
        Some(2) => return Ok(None),
        _ => return Err(format!("{runtime} {}: {}\n{says}", workload.name(), run.status).into()),
    }
    let total = says.lines().find_map(|line| line.split_once("Collected :"));
    let (_, total) = total.ok_or("valgrind said nothing of what it collected")?;
    Ok(Some(total.trim().parse()?))
}

/// System calls of that name, or all of them, in so many operations. `None` if the runtime has no
/// such workload.
fn calls(runtime: &str, workload: Workload, call: &str, each: u64) -> Result<Option<u64>> {
    let Some(few) = traced(runtime, workload, call, FEW_TRACED)? else { return Ok(None) };
    let more = traced(runtime, workload, call, MORE_TRACED)?.ok_or("it ran with fewer")?;
    let spent = (more - few) * each as f64 / (MORE_TRACED - FEW_TRACED) as f64;
    Ok(Some(spent.round().max(0.0) as u64))
}

/// The system calls of one run.
fn traced(runtime: &str, workload: Workload, call: &str, ops: u64) -> Result<Option<f64>> {
    let run = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls"])
        .arg(count_program()?)
        .args([runtime, workload.name(), &ops.to_string()])
        .output()
        .map_err(|error| format!("strace: {error}"))?;
    let says = String::from_utf8_lossy(&run.stderr);
    match run.status.code() {
        Some(0) => {}
        Some(2) => return Ok(None),
        _ => return Err(format!("{runtime} {}: {}\n{says}", workload.name(), run.status).into()),
    }
    let counted = says.lines().filter_map(|line| line.trim().split_once(' '));
    let of_call =
        counted.filter(|(name, _)| *name == call).map(|(_, count)| count.trim().parse::<f64>());
    Ok(Some(of_call.sum::<std::result::Result<f64, _>>()?))
}

/// The program that is counted is in the folder of this one.
fn count_program() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("count"))
}

/// What the counts depend on, besides Curium itself.
fn key() -> Result<String> {
    let mut parts = vec![
        said_by("rustc", "-V")?.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        env::consts::ARCH.to_owned(),
        said_by("getconf", "GNU_LIBC_VERSION").unwrap_or_else(|_| "libc unknown".into()),
        said_by("valgrind", "--version")?.replace('-', " "),
    ];
    let lock = fs::read_to_string("Cargo.lock")?;
    for package in PACKAGES {
        let entry = format!("name = \"{package}\"\nversion = \"");
        let versions = lock.split(&entry).skip(1).filter_map(|rest| rest.split('"').next());
        parts.push(format!("{package} {}", newest(versions).unwrap_or("none")));
    }
    Ok(parts.join(", "))
}

/// The newest of some versions: peers may bring older ones of the same package.
fn newest<'a>(versions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let numbers =
        |version: &str| -> Vec<u64> { version.split('.').filter_map(|n| n.parse().ok()).collect() };
    versions.max_by_key(|version| numbers(version))
}

/// The first line that a program prints.
fn said_by(program: &str, argument: &str) -> Result<String> {
    let said = Command::new(program).arg(argument).output();
    let said = said.map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8(said.stdout)?;
    Ok(text.lines().next().ok_or_else(|| format!("{program} says nothing"))?.trim().to_owned())
}

/// Numbers by name.
type Table = BTreeMap<String, u64>;

/// The tables of the kept file, by their headings. It parses only the TOML that the file uses.
fn parse(text: &str) -> BTreeMap<String, Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            heading = line.trim_matches(['[', ']', '"']).to_owned();
        } else if let Some((name, Ok(number))) =
            line.split_once('=').map(|(name, number)| (name.trim(), number.trim().parse()))
        {
            tables.entry(heading.clone()).or_default().insert(name.to_owned(), number);
        }
    }
    tables
}

/// Puts a table into the kept file. It replaces the table with the same key, if there is one.
fn keep(key: &str, counts: &[(&str, u64)]) -> Result<()> {
    let heading = format!("[\"{key}\"]");
    let mut kept = String::new();
    let mut replaced = false;
    for line in fs::read_to_string(KEPT)?.lines() {
        if line.starts_with('[') {
            replaced = line == heading;
        }
        if !replaced {
            writeln!(kept, "{line}")?;
        }
    }
    let mut kept = kept.trim_end().to_owned();
    write!(kept, "\n\n{heading}\n")?;
    for (name, count) in counts {
        writeln!(kept, "{name} = {count}")?;
    }
    fs::write(KEPT, kept)?;
    Ok(())
}
