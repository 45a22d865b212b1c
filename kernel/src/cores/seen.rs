//! What every core does: snapshots, and the cores that give none. `ask` asks for them.

use std::fmt;
use std::time::Duration;

use crate::id::TaskId;
use crate::insight::Snapshot;
use crate::insight::text::{Id, escaped};

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
        /// For how long it has not answered.
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
