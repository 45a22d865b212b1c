//! Growth: the cost of a connection for a server that has many, and for one that has had many.

use std::error::Error;
use std::fmt::Write as _;

use bench::picture::{self, Panel};

use crate::args::Workload;
use crate::load::{self, Ending};
use crate::report::Figures;
use crate::rounds::{ACCEPTING, each};
use crate::serve::Runtime;
use crate::server::Server;

/// The runtimes whose growth is measured.
pub(crate) const RUNTIMES: [Runtime; 2] = [Runtime::Curium, Runtime::ByHand];

/// The numbers of connections at which one more is measured.
pub(crate) struct Steps {
    /// Open ones. Each takes a descriptor of the server and one of the load generator. Many systems
    /// give a process at most 20,000.
    open: &'static [usize],
    /// Closed ones.
    before: &'static [usize],
    /// How many are measured at each step.
    measured: usize,
}

impl Steps {
    pub(crate) const FULL: Steps = Steps {
        open: &[1_000, 4_000, 16_000],
        before: &[1_000, 10_000, 100_000, 1_000_000],
        measured: 3_000,
    };
    pub(crate) const QUICK: Steps =
        Steps { open: &[1_000, 2_000], before: &[1_000, 4_000], measured: 500 };

    fn of(&self, workload: Workload) -> &'static [usize] {
        if workload == Workload::GrowAccept { self.open } else { self.before }
    }
}

fn metric(workload: Workload, step: usize) -> String {
    let what = if workload == Workload::GrowAccept { "open" } else { "before" };
    format!("{}, server CPU us a connection, {step} {what}", workload.name())
}

/// Adds the cost of a connection at each step, for one server: the mean of those that follow, after
/// a warm-up with a tenth of as many.
pub(crate) fn measure(
    workload: Workload,
    server: &Server,
    steps: &Steps,
    mut add: impl FnMut(&str, f64),
) -> Result<(), Box<dyn Error>> {
    let mut open = Vec::new();
    let mut had = 0;
    for &step in steps.of(workload) {
        if workload == Workload::GrowAccept {
            open.extend(load::idle(server.address, step - open.len())?);
        } else {
            load::connections(server.address, ACCEPTING, step - had, Ending::Close)?;
        }
        load::connections(server.address, ACCEPTING, steps.measured / 10, Ending::Close)?;
        let before = server.cpu()?;
        load::connections(server.address, ACCEPTING, steps.measured, Ending::Close)?;
        add(&metric(workload, step), each(server, before, steps.measured)?);
        had = step + steps.measured / 10 + steps.measured;
    }
    Ok(())
}

fn panels(figures: &Figures, steps: &Steps) -> Vec<Panel> {
    let panel = |(workload, title): (Workload, &str)| {
        let sizes = steps.of(workload);
        let of = |runtime: Runtime| {
            let cost = |&step: &usize| figures.median(&metric(workload, step), runtime);
            sizes.iter().filter_map(cost).collect::<Vec<f64>>()
        };
        let costs = RUNTIMES.map(of).to_vec();
        let sizes = sizes.iter().map(|&size| size as u64).collect();
        Panel { title: title.to_owned(), unit: "µs", sizes, costs }
    };
    let both =
        [(Workload::GrowAccept, "accept, open"), (Workload::GrowAccepted, "accept, had before")];
    let measured = |panel: &Panel| panel.costs.iter().any(|costs| !costs.is_empty());
    both.into_iter().map(panel).filter(measured).collect()
}

/// A line for each runtime and each kind of growth: the ratio of the last cost to the first.
pub(crate) fn text(figures: &Figures, steps: &Steps) -> String {
    let mut text = String::new();
    for panel in panels(figures, steps) {
        for (runtime, costs) in RUNTIMES.iter().zip(&panel.costs) {
            let (Some(first), Some(last)) = (costs.first(), costs.last()) else { continue };
            let (from, to) = (panel.sizes[0], panel.sizes[costs.len() - 1]);
            let title = &panel.title;
            writeln!(text, "{title}, {runtime}, {from} to {to}: x {:.2}", last / first)
                .expect("a string takes all");
        }
    }
    text
}

/// The same as lines.
pub(crate) fn picture(figures: &Figures, steps: &Steps) -> String {
    picture::lines(&RUNTIMES.map(Runtime::name), &panels(figures, steps))
}
