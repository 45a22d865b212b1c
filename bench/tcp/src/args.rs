//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

use crate::growth;
use crate::serve::{Form, Runtime};

/// The mode of the program.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run a server, pinned to a core if one is named.
    Serve { runtime: Runtime, form: Form, core: Option<usize> },
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
    /// A tenth of the work, to see that it runs, not to compare.
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
    /// The same on a server whose every read and write is under a timeout.
    EchoTimeouts,
    /// As [`EchoThroughput`](Workload::EchoThroughput), to servers that use two cores, which they
    /// share with the load, and to Curium and tokio on one thread.
    EchoCores,
    /// As [`AcceptRate`](Workload::AcceptRate), to the same servers.
    AcceptCores,
    /// One connection that sends lines of 64 bytes.
    ReadLines,
    /// One connection that sends without a pause, to a server that reads pieces of 64 KiB.
    ReadPieces,
    /// Connect, a byte there and back, close.
    AcceptRate,
    /// Connect, a byte there and back, reset: the server's read fails.
    ResetRate,
    /// 16 sockets, datagrams of 64 bytes there and back, one outstanding on each.
    UdpEcho,
    /// Thousands of connections that are open and silent.
    Idle,
    /// As [`AcceptRate`](Workload::AcceptRate), beside more and more silent connections.
    GrowAccept,
    /// The same on a server that has had more and more of them.
    GrowAccepted,
}

impl Workload {
    pub(crate) const ALL: [Workload; 13] = [
        Workload::EchoLatency,
        Workload::EchoThroughput,
        Workload::EchoTimeouts,
        Workload::EchoCores,
        Workload::AcceptCores,
        Workload::ReadLines,
        Workload::ReadPieces,
        Workload::AcceptRate,
        Workload::ResetRate,
        Workload::UdpEcho,
        Workload::Idle,
        Workload::GrowAccept,
        Workload::GrowAccepted,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::EchoLatency => "echo_latency",
            Workload::EchoThroughput => "echo_throughput",
            Workload::EchoTimeouts => "echo_timeouts",
            Workload::EchoCores => "echo_cores",
            Workload::AcceptCores => "accept_cores",
            Workload::ReadLines => "read_lines",
            Workload::ReadPieces => "read_pieces",
            Workload::AcceptRate => "accept_rate",
            Workload::ResetRate => "reset_rate",
            Workload::UdpEcho => "udp_echo",
            Workload::Idle => "idle",
            Workload::GrowAccept => "grow_accept",
            Workload::GrowAccepted => "grow_accepted",
        }
    }

    /// Whether it runs if it is not named. A million connections take minutes, and servers that
    /// share cores with the load disturb no other workload.
    fn is_usual(self) -> bool {
        self != Workload::GrowAccepted && !self.shares_cores()
    }

    /// Whether the servers and the load run on every core.
    pub(crate) fn shares_cores(self) -> bool {
        matches!(self, Workload::EchoCores | Workload::AcceptCores)
    }

    /// Whether it measures how the cost of one grows.
    fn grows(self) -> bool {
        matches!(self, Workload::GrowAccept | Workload::GrowAccepted)
    }

    /// Growth is measured for Curium and for mio by hand, for which the system's tables grow as
    /// well. The server by hand has no timeouts, and reads neither lines nor pieces. That on monoio
    /// does not either, and there is none over UDP.
    pub(crate) fn is_asked_of(self, runtime: Runtime) -> bool {
        match self {
            Workload::EchoCores | Workload::AcceptCores => {
                runtime.uses_cores() || matches!(runtime, Runtime::Curium | Runtime::Tokio)
            }
            _ if runtime.uses_cores() => false,
            Workload::EchoTimeouts => runtime != Runtime::ByHand,
            Workload::UdpEcho => runtime != Runtime::Monoio,
            Workload::ReadLines | Workload::ReadPieces => {
                matches!(runtime, Runtime::Curium | Runtime::Tokio | Runtime::Smol)
            }
            _ => !self.grows() || growth::RUNTIMES.contains(&runtime),
        }
    }

    /// The form of the server that it needs.
    pub(crate) fn form(self) -> Form {
        match self {
            Workload::EchoTimeouts => Form::Timeouts,
            Workload::UdpEcho => Form::Datagrams,
            Workload::ReadLines => Form::Lines,
            Workload::ReadPieces => Form::Pieces,
            _ => Form::Plain,
        }
    }

    /// What is counted per piece. `None` if it has no such count.
    pub(crate) fn piece(self) -> Option<&'static str> {
        match self {
            Workload::EchoLatency | Workload::EchoThroughput | Workload::EchoTimeouts => {
                Some("request")
            }
            Workload::AcceptRate | Workload::ResetRate => Some("connection"),
            Workload::ReadLines => Some("line"),
            Workload::UdpEcho => Some("datagram"),
            Workload::ReadPieces
            | Workload::EchoCores
            | Workload::AcceptCores
            | Workload::Idle
            | Workload::GrowAccept
            | Workload::GrowAccepted => None,
        }
    }
}

/// A name may select several workloads: the one with this name, or every one whose name begins with
/// `part`, except those that have to be named in full.
fn workloads(part: &str) -> Result<Vec<Workload>, String> {
    let named = |workload: &Workload| workload.name() == part;
    if let Some(one) = Workload::ALL.into_iter().find(named) {
        return Ok(vec![one]);
    }
    let meant = |workload: &Workload| workload.is_usual() && workload.name().starts_with(part);
    let found: Vec<Workload> = Workload::ALL.into_iter().filter(meant).collect();
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
        options.workloads.extend(Workload::ALL.into_iter().filter(|workload| workload.is_usual()));
    }
    if options.runtimes.is_empty() {
        let asked = |runtime: &Runtime| {
            options.workloads.iter().any(|workload| workload.is_asked_of(*runtime))
        };
        options.runtimes = Runtime::ALL.into_iter().filter(asked).collect();
    }
    options.check(counting)?;
    Ok(if counting { Command::Count(options) } else { Command::Measure(options) })
}

impl Options {
    /// Whether the arguments select any work, and a picture if one is requested.
    fn check(&self, counting: bool) -> Result<(), String> {
        let mut workloads = self.workloads.iter();
        if counting {
            if self.svg.is_some() {
                return Err("count draws nothing: leave --svg out".to_owned());
            }
            return match workloads.any(|workload| workload.piece().is_some()) {
                true => Ok(()),
                false => {
                    Err("count needs one of echo, read_lines, udp_echo, accept_rate, reset_rate"
                        .to_owned())
                }
            };
        }
        let selected = |workload: &Workload| {
            self.runtimes.iter().any(|&runtime| workload.is_asked_of(runtime))
        };
        let on_whom = growth::RUNTIMES.map(Runtime::name).join(" and ");
        if self.svg.is_some() && !workloads.any(|workload| workload.grows() && selected(workload)) {
            return Err(format!("--svg draws grow_accept and grow_accepted, on {on_whom}"));
        }
        match self.workloads.iter().any(selected) {
            true => Ok(()),
            false => Err(format!(
                "growth is measured on {on_whom}, and not all have timeouts or lines: choose others"
            )),
        }
    }
}

fn serve(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let runtime = parser.value()?.parse()?;
    let (mut core, mut form) = (None, Form::Plain);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("form") => form = Form::from_str(&parser.value()?.string()?)?,
            Arg::Long("core") => core = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve { runtime, form, core })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(part: &str) -> Vec<&'static str> {
        workloads(part).unwrap().into_iter().map(Workload::name).collect()
    }

    #[test]
    fn what_is_not_usual_must_be_named_in_full() {
        assert_eq!(named("accept"), ["accept_rate"]);
        assert_eq!(named("echo_cores"), ["echo_cores"]);
        assert_eq!(named("echo"), ["echo_latency", "echo_throughput", "echo_timeouts"]);
        assert_eq!(named("grow"), ["grow_accept"]);
        assert_eq!(named("grow_accepted"), ["grow_accepted"]);
        assert!(workloads("growth").is_err());
    }

    #[test]
    fn what_brings_nothing_is_an_error() {
        let check = |workload, runtime, svg: bool, counting| {
            let svg = svg.then(|| PathBuf::from("growth.svg"));
            let (workloads, runtimes) = (vec![workload], vec![runtime]);
            let options = Options { workloads, runtimes, rounds: 1, quick: true, json: false, svg };
            options.check(counting).is_ok()
        };
        assert!(check(Workload::GrowAccept, Runtime::ByHand, true, false));
        assert!(check(Workload::Idle, Runtime::Tokio, false, false));
        assert!(check(Workload::AcceptRate, Runtime::Tokio, false, true));
        assert!(!check(Workload::GrowAccept, Runtime::Tokio, false, false));
        assert!(!check(Workload::Idle, Runtime::Curium, true, false));
        assert!(!check(Workload::AcceptRate, Runtime::Curium, true, true));
        assert!(!check(Workload::Idle, Runtime::Curium, false, true));
    }
}
