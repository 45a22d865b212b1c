//! The cases of the table: workloads with their sizes. Each sample runs in its own process.
//!
//! Separate processes, so that no runtime inherits the heap, threads or caches of another. The
//! rounds go round robin over the runtimes, so that a slow minute of the machine affects all of
//! them.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::load::{Load, Sample, Workload};
use crate::runtimes;

/// Errors of the runner, which are only printed.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The numbers of tasks for which growth is measured.
pub const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// The workloads whose growth is measured: the name, the workload, how many operations.
const GROWING: [(&str, Workload, u64); 4] = [
    ("grow_spawn", Workload::SpawnJoinAll, 1_000_000),
    ("grow_wake", Workload::TurnsAlone, 2_000_000),
    ("grow_cancel", Workload::CancelMany, 1_000_000),
    ("grow_timer", Workload::TimerInsertCancel, 500_000),
];

/// The runtimes whose growth is measured: Curium, and the floor, which has the same cache misses.
const GROWERS: [&str; 2] = ["curium", "floor_rc"];

/// One line of the plan.
#[derive(Clone, Debug)]
pub struct Case {
    /// What `--only` selects by.
    pub name: &'static str,
    /// What is run.
    pub workload: Workload,
    /// How much of it.
    pub load: Load,
}

/// A figure of a sample.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The row of the table.
    pub name: String,
    /// `ns`, `µs` or `bytes`.
    pub unit: String,
    /// The number.
    pub value: f64,
}

/// All cases, in the order of the table.
pub fn all(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for workload in Workload::all().filter(|workload| *workload != Workload::TurnsAlone) {
        let mut load = workload.load();
        if quick && workload == Workload::SpawnJoinAll {
            load = Load::new(100_000, 100_000);
        }
        cases.push(Case { name: workload.name(), workload, load });
    }
    for (name, workload, ops) in GROWING {
        for size in SIZES.into_iter().filter(|size| !quick || *size <= 100_000) {
            cases.push(Case { name, workload, load: Load::new(ops, size) });
        }
    }
    cases
}

impl Case {
    /// Whether it measures growth.
    pub fn grows(&self) -> bool {
        self.name.starts_with("grow_")
    }

    /// Whether it counts bytes, which need no rounds.
    pub fn counts_bytes(&self) -> bool {
        matches!(self.workload, Workload::HoldIdle | Workload::HoldSleeping)
    }

    /// The runtimes that run it.
    pub fn runtimes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let grows = self.grows();
        let names = runtimes::ALL.into_iter().map(|(name, _)| name);
        names.filter(move |name| !grows || GROWERS.contains(name))
    }

    /// Runs it once, in its own process. `None` if the runtime has no such workload.
    pub fn sample(&self, runtime: &str) -> Result<Vec<Figure>> {
        let program = env::current_exe()?;
        let mut child = if self.counts_bytes() {
            Command::new(program.with_file_name("bytes"))
        } else {
            let mut child = Command::new(program);
            child.arg("--one");
            child
        };
        child.args([runtime, self.workload.name()]);
        if !self.counts_bytes() {
            child.arg(self.load.ops.to_string());
        }
        let said = child.arg(self.load.size.to_string()).output()?;
        match said.status.code() {
            Some(0) => {}
            Some(2) => return Ok(Vec::new()),
            _ => {
                let why = String::from_utf8_lossy(&said.stderr);
                return Err(format!("{runtime} {}: {}\n{why}", self.name, said.status).into());
            }
        }
        let mut figures = Vec::new();
        for line in String::from_utf8(said.stdout)?.lines() {
            let mut words = line.split('\t');
            let (Some(name), Some(unit), Some(value)) = (words.next(), words.next(), words.next())
            else {
                return Err(format!("{runtime} {} said: {line}", self.name).into());
            };
            let name = if self.grows() {
                format!("{}_{}", self.name, self.load.size)
            } else {
                name.to_owned()
            };
            figures.push(Figure { name, unit: unit.to_owned(), value: value.parse()? });
        }
        Ok(figures)
    }
}

/// The child's side: runs a workload, after a short warm-up with the same one, and prints figures.
pub fn print_one(runtime: &str, workload: Workload, load: Load) -> Option<()> {
    let run = runtimes::named(runtime)?;
    let warms = !matches!(
        workload,
        Workload::TimerFire | Workload::Sleep1ms | Workload::Sleep100us | Workload::CancelMany
    );
    if warms {
        let ops = (load.ops / 10).max(1);
        run(workload, Load::new(ops, load.size.min(ops)), || {})?;
    }
    let sample = run(workload, load, || {})?;
    for figure in figures(workload, sample) {
        println!("{}\t{}\t{:.2}", figure.name, figure.unit, figure.value);
    }
    Some(())
}

fn figures(workload: Workload, mut sample: Sample) -> Vec<Figure> {
    let name = workload.name();
    let figure = |suffix: &str, unit: &str, value| Figure {
        name: format!("{name}{suffix}"),
        unit: unit.to_owned(),
        value,
    };
    let each = |total: Duration| total.as_secs_f64() / sample.ops as f64;
    let (wall, cpu) = (each(sample.wall), each(sample.cpu));
    if !sample.each.is_empty() {
        sample.each.sort_unstable();
        let part = |percent: usize| {
            sample.each[(sample.each.len() - 1) * percent / 100].as_secs_f64() * 1e6
        };
        if workload == Workload::WakeThread {
            return vec![figure("_p50", "µs", part(50)), figure("_p99", "µs", part(99))];
        }
        return vec![
            figure("_late_p50", "µs", part(50)),
            figure("_late_p99", "µs", part(99)),
            figure("_cpu", "µs", cpu * 1e6),
        ];
    }
    if workload == Workload::TimerFire {
        return vec![figure("_cpu", "ns", cpu * 1e9)];
    }
    vec![figure("", "ns", wall * 1e9)]
}

/// Makes sure that the program that counts bytes exists, and is built from these sources.
pub fn build_the_counter_of_bytes() -> Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("bytes");
    if let Some(cargo) = env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "curium-bench", "--bin", "bytes"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.status()?;
    }
    if program.exists() {
        return Ok(program);
    }
    Err("the program `bytes` is missing: cargo build --release -p curium-bench".into())
}
