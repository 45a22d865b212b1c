//! Whether a task holds the kernel: its poll goes on and on.
//!
//! The kernel's mark says which poll goes on, and how many there were. A poll that is seen twice
//! has lasted for at least the time between.

use std::time::{Duration, Instant};

use kernel::{Link, PollMark, TaskId};

/// A poll that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) task: TaskId,
    pub(crate) name: String,
    /// How long it has been seen, at least.
    pub(crate) seen_for: Duration,
}

/// A poll that has been seen for this long holds the kernel.
pub(crate) const LONG: Duration = Duration::from_millis(100);

/// Looks at the mark again and again.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The poll that was seen last, and when it was seen first.
    seen: Option<(PollMark, Instant)>,
}

impl Watch {
    /// Looks at the mark. Returns the poll that holds the kernel, if one does.
    pub(crate) fn look(&mut self, link: &Link, now: Instant) -> Option<Held> {
        let mark = link.poll_mark();
        let first = match self.seen {
            Some((seen, first)) if seen == mark => first,
            _ => now,
        };
        self.seen = Some((mark, first));
        let (task, seen_for) = (mark.task?, now.saturating_duration_since(first));
        // The poll may have ended between the two reads of the mark.
        let name = link.name_of(task).filter(|_| link.poll_mark() == mark)?;
        (seen_for >= LONG).then_some(Held { task, name, seen_for })
    }
}
