//! What the sweeps of Curium itself share: the tasks that compete with the subject, and what a
//! sweep must have tried.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{Injection, Run, Swept, SweptSite};
use curium::kernel::{Result, Task, TaskCancelled, TaskEnd, spawn};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What the subject shares with other tasks of the setup, and these tasks.
pub(crate) struct Among<T> {
    pub(crate) shared: Rc<T>,
    others: Vec<Task<(), TaskCancelled>>,
}

impl<T: 'static> Among<T> {
    pub(crate) fn new(shared: T) -> Self {
        Among { shared: Rc::new(shared), others: Vec::new() }
    }

    /// With one more task that competes with the subject.
    pub(crate) fn and<F>(mut self, other: impl FnOnce(Rc<T>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + 'static,
    {
        self.others.push(spawn(other(self.shared.clone())));
        self
    }

    /// Waits until all other tasks have ended, and checks that all have ended well. If one of them
    /// is stuck, the run is a deadlock and fails.
    pub(crate) async fn others_end(&self, run: &Run) {
        for at in 0..self.others.len() {
            self.other_ends(at, run).await;
        }
    }

    /// The same for one of them.
    pub(crate) async fn other_ends(&self, at: usize, run: &Run) {
        self.others[at].wait().await.expect("main is not cancelled");
        let end = self.others[at].end();
        let well = end == Some(TaskEnd::Ok);
        let cancelled = end == Some(TaskEnd::Cancelled) && shuts_down(run);
        assert!(well || cancelled, "the other task {at} ended so: {end:?}");
    }
}

impl<T> Deref for Among<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

/// Whether the subject was dropped in this run, so that it could not clean up.
pub(crate) fn aborts(run: &Run) -> bool {
    injects(run, Injection::Abort)
}

/// Whether the other tasks were cancelled as well.
pub(crate) fn shuts_down(run: &Run) -> bool {
    injects(run, Injection::ShutDown)
}

fn injects(run: &Run, injection: Injection) -> bool {
    run.injected.iter().any(|injected| injected.injection == injection)
}

/// Whether the subject ran without an injection. Then it must have ended well.
pub(crate) fn undisturbed(run: &Run) -> bool {
    if run.injected.is_empty() {
        assert_eq!(run.end, TaskEnd::Ok, "{:?}", run.error);
    }
    run.injected.is_empty()
}

/// Checks that the sweep has tried enough: it was suspended at leaves of these kinds and at each
/// leaf of the subject, and had so many suspensions and runs.
#[track_caller]
pub(crate) fn assert_tried(swept: &Swept, kinds: &[&str], suspensions: usize, runs: usize) {
    for kind in kinds {
        let suspended = |at: &&SweptSite| at.suspended > 0;
        let found = swept.sites.iter().filter(suspended).any(|site| site.kind == *kind);
        assert!(found, "the subject was never suspended at {kind}: {:#?}", swept.sites);
    }
    let never: Vec<String> =
        swept.never_suspended().map(|site| format!("{} at {}", site.kind, site.location)).collect();
    assert!(never.is_empty(), "the subject was never suspended at {never:?}");
    assert!(swept.suspensions >= suspensions, "only {} suspensions", swept.suspensions);
    assert!(swept.runs >= runs, "only {} runs", swept.runs);
}

/// Counts the values of one kind that live.
#[derive(Clone, Default)]
pub(crate) struct Living(Rc<Cell<usize>>);

impl Living {
    /// A value that counts until it is dropped.
    pub(crate) fn one_more(&self) -> Life {
        self.0.set(self.0.get() + 1);
        Life(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

/// See [`Living::one_more`].
pub(crate) struct Life(Rc<Cell<usize>>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sets a flag when it is dropped: the first local variable of a subject is dropped last, also if
/// the subject is aborted.
pub(crate) struct AtTheEnd<'a>(pub(crate) &'a Cell<bool>);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
