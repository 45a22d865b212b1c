//! The runs of a sweep, one after the other.

use super::injector::Suspension;
use super::run::Shown;
use super::{Injected, Injection, Moment, Sweep, Swept};

/// How often a run is repeated if it differs from the first run and depends on the system.
const REPEATS: usize = 5;

/// Runs the subject with a plan. True: as a survey of its leaves.
pub(super) type RunSubject<'a> = dyn Fn(Vec<Injected>, bool) -> Shown + 'a;

pub(super) struct Sweeper<'a> {
    pub(super) plan: &'a Sweep,
    pub(super) swept: Swept,
    /// What was injected, and what failed.
    pub(super) failures: Vec<(String, String)>,
}

impl Sweeper<'_> {
    /// Sweeps with one order of the ready tasks.
    #[track_caller]
    #[inline]
    pub(super) fn sweep(&mut self, run: &RunSubject<'_>, seed: Option<u64>) {
        let first = run(Vec::new(), false);
        self.swept.count(&first);
        self.swept.suspensions += first.trace.len();
        self.note(&first, &[], seed);
        if first.failure.is_some() {
            return;
        }
        self.survey(run, &first.trace, seed);
        for injected in self.single_injections(&first.trace) {
            let shown = self.disturb(run, &first.trace, &[injected], seed);
            if self.plan.pairs && injected.injection != Injection::Abort {
                for second in self.second_injections(injected, &shown.trace) {
                    self.disturb(run, &shown.trace, &[injected, second], seed);
                }
            }
        }
    }

    /// Looks which leaves the subject tries, also those that never park.
    #[track_caller]
    #[inline]
    fn survey(&mut self, run: &RunSubject<'_>, trace: &[Suspension], seed: Option<u64>) {
        let shown = run(Vec::new(), true);
        self.swept.count(&shown);
        if difference(trace, &shown.trace).is_some() {
            // It may be the budget, which is larger in a survey.
            let again = run(Vec::new(), false);
            self.swept.count(&again);
            let system = again.trace.iter().chain(trace).any(Suspension::depends_on_system);
            if let Some(at) = difference(trace, &again.trace).filter(|_| !system) {
                refuse(at, trace.get(at), again.trace.get(at), &[], seed);
            }
        }
        for at in 1..=trace.len() {
            let injected = injected(trace, at, Moment::Parked, Injection::Cancel);
            let shown = run(vec![injected], true);
            self.swept.count(&shown);
        }
    }

    #[inline]
    fn single_injections(&self, trace: &[Suspension]) -> Vec<Injected> {
        let mut all = Vec::new();
        for at in 0..=trace.len() {
            let is_there = |moment: &&Moment| (**moment == Moment::BeforeFirstPoll) == (at == 0);
            for &moment in self.plan.moments.iter().filter(is_there) {
                for &injection in &self.plan.injections {
                    all.push(injected(trace, at, moment, injection));
                }
            }
        }
        all
    }

    /// A cancel and an abort at each suspension of the cleanup.
    #[inline]
    fn second_injections(&self, first: Injected, trace: &[Suspension]) -> Vec<Injected> {
        let cleanup = first.suspension + 1..=trace.len();
        let all = cleanup.flat_map(|at| {
            [Injection::Cancel, Injection::Abort]
                .map(|second| injected(trace, at, Moment::Parked, second))
        });
        all.collect()
    }

    /// One run with injections. `trace` is that of the run without the last of them.
    #[track_caller]
    #[inline]
    fn disturb(
        &mut self,
        run: &RunSubject<'_>,
        trace: &[Suspension],
        plan: &[Injected],
        seed: Option<u64>,
    ) -> Shown {
        let last = plan.last().map_or(0, |last| last.suspension);
        let mut repeats = 0;
        loop {
            let shown = run(plan.to_vec(), false);
            let before = &trace[..last];
            let until = shown.trace.len().min(last);
            let Some(at) = difference(before, &shown.trace[..until]) else {
                self.swept.count(&shown);
                self.note(&shown, plan, seed);
                return shown;
            };
            let system = shown.trace.iter().chain(trace).any(Suspension::depends_on_system);
            repeats += 1;
            if !system || repeats == REPEATS {
                refuse(at, trace.get(at), shown.trace.get(at), plan, seed);
            }
        }
    }

    #[inline]
    fn note(&mut self, shown: &Shown, plan: &[Injected], seed: Option<u64>) {
        if let Some(failure) = &shown.failure {
            self.failures.push((describe(plan, seed), failure.replace('\n', "\n     ")));
        }
    }

    #[track_caller]
    #[inline]
    pub(super) fn conclude(self) -> Swept {
        let Sweeper { swept, failures, .. } = self;
        if failures.is_empty() {
            return swept;
        }
        let (failed, runs) = (failures.len(), swept.runs);
        let suspensions = match swept.suspensions {
            1 => "1 suspension".to_owned(),
            others => format!("{others} suspensions"),
        };
        let mut text =
            format!("{failed} of {runs} runs of the sweep failed; the subject has {suspensions}");
        for (at, (what, failure)) in failures.iter().enumerate() {
            let before = failures[..at].iter().position(|(_, other)| other == failure);
            let failure = before.map_or(failure.clone(), |same| format!("as {}", same + 1));
            text.push_str(&format!("\n  {}. {what}: {failure}", at + 1));
        }
        panic!("{text}");
    }
}

/// The injection after the suspension with that number, counted from 1.
#[inline]
fn injected(
    trace: &[Suspension],
    suspension: usize,
    moment: Moment,
    injection: Injection,
) -> Injected {
    let before = suspension.checked_sub(1).and_then(|at| trace.get(at));
    let kind = before.map_or("START", Suspension::kind);
    Injected { suspension, moment, injection, kind, site: before.and_then(Suspension::site) }
}

/// What is special about a run.
#[inline]
fn describe(plan: &[Injected], seed: Option<u64>) -> String {
    let plan: Vec<String> = plan.iter().map(ToString::to_string).collect();
    let what = match plan.is_empty() {
        true => "without an injection".to_owned(),
        false => plan.join(", then "),
    };
    match seed {
        Some(seed) => format!("{what}, seed {seed}"),
        None => what,
    }
}

/// The first suspension that differs between two runs.
#[inline]
fn difference(first: &[Suspension], later: &[Suspension]) -> Option<usize> {
    (0..first.len().max(later.len())).find(|&at| match (first.get(at), later.get(at)) {
        (Some(first), Some(later)) => !later.is_like(first),
        _ => true,
    })
}

#[track_caller]
#[inline]
fn refuse(
    at: usize,
    first: Option<&Suspension>,
    later: Option<&Suspension>,
    plan: &[Injected],
    seed: Option<u64>,
) -> ! {
    let text = |suspension: Option<&Suspension>| match suspension {
        Some(suspension) => format!("suspended at {suspension}"),
        None => "not suspended again".to_owned(),
    };
    panic!(
        "the subject is not deterministic: at suspension {} it was first {}, and in a later run \
         ({}) it was {}; the sweep needs a subject that does the same in each run",
        at + 1,
        text(first),
        describe(plan, seed),
        text(later)
    );
}
