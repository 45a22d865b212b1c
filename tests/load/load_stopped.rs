//! A process that is stopped for a second while hundreds of timers and intervals run. When it
//! continues, all are due at once, and they do not cause a storm. A second process is stopped.

#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use kernel::{TaskGroup, interval, sleep, timeout_after};
use net::TcpStream;
use rustix::process::{Pid, Signal, kill_process};
use sync::Event;

use crate::support::children;

const INTERVALS: usize = 300;
const TIMERS: usize = 300;
const PERIOD: Duration = Duration::from_millis(10);

/// How long the process is stopped: a hundred periods.
const STOP: Duration = Duration::from_secs(1);

/// After so long without any tick, the process was stopped.
const GAP: Duration = Duration::from_millis(500);

/// Ticks of each interval that are checked after the gap.
const TICKS: usize = 10;

/// Polls between two looks of the kernel at its timers and sockets.
const LOOK: usize = 64;

/// A deadline, so that a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// What the second process sees of its timers.
struct Seen {
    /// Intervals that have ticked twice, and whether all have.
    started: Cell<usize>,
    all_started: Event,
    last: Cell<Instant>,
    /// It was stopped, and has continued.
    resumed: Cell<bool>,
    /// Timers and ticks since then.
    fired: Cell<usize>,
    /// For one interval: the greatest number of ticks that were late by more than the gap.
    late: Cell<usize>,
    through: Cell<usize>,
    all_through: Event,
}

impl Seen {
    fn new() -> Rc<Self> {
        Rc::new(Seen {
            started: Cell::new(0),
            all_started: Event::new(),
            last: Cell::new(Instant::now()),
            resumed: Cell::new(false),
            fired: Cell::new(0),
            late: Cell::new(0),
            through: Cell::new(0),
            all_through: Event::new(),
        })
    }

    /// Counts an event. Is it the first after the gap?
    fn look(&self) {
        let now = Instant::now();
        if now - self.last.replace(now) > GAP {
            self.resumed.set(true);
            self.fired.set(0);
        }
    }

    fn fires(&self) {
        self.look();
        self.fired.set(self.fired.get() + 1);
    }
}

async fn ticks(seen: Rc<Seen>) -> io::Result<()> {
    let mut every = interval(PERIOD);
    let (mut ticks, mut after, mut late) = (0, 0, 0);
    loop {
        let due = every.tick().await?;
        seen.fires();
        ticks += 1;
        seen.started.set(seen.started.get() + usize::from(ticks == 2));
        if seen.started.get() == INTERVALS {
            seen.all_started.set();
        }
        late += usize::from(due.elapsed() > GAP);
        after += usize::from(seen.resumed.get());
        if after == TICKS {
            seen.late.set(seen.late.get().max(late));
            seen.through.set(seen.through.get() + 1);
            if seen.through.get() == INTERVALS {
                seen.all_through.set();
            }
        }
    }
}

async fn fires(seen: Rc<Seen>, n: usize) -> io::Result<()> {
    sleep(STOP / 4 + STOP / 2 * n as u32 / TIMERS as u32).await?;
    seen.fires();
    Ok(())
}

/// The process that is stopped. It reports when everything runs, and answers a byte with its
/// counts.
async fn second_process() -> io::Result<()> {
    let other = io::stdin().as_fd().try_clone_to_owned()?;
    let (other, seen) = (TcpStream::from_std(other.into())?, Seen::new());
    let work = TaskGroup::scope(async |g| {
        for _ in 0..INTERVALS {
            g.spawn_daemon(ticks(seen.clone()));
        }
        for n in 0..TIMERS {
            g.spawn(fires(seen.clone(), n));
        }
        seen.all_started.wait().await?;
        other.write_all(b"!").await?;
        other.read_exact(&mut [0]).await?;
        seen.look();
        let fired = seen.fired.get();
        seen.all_through.wait().await?;
        let counts = [fired, seen.late.get()].map(|number| (number as u32).to_be_bytes());
        other.write_all(&counts.concat()).await?;
        Ok(())
    });
    timeout_after(LIMIT, work).await?
}

/// Killed with the test at the latest, stopped or not.
struct Other(Child);

impl Other {
    fn start() -> io::Result<(Self, UnixStream)> {
        let (mine, theirs) = UnixStream::pair()?;
        mine.set_read_timeout(Some(LIMIT))?;
        let name = children::path_of(a_process_that_was_stopped_goes_on_without_a_storm);
        let mut command = children::command(name, "child");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        Ok((Other(command.spawn()?), mine))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Whether each of its threads is stopped. They do not stop at the same moment.
    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        threads.into_iter().all(|thread| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// K2: after a second in which the process was stopped, three hundred intervals have missed a
/// hundred ticks each, and three hundred timers are due. A byte that came meanwhile is read after
/// each of them has fired once at most. Each interval makes up one of its missed ticks.
#[test]
fn a_process_that_was_stopped_goes_on_without_a_storm() {
    if children::role().is_some() {
        kernel::run(second_process).unwrap();
        return;
    }
    let (mut other, mut stream) = Other::start().unwrap();
    stream.read_exact(&mut [0]).unwrap();
    other.signal(Signal::STOP).unwrap();
    let started = Instant::now();
    while !other.is_stopped() {
        assert!(started.elapsed() < LIMIT, "it does not stop");
        thread::sleep(Duration::from_millis(1));
    }
    stream.write_all(b"?").unwrap();
    thread::sleep(STOP);
    other.signal(Signal::CONT).unwrap();

    let mut counts = [0; 8];
    stream.read_exact(&mut counts).unwrap();
    assert!(other.0.wait().unwrap().success());
    let [fired, late] = [0, 4].map(|at| u32::from_be_bytes(counts[at..at + 4].try_into().unwrap()));
    println!("{fired} timers before the byte, {late} late ticks of an interval");
    assert!(fired as usize <= INTERVALS + TIMERS + LOOK, "{fired} timers before the byte");
    assert!((1..=2).contains(&late), "{late} late ticks");
}
