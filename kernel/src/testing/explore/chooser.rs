//! What chooses the next step of a schedule: a depth-first search, priorities, or a replay.

use std::collections::HashMap;

use crate::parts::ready::SplitMix;

/// One step of a schedule. The options are the ready tasks in the order of the queue, and then the
/// tasks that may be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    taken: usize,
    ready: usize,
    all: usize,
    /// A fingerprint of the ready tasks and their order.
    tasks: u64,
}

impl Step {
    /// How far the step is from the order of the queue.
    fn delays(self) -> usize {
        if self.taken < self.ready { self.taken } else { 0 }
    }
}

/// Chooses the steps of one schedule after the other.
pub(super) struct Chooser {
    /// The steps of this schedule. Those behind `position` are still to be repeated.
    steps: Vec<Step>,
    position: usize,
    strategy: Strategy,
    /// Why the program or the schedule was refused.
    refused: Option<String>,
}

pub(super) enum Strategy {
    /// All schedules within a number of delays, depth first.
    DepthFirst { delays: Option<usize>, pruned: bool },
    /// Random priorities, lowered at random steps: see `Explore::pct`.
    Priorities(Priorities),
    /// One given schedule.
    Replay(Vec<usize>),
}

impl Chooser {
    pub(super) fn new(strategy: Strategy) -> Self {
        Chooser { steps: Vec::new(), position: 0, strategy, refused: None }
    }

    /// Chooses among the ready `tasks`, and `cancels` tasks that may be cancelled. Without a choice
    /// no step is counted.
    pub(super) fn choose(&mut self, tasks: &[u64], cancels: usize) -> usize {
        let (ready, all) = (tasks.len(), tasks.len() + cancels);
        if all == 1 {
            return 0;
        }
        let at = self.position;
        self.position += 1;
        let order = fingerprint(tasks);
        if let Some(step) = self.steps.get(at).copied() {
            if (step.ready, step.all) != (ready, all) {
                let had = step.all;
                self.refuse(&format!(
                    "step {at} of the schedule had {had} options, and now it has {all}"
                ));
            }
            if step.tasks != order {
                self.refuse(&format!(
                    "at step {at} of the schedule other tasks are ready than before, or in another \
                     order"
                ));
            }
            return step.taken;
        }
        let taken = match &mut self.strategy {
            Strategy::DepthFirst { .. } => 0,
            Strategy::Priorities(priorities) => priorities.choose(at, tasks, cancels),
            Strategy::Replay(taken) => taken.get(at).copied().unwrap_or(0),
        };
        if taken >= all {
            self.refuse(&format!("step {at} is {taken}, and there are {all} options"));
        }
        self.steps.push(Step { taken, ready, all, tasks: order });
        taken
    }

    /// Gives the run up. It is no failure of the program.
    fn refuse(&mut self, why: &str) -> ! {
        let what = match self.strategy {
            Strategy::Replay(_) => "the schedule does not fit the program",
            _ => "the program is not deterministic",
        };
        let text = format!("{what}: {why}");
        self.refused = Some(text.clone());
        panic!("{text}")
    }

    /// Why the run was given up. `succeeded`: the run has ended, and without a failure.
    pub(super) fn refusal(&mut self, succeeded: bool) -> Option<String> {
        let at = self.position;
        let left = match &self.strategy {
            Strategy::Replay(taken) => taken.iter().skip(at).any(|taken| *taken > 0),
            _ => at < self.steps.len(),
        };
        if succeeded && left && self.refused.is_none() {
            let ended = format!("the run has ended at step {at} of the schedule");
            return Some(match self.strategy {
                Strategy::Replay(_) => format!("the schedule does not fit the program: {ended}"),
                _ => format!("the program is not deterministic: {ended}, earlier than before"),
            });
        }
        self.refused.take()
    }

    /// Goes on to the next schedule. False: there is none.
    pub(super) fn next_schedule(&mut self) -> bool {
        let steps = self.steps.len();
        self.position = 0;
        match &mut self.strategy {
            Strategy::DepthFirst { delays, pruned } => next_path(&mut self.steps, *delays, pruned),
            Strategy::Priorities(priorities) => {
                self.steps.clear();
                priorities.next_schedule(steps)
            }
            Strategy::Replay(_) => false,
        }
    }

    /// Whether every schedule was tried, once `next_schedule` returned false.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.strategy, Strategy::DepthFirst { pruned: false, .. })
    }

    /// The schedule so far, for `replay`.
    pub(super) fn schedule(&self) -> String {
        let taken = self.steps.iter().map(|step| step.taken);
        let mut taken: Vec<usize> = taken.take(self.position).collect();
        while taken.len() > 1 && taken.last() == Some(&0) {
            taken.pop();
        }
        let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
        if taken.is_empty() { "0".to_owned() } else { taken.join(".") }
    }
}

fn fingerprint(tasks: &[u64]) -> u64 {
    tasks.iter().fold(0, |all, task| SplitMix(all ^ task).next())
}

/// The next path in depth-first order.
fn next_path(steps: &mut Vec<Step>, delays: Option<usize>, pruned: &mut bool) -> bool {
    while let Some(last) = steps.pop() {
        let used: usize = steps.iter().map(|step| step.delays()).sum();
        let mut next = last.taken + 1;
        if next < last.ready && delays.is_some_and(|most| used + next > most) {
            *pruned = true;
            // The options to cancel cost no delays.
            next = last.ready;
        }
        if next < last.all {
            steps.push(Step { taken: next, ..last });
            return true;
        }
    }
    false
}

/// Probabilistic concurrency testing: each task has a random priority, the ready task with the
/// highest runs, and at `depth - 1` random steps the priority of the task that would run becomes
/// the lowest.
///
/// Source: Burckhardt et al., *A Randomized Scheduler with Probabilistic Guarantees of Finding
/// Bugs*, ASPLOS 2010.
pub(super) struct Priorities {
    random: SplitMix,
    depth: usize,
    runs_left: usize,
    cancels: usize,
    /// The most steps of a schedule so far.
    steps: usize,
    of_task: HashMap<u64, u64>,
    /// The steps at which the priority of a task is lowered.
    changes: Vec<usize>,
    /// The steps at which a task is cancelled.
    cancels_at: Vec<usize>,
}

impl Priorities {
    pub(super) fn new(depth: usize, runs: usize, cancels: usize) -> Self {
        Priorities {
            random: SplitMix(0),
            depth,
            runs_left: runs,
            cancels,
            steps: 0,
            of_task: HashMap::new(),
            changes: Vec::new(),
            cancels_at: Vec::new(),
        }
    }

    fn choose(&mut self, step: usize, tasks: &[u64], cancels: usize) -> usize {
        if cancels > 0 && self.cancels_at.contains(&step) {
            return tasks.len() + (self.random.next() % cancels as u64) as usize;
        }
        if let Some(change) = self.changes.iter().position(|change| *change == step) {
            let lowered = tasks[self.highest(tasks)];
            // Lower than any priority that a task gets at first, and another one for each change.
            self.of_task.insert(lowered, change as u64);
        }
        self.highest(tasks)
    }

    fn highest(&mut self, tasks: &[u64]) -> usize {
        let Priorities { of_task, random, .. } = self;
        let priority =
            |task: &u64| *of_task.entry(*task).or_insert_with(|| random.next() | 1 << 63);
        let priorities: Vec<u64> = tasks.iter().map(priority).collect();
        (0..tasks.len()).max_by_key(|&at| priorities[at]).unwrap_or(0)
    }

    fn next_schedule(&mut self, steps: usize) -> bool {
        if self.runs_left <= 1 {
            return false;
        }
        self.runs_left -= 1;
        self.steps = self.steps.max(steps).max(1);
        self.of_task.clear();
        let steps = self.steps as u64;
        let random = &mut self.random;
        let mut some =
            |count: usize| (0..count).map(|_| (random.next() % steps) as usize).collect();
        self.changes = some(self.depth.saturating_sub(1));
        self.cancels_at = some(self.cancels);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks all paths of `levels` steps with `ready` tasks each.
    fn paths(levels: usize, ready: usize, delays: Option<usize>) -> (usize, bool) {
        let tasks: Vec<u64> = (0..ready as u64).collect();
        let mut chooser = Chooser::new(Strategy::DepthFirst { delays, pruned: false });
        let mut schedules = 0;
        loop {
            for _ in 0..levels {
                chooser.choose(&tasks, 0);
            }
            schedules += 1;
            if !chooser.next_schedule() {
                return (schedules, chooser.is_complete());
            }
        }
    }

    #[test]
    fn every_path_is_walked_once() {
        assert_eq!(paths(4, 3, None), (81, true));
        assert_eq!(paths(4, 1, None), (1, true));
    }

    /// Of two tasks that were lowered, the one that was lowered by the later change goes first,
    /// wherever it is in the queue.
    #[test]
    fn each_change_of_priority_gives_a_priority_of_its_own() {
        let mut priorities = Priorities::new(3, 1, 0);
        priorities.changes = vec![0, 1];
        // Alone, each is the task that is lowered.
        assert_eq!(priorities.choose(0, &[7], 0), 0);
        assert_eq!(priorities.choose(1, &[8], 0), 0);
        assert_eq!(priorities.choose(2, &[7, 8], 0), 1);
        assert_eq!(priorities.choose(3, &[8, 7], 0), 0);
    }

    #[test]
    fn a_bound_on_delays_leaves_paths_out_and_says_so() {
        assert_eq!(paths(4, 3, Some(0)), (1, false));
        assert_eq!(paths(4, 3, Some(1)), (5, false));
        assert_eq!(paths(4, 3, Some(8)), (81, true));
    }
}
