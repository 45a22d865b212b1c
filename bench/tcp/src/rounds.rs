//! Measuring: rounds over all servers, one after the other, so that a change on the machine affects
//! all of them.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::args::{Options, Workload};
use crate::growth;
use crate::load::{self, Ending};
use crate::report::{self, Figures};
use crate::serve::{self, Runtime};
use crate::server::Server;

/// The amount of work of one measurement.
struct Sizes {
    trips: usize,
    requests: usize,
    lines: usize,
    /// MiB to read.
    mib: usize,
    connections: usize,
    idle: usize,
    growth: growth::Steps,
}

impl Sizes {
    const FULL: Sizes = Sizes {
        trips: 12_000,
        requests: 120_000,
        lines: 3_000_000,
        mib: 2048,
        connections: 12_000,
        idle: 8_000,
        growth: growth::Steps::FULL,
    };
    const QUICK: Sizes = Sizes {
        trips: 2_000,
        requests: 15_000,
        lines: 300_000,
        mib: 200,
        connections: 1_500,
        idle: 2_000,
        growth: growth::Steps::QUICK,
    };
}

/// The bytes of the small message and of the large one.
pub(crate) const SMALL: usize = 64;
pub(crate) const LARGE: usize = 1024;
/// The cores that `echo_cores` is about, and the threads of its load.
const CORES: usize = 2;
/// Connections that echo at the same time.
pub(crate) const ECHOING: usize = 64;
/// Sockets that send datagrams at the same time.
pub(crate) const SENDING: usize = 16;
/// Connections that are being accepted at the same time.
pub(crate) const ACCEPTING: usize = 16;

pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let sizes = if options.quick { Sizes::QUICK } else { Sizes::FULL };
    serve::raise_descriptor_limit()?;
    let all = sched_getaffinity(None)?;
    let core = cores()?;
    let picture = options.svg.as_deref().map(create).transpose()?;
    let mut figures = Figures::new(&options.runtimes);
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for &workload in &options.workloads {
            // Another order in each round.
            let mut order = options.runtimes.clone();
            let len = order.len();
            order.rotate_left(round % len);
            for runtime in order.into_iter().filter(|&runtime| workload.is_asked_of(runtime)) {
                let shares = workload.shares_cores();
                let shared = shares.then(|| Shared::new(&all)).transpose()?;
                let core = core.filter(|_| shared.is_none());
                measure(workload, runtime, core, &sizes, &mut figures)
                    .map_err(|error| format!("{} on {runtime}: {error}", workload.name()))?;
            }
        }
    }
    if options.json {
        report::json(&figures);
    } else {
        report::table(&figures);
        print!("{}", growth::text(&figures, &sizes.growth));
    }
    if let Some(mut picture) = picture {
        picture.write_all(growth::picture(&figures, &sizes.growth).as_bytes())?;
    }
    Ok(())
}

/// Before the rounds: an error should come now rather than after them.
fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Pins this process to the last core it may use; gives the first one, for the server.
pub(crate) fn cores() -> Result<Option<usize>, Box<dyn Error>> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    let first = cores.next();
    match cores.next_back() {
        Some(last) => serve::pin(last)?,
        None => eprintln!("one core for both: the server's CPU time counts, the latency does not"),
    }
    Ok(first)
}

/// Lets this process and a server that it starts run on every core, until this is dropped.
struct Shared(CpuSet);

impl Shared {
    fn new(all: &CpuSet) -> io::Result<Self> {
        let own = sched_getaffinity(None)?;
        sched_setaffinity(None, all)?;
        Ok(Shared(own))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // It was so before.
        let _ = sched_setaffinity(None, &self.0);
    }
}

fn measure(
    workload: Workload,
    runtime: Runtime,
    core: Option<usize>,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let server = Server::start(runtime, workload.form(), core)?;
    let at = server.address;
    let mut add = |metric: &str, value| figures.add(metric, runtime, value);
    match workload {
        Workload::EchoLatency => {
            let mut latencies = Vec::new();
            let cpu = cpu_of_each(&server, sizes.trips, |trips| {
                latencies = load::latencies(at, SMALL, trips)?;
                Ok(())
            })?;
            add("echo_latency, server CPU us a request", cpu);
            latencies.sort_unstable();
            add("echo_latency, p50 us", percentile(&latencies, 50));
            add("echo_latency, p99 us", percentile(&latencies, 99));
        }
        Workload::EchoThroughput | Workload::EchoTimeouts | Workload::EchoCores => {
            let send = |requests| echoes(workload, &server, requests);
            let cpu = cpu_of_each(&server, sizes.requests, send)?;
            add(&format!("{}, server CPU s a million requests", workload.name()), cpu);
        }
        Workload::ReadLines => {
            let cpu = cpu_of_each(&server, sizes.lines, |lines| load::lines(at, lines))?;
            add("read_lines, server CPU s a million lines", cpu);
        }
        Workload::ReadPieces => {
            let cpu = cpu_of_each(&server, sizes.mib, |mib| load::bytes(at, mib))?;
            add("read_pieces, server CPU ms a GiB", cpu * 1024.0 / 1e3);
        }
        Workload::AcceptRate | Workload::AcceptCores | Workload::ResetRate => {
            let resets = workload == Workload::ResetRate;
            let ending = if resets { Ending::Reset } else { Ending::Close };
            let connect = |connections| load::connections(at, ACCEPTING, connections, ending);
            let cpu = cpu_of_each(&server, sizes.connections, connect)?;
            add(&format!("{}, server CPU us a connection", workload.name()), cpu);
            if runtime == Runtime::CuriumCores {
                let of_door = door(&server, sizes.connections)?;
                add("accept_cores, of it at the door", of_door);
            }
        }
        Workload::UdpEcho => {
            let send = |requests| load::datagrams(at, SENDING, SMALL, requests);
            add("udp_echo, server CPU us a datagram", cpu_of_each(&server, sizes.requests, send)?);
        }
        Workload::Idle => {
            add("idle, bytes a connection", bytes_of_each(&server, sizes.idle)?);
        }
        Workload::GrowAccept | Workload::GrowAccepted => {
            growth::measure(workload, &server, &sizes.growth, add)?;
        }
    }
    server.stop()?;
    Ok(())
}

/// Sends from one thread, or from one for each core that the server shares with the load.
fn echoes(workload: Workload, server: &Server, requests: usize) -> io::Result<()> {
    let threads = if workload.shares_cores() { CORES } else { 1 };
    load::together(threads, || load::echoes(server.address, ECHOING, LARGE, requests / threads))
}

/// Microseconds of CPU that the core that accepts spends on each connection beside its half of
/// them: it accepts it, and gives every second one away.
fn door(server: &Server, connections: usize) -> Result<f64, Box<dyn Error>> {
    let before = server.cpu_by_thread()?;
    load::connections(server.address, ACCEPTING, connections, Ending::Close)?;
    let after = server.cpu_by_thread()?;
    let spent = after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before));
    let mut spent: Vec<Duration> = spent.collect();
    // The two cores, and the main thread, which sleeps.
    spent.sort_unstable();
    let [.., other, busiest] = spent[..] else { return Err("fewer than two cores".into()) };
    Ok((busiest - other).as_secs_f64() * 1e6 / connections as f64)
}

/// Bytes of memory of the server for each of so many connections that are silent.
fn bytes_of_each(server: &Server, count: usize) -> Result<f64, Box<dyn Error>> {
    // First the code and the tables that every server needs sooner or later. These connections stay
    // open, so that nothing of theirs is reused.
    let _first = load::idle(server.address, 200)?;
    let before = server.resident()?;
    let open = load::idle(server.address, count)?;
    let grown = server.resident()?.saturating_sub(before);
    Ok(grown as f64 / open.len() as f64)
}

/// Microseconds of the server's CPU for each of `count`; that is seconds for a million.
pub(crate) fn each(server: &Server, before: Duration, count: usize) -> Result<f64, Box<dyn Error>> {
    let spent = server.cpu()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / count as f64)
}

/// The same for each of `count` that `load` sends, after a tenth of them.
fn cpu_of_each(
    server: &Server,
    count: usize,
    mut load: impl FnMut(usize) -> io::Result<()>,
) -> Result<f64, Box<dyn Error>> {
    load(count / 10)?;
    let before = server.cpu()?;
    load(count)?;
    each(server, before, count)
}

/// In microseconds, of nanoseconds in ascending order.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[place] as f64 / 1e3
}
