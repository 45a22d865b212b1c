//! What every core does: snapshots, and the cores that give none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::core::survey::snapshot;
use crate::cores::shared::Shared;
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::insight::Snapshot;
use crate::insight::text::{Id, escaped};
use crate::task::waker::Message;
use crate::threads::in_pool::run_in_thread;

/// How long a core has to answer.
pub(super) const ANSWER: Duration = Duration::from_millis(250);

/// What the cores of [`kernels`](crate::kernels) do, by core: see
/// [`Core::snapshots`](crate::Core::snapshots).
///
/// `Display` gives the trees of the cores one after the other, in which a task is named with its
/// core in front, as in `#1:42`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoreSnapshots {
    /// The snapshot of each core, or why there is none, in the order of the cores.
    pub cores: Vec<Result<Snapshot, CoreSilent>>,
}

/// Why there is no snapshot of a core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreSilent {
    /// Its kernel has not answered, because a task computes or blocks its thread.
    #[error("core {core} has not answered for {waited:?}: {}", Blocks(*core, task))]
    Blocked {
        /// The number of the core.
        core: usize,
        /// For how long it was asked.
        waited: Duration,
        /// The task that is being polled, with its name. It is known if the core has a monitor.
        task: Option<(TaskId, String)>,
    },
    /// Its kernel could not start, or has ended.
    #[error("core {core} has no kernel: it could not start, or has ended")]
    Gone {
        /// The number of the core.
        core: usize,
    },
}

impl CoreSilent {
    /// The number of the core.
    pub fn core(&self) -> usize {
        match self {
            CoreSilent::Blocked { core, .. } | CoreSilent::Gone { core } => *core,
        }
    }
}

/// What blocks the thread of a core.
pub(super) struct Blocks<'a>(pub(super) usize, pub(super) &'a Option<(TaskId, String)>);

impl fmt::Display for Blocks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some((task, name)) => {
                let (id, name) = (Id { core: Some(self.0), task: *task }, escaped(name));
                write!(f, "task {id} {name} computes or blocks its thread")
            }
            None => f.write_str("a task there computes or blocks its thread"),
        }
    }
}

impl fmt::Display for CoreSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for core in &self.cores {
            match core {
                Ok(seen) if f.alternate() => write!(f, "{seen:#}")?,
                Ok(seen) => write!(f, "{seen}")?,
                Err(silent) => writeln!(f, "{silent}")?,
            }
        }
        Ok(())
    }
}

/// What a core answers when this is dropped: nothing, if its kernel ends before it looks.
struct Answer {
    core: usize,
    seen: Option<Snapshot>,
    sender: Sender<(usize, Option<Snapshot>)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Nobody may wait any more.
        let _ = self.sender.send((self.core, self.seen.take()));
    }
}

impl Answer {
    fn fill(&mut self, seen: Option<Snapshot>) {
        self.seen = seen;
    }
}

/// Looks at the own core, and has another thread ask the others: so the time is real also if the
/// clock of the own kernel is a virtual one.
#[track_caller]
pub(super) fn snapshots(
    shared: Arc<Shared>,
    own: usize,
) -> impl Future<Output = Result<CoreSnapshots, TaskCancelled>> {
    let others = run_in_thread(move || ask_others(&shared, own));
    async move {
        let seen = snapshot();
        let mut cores = others.await?;
        cores.insert(own, Ok(seen));
        Ok(CoreSnapshots { cores })
    }
}

/// Asks all cores but one, in the order of their numbers. What gives no answer in time is blocked.
fn ask_others(shared: &Shared, own: usize) -> Vec<Result<Snapshot, CoreSilent>> {
    let (sender, answers) = channel();
    // As long as it exists, the answers are wanted.
    let wanted = Arc::new(());
    let others = (0..shared.count()).filter(|core| *core != own);
    for core in others.clone() {
        let answer = Answer { core, seen: None, sender: sender.clone() };
        ask(shared, answer, Arc::downgrade(&wanted));
    }
    let (since, mut seen) = (Instant::now(), BTreeMap::new());
    while seen.len() + 1 < shared.count() {
        let left = ANSWER.saturating_sub(since.elapsed());
        let Ok((core, snapshot)) = answers.recv_timeout(left) else { break };
        seen.insert(core, snapshot.ok_or(CoreSilent::Gone { core }));
    }
    let blocked = |core| {
        let (waited, task) = (since.elapsed(), shared.polled(core));
        Err(CoreSilent::Blocked { core, waited, task })
    };
    others.map(|core| seen.remove(&core).unwrap_or_else(|| blocked(core))).collect()
}

/// Asks a core. Without a kernel there it is answered at once.
fn ask(shared: &Shared, mut answer: Answer, wanted: Weak<()>) {
    let Some(remote) = shared.remote(answer.core) else { return };
    // A core that has blocked for long looks only for those who still wait.
    let look = move || answer.fill((wanted.strong_count() > 0).then(snapshot));
    // If the kernel has ended, the answer is dropped and says so.
    let _ = remote.post(Message::Look(Box::new(look)));
}
