//! What a parked task costs in bytes: `bytes RUNTIME WORKLOAD TASKS`.
//!
//! A separate program, because a counting allocator makes every allocation slower.

use std::alloc::System;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bench::load::{Load, Workload};
use bench::runtimes;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Two numbers that are read at the two looks: before the tasks, and with them.
struct Looks {
    before: AtomicUsize,
    with: AtomicUsize,
}

/// The bytes that are requested from the allocator.
static ASKED: Looks = Looks::new();
/// The resident memory of the process.
static RESIDENT: Looks = Looks::new();

impl Looks {
    const fn new() -> Self {
        Looks { before: AtomicUsize::new(0), with: AtomicUsize::new(0) }
    }

    fn look(&self, now: usize) {
        self.before.store(self.with.swap(now, Relaxed), Relaxed);
    }

    fn each(&self, size: u64) -> f64 {
        (self.with.load(Relaxed) as f64 - self.before.load(Relaxed) as f64) / size as f64
    }
}

fn look() {
    let stats = ALLOCATOR.stats();
    ASKED.look(stats.bytes_allocated - stats.bytes_deallocated);
    RESIDENT.look(resident());
}

/// The second number of statm counts resident pages.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * rustix::param::page_size()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if print(&words).is_some() {
        return ExitCode::SUCCESS;
    }
    eprintln!("bytes RUNTIME WORKLOAD TASKS; not every runtime has every workload");
    ExitCode::from(2)
}

fn print(words: &[String]) -> Option<()> {
    let run = runtimes::named(words.first()?)?;
    let workload = Workload::named(words.get(1)?)?;
    let size: u64 = words.get(2)?.parse().ok()?;
    let sample = run(workload, Load::new(0, size), look)?;
    let (name, asked) = (workload.name(), ASKED.each(size));
    println!("{name}_resident\tbytes\t{:.1}", RESIDENT.each(size));
    println!("{name}_asked\tbytes\t{asked:.1}");
    println!("{name}_beside_future\tbytes\t{:.1}", asked - sample.future_bytes as f64);
    Some(())
}
