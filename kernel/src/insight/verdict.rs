//! What is certain of the waits in a snapshot.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::id::TaskId;
use crate::insight::parts::{LOCKS, UNPOLLED};
use crate::insight::text::{Age, Id, count, escaped};

/// The number of waits of a circle that are shown.
const SHOWN: usize = 8;

/// A parked task in a verdict, and where it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The task.
    pub task: TaskId,
    /// The number of its core, if its kernel is one of `kernels`.
    pub core: Option<usize>,
    /// Its name.
    pub name: String,
    /// The kind of leaf in which it is parked, or `FOREIGN`.
    pub kind: &'static str,
    /// The file and line of the leaf; None if it is in no leaf of Curium's.
    pub site: Option<&'static Location<'static>>,
    /// Where the task that it waits for waits for the same lock, if the lock was handed over to
    /// that wait and the task does not poll it any more.
    pub unpolled: Option<&'static Location<'static>>,
}

/// Why tasks do not go on. `Display` gives a line with the lines of the program.
///
/// A verdict is certain at the moment of its snapshot: without a cancellation, an abort or a
/// failure from outside, none of its tasks goes on. A wait with a deadline is no deadlock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Tasks that wait for each other in a circle: each for the next, and the last for the first.
    Cycle {
        /// The waits.
        waits: Vec<Waiting>,
        /// The number of further tasks that can go on only when one of these does.
        behind: usize,
        /// The circle leads through a lock, or through a borrowing scope that its task does not
        /// poll, and other tasks than these run, or the code around a guest. It holds if the guard
        /// is still with the task that took it, and the scope with the one that has polled it, and
        /// not moved to one of the others.
        unless_moved: bool,
    },
    /// A task that waits for a lock which was handed to another wait of its own. It does not poll
    /// that wait any more, so it never takes the lock nor releases it.
    Futurelock {
        /// The wait of the task.
        wait: Waiting,
        /// The number of the lock, as in the edges of the graph.
        object: u64,
        /// The file and line of the wait that was handed the lock.
        granted: &'static Location<'static>,
        /// The number of further tasks that can go on only when this one does.
        behind: usize,
        /// Other tasks run, or the code around a guest. It holds if the wait is still with this
        /// task, and not moved to one of the others.
        unless_moved: bool,
    },
    /// A task that nothing can wake: it is parked outside all leaves of Curium's, and no clone of
    /// its waker exists.
    Orphan(Waiting),
    /// The shutdown waits for this task, which has been parked for over a second.
    HoldsUpShutdown {
        /// The task.
        wait: Waiting,
        /// Since when it has been parked.
        parked_for: Duration,
        /// A shield holds the cancellation back.
        shielded: bool,
        /// The cancellation was delivered.
        delivered: bool,
    },
    /// No task can run, and of all that the kernel knows of, nothing can wake one. Only a waker
    /// that is held somewhere could, by another thread or by a parked task itself.
    AllStuck {
        /// The number of parked tasks.
        tasks: usize,
        /// The number of these of whose wakers clones exist.
        wakers: usize,
    },
}

impl Verdict {
    /// The tasks that the verdict is about.
    pub fn tasks(&self) -> Vec<TaskId> {
        match self {
            Verdict::Cycle { waits, .. } => waits.iter().map(|wait| wait.task).collect(),
            Verdict::Futurelock { wait, .. }
            | Verdict::Orphan(wait)
            | Verdict::HoldsUpShutdown { wait, .. } => vec![wait.task],
            Verdict::AllStuck { .. } => Vec::new(),
        }
    }
}

impl Waiting {
    fn id(&self) -> Id {
        Id { core: self.core, task: self.task }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.id(), escaped(&self.name), escaped(self.kind))?;
        match self.site {
            Some(site) => write!(f, " at {site}"),
            None => Ok(()),
        }
    }
}

/// The waits of a circle, and again its first task.
struct Circle<'a>(&'a [Waiting]);

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [wait] = self.0 {
            let lock =
                if LOCKS.contains(&wait.kind) { "a lock that it holds itself" } else { "itself" };
            return write!(f, "{wait}, waits for {lock}");
        }
        for wait in self.0.iter().take(SHOWN) {
            write!(f, "{wait}, waits for ")?;
            if let Some(site) = wait.unpolled {
                write!(f, "the wait at {site}, which is not polled, of ")?;
            }
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, "{more} more and ")?,
            _ => {}
        }
        match self.0.first() {
            Some(first) => write!(f, "{} {}", first.id(), escaped(&first.name)),
            None => Ok(()),
        }
    }
}

/// The number of further tasks that are stuck.
struct Behind(usize);

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str("; 1 more task waits for these"),
            more => write!(f, "; {more} more tasks wait for these"),
        }
    }
}

/// What the circle may have lost, if it was moved.
fn movable(waits: &[Waiting]) -> &'static str {
    let any = |is: fn(&Waiting) -> bool| waits.iter().any(is);
    match (any(|wait| LOCKS.contains(&wait.kind)), any(|wait| wait.kind == UNPOLLED)) {
        (true, false) => "a guard",
        (false, true) => "a scope",
        _ => "a guard or a scope",
    }
}

/// The condition of a verdict.
fn unless(moved: bool, what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match moved {
        true => write!(f, "; unless {what} was moved to another task"),
        false => Ok(()),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Cycle { waits, behind, unless_moved } => {
                write!(f, "deadlock: {}{}", Circle(waits), Behind(*behind))?;
                unless(*unless_moved, movable(waits), f)
            }
            Verdict::Futurelock { wait, object, granted, behind, unless_moved } => {
                write!(
                    f,
                    "futurelock: {wait}, waits for lock {object}, which was handed to its wait at \
                     {granted}; the task does not poll that wait any more{}",
                    Behind(*behind)
                )?;
                unless(*unless_moved, "that wait", f)
            }
            Verdict::Orphan(wait) => {
                write!(f, "lost: no clone of its waker exists, so nothing wakes {wait}")
            }
            Verdict::HoldsUpShutdown { wait, parked_for, shielded, delivered } => {
                write!(f, "the shutdown waits for {wait}, for {}", Age(*parked_for))?;
                f.write_str(match (shielded, delivered) {
                    (true, _) => ": a shield holds the cancellation back",
                    (_, true) => ": its cancellation was delivered",
                    _ => ": its cancellation is not delivered",
                })
            }
            Verdict::AllStuck { tasks, wakers } => write!(
                f,
                "every task waits for something outside the kernel: {} parked, and only what holds \
                 a waker, such as a thread, can wake one; clones of the wakers of {} exist",
                count(*tasks, "task is", "tasks are"),
                count(*wakers, "task", "tasks"),
            ),
        }
    }
}
