//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

use crate::serve::Runtime;

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Be a server, on a core of its own if one is named.
    Serve { runtime: Runtime, core: Option<usize> },
    /// Measure time and memory.
    Measure(Options),
    /// Count instructions and system calls.
    Count(Options),
}

/// What to measure, and how.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) runtimes: Vec<Runtime>,
    pub(crate) rounds: usize,
    /// A tenth of the work: to see that it runs, not to compare.
    pub(crate) quick: bool,
    pub(crate) json: bool,
    /// Where the picture of growth goes.
    pub(crate) svg: Option<PathBuf>,
}

/// What the load generator does to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One connection, 64 bytes there and back, one at a time.
    EchoLatency,
    /// 64 connections, 1 KiB there and back, one outstanding on each.
    EchoThroughput,
    /// Connect, a byte there and back, close.
    AcceptRate,
    /// Thousands of connections that are open and say nothing.
    Idle,
    /// As [`AcceptRate`](Workload::AcceptRate), beside more and more of the silent ones.
    GrowAccept,
    /// The same on a server that has had more and more of them.
    GrowAccepted,
}

impl Workload {
    pub(crate) const ALL: [Workload; 6] = [
        Workload::EchoLatency,
        Workload::EchoThroughput,
        Workload::AcceptRate,
        Workload::Idle,
        Workload::GrowAccept,
        Workload::GrowAccepted,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::EchoLatency => "echo_latency",
            Workload::EchoThroughput => "echo_throughput",
            Workload::AcceptRate => "accept_rate",
            Workload::Idle => "idle",
            Workload::GrowAccept => "grow_accept",
            Workload::GrowAccepted => "grow_accepted",
        }
    }

    /// Whether it is looked at how the cost of one grows.
    pub(crate) fn grows(self) -> bool {
        matches!(self, Workload::GrowAccept | Workload::GrowAccepted)
    }
}

/// Several may be meant: the one of this name, or every one whose name contains `part`.
fn workloads(part: &str) -> Result<Vec<Workload>, String> {
    let named = |workload: &Workload| workload.name() == part;
    if let Some(one) = Workload::ALL.into_iter().find(named) {
        return Ok(vec![one]);
    }
    let found = Workload::ALL.into_iter().filter(|workload| workload.name().contains(part));
    let found: Vec<Workload> = found.collect();
    if found.is_empty() {
        let all = Workload::ALL.map(Workload::name).join(", ");
        return Err(format!("no workload {part:?}; there are {all}"));
    }
    Ok(found)
}

pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut options = Options {
        workloads: Vec::new(),
        runtimes: Vec::new(),
        rounds: 5,
        quick: false,
        json: false,
        svg: None,
    };
    let mut counting = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if word == "serve" => return serve(&mut parser),
            Arg::Value(word) if word == "count" => counting = true,
            Arg::Long("only") => {
                for part in parser.value()?.string()?.split(',') {
                    options.workloads.extend(workloads(part)?);
                }
            }
            Arg::Long("runtimes") => {
                for name in parser.value()?.string()?.split(',') {
                    options.runtimes.push(Runtime::from_str(name)?);
                }
            }
            Arg::Long("rounds") => options.rounds = parser.value()?.parse::<usize>()?.max(1),
            Arg::Long("quick") => options.quick = true,
            Arg::Long("json") => options.json = true,
            Arg::Long("svg") => options.svg = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    if options.workloads.is_empty() {
        // A million connections take minutes: only who names them gets them.
        let brief = |workload: &Workload| *workload != Workload::GrowAccepted;
        options.workloads.extend(Workload::ALL.into_iter().filter(brief));
    }
    if options.runtimes.is_empty() {
        options.runtimes.extend(Runtime::ALL);
    }
    Ok(if counting { Command::Count(options) } else { Command::Measure(options) })
}

fn serve(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let runtime = parser.value()?.parse()?;
    let mut core = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("core") => core = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve { runtime, core })
}
