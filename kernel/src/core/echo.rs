//! Whether an error passes on a cancellation of the task that returned it (C16).
//!
//! A cancellation is compared with the copies that the scopes keep. Code of the program may run
//! meanwhile (a `From`, the `source` of an error), so no cell of the kernel is borrowed.

use std::any::Any;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::report::ProgramCode;
use crate::core::state::{Core, TaskRef};
use crate::error::{CancelReason, Echo, HoldsCancellation, TaskCancelled, holds};
use crate::id::TaskId;
use crate::parts::scopes::{Scope, ScopeKind};
use crate::task::state::Flags;

/// Whether `cancelled` is that of a task which `by` has cancelled. While a task is being cancelled
/// itself, the cancellation of its child passes its own on (C18).
pub(crate) fn is_of_child(cancelled: &TaskCancelled, by: TaskId) -> bool {
    cancelled.reason() == CancelReason::Requested { by: Some(by) }
}

impl From<Echo> for ScopeResult {
    #[inline]
    fn from(echo: Echo) -> Self {
        match echo {
            Echo::Held | Echo::Likely | Echo::Bare => ScopeResult::Own,
            Echo::OuterBare => ScopeResult::PassesOn,
            Echo::Outer | Echo::No => ScopeResult::Any,
        }
    }
}

/// The numbers of copies of the cancellations around a call, at one moment.
#[derive(Default)]
pub(crate) struct Copies(Vec<(usize, usize)>);

impl Copies {
    /// The number of copies of one of them. At least two: that of its scope, and the one in the
    /// list of [`Core::delivered_around`].
    fn of(&self, kept: &TaskCancelled) -> usize {
        let known = self.0.iter().find(|(identity, _)| *identity == kept.identity());
        known.map_or(2, |(_, copies)| *copies)
    }
}

impl Core {
    /// Whether the error in which `task` has ended passes its delivered cancellation on, which has
    /// that identity.
    #[inline]
    pub(super) fn is_echo_of_own(&self, task: &TaskRef, identity: usize) -> bool {
        let Some(mut body) = task.body.take() else { return false };
        let is = body.as_mut().is_cancellation(identity);
        task.body.put(body);
        is == Some(true) || self.is_echo_by_error(task)
    }

    /// The same for an error that is not the cancellation itself.
    #[cold]
    #[inline(never)]
    fn is_echo_by_error(&self, task: &TaskRef) -> bool {
        let Some(mut body) = task.body.take() else { return false };
        let mut echo = false;
        self.guarded(ProgramCode::Conversion, || {
            if let Some(error) = body.as_mut().output().and_then(|output| output.error()) {
                let is_echo = |kept: &TaskCancelled| self.passes_on(task, error, kept);
                echo = task.with_delivered(is_echo) == Some(true);
            }
        });
        task.body.put(body);
        echo
    }

    fn passes_on(&self, task: &TaskRef, error: &dyn Any, kept: &TaskCancelled) -> bool {
        let me = task.id();
        let held = holds(error, &mut |held| held.is_same(kept) || is_of_child(held, me));
        held.unwrap_or_else(|| {
            kept.has_copies() || (task.flags.any(Flags::MEMBER) && self.is_bare(task, error, kept))
        })
    }

    /// The cancellation that was delivered to the scopes around the call, up to a shield, and that
    /// `error` passes on. Of several, the outermost.
    pub(crate) fn echo_around<E: HoldsCancellation>(&self, error: &E) -> Option<TaskCancelled> {
        self.echo_since(&Copies::default(), error)
    }

    /// The same for an error of code that ran after `before` was noted. The copies that the program
    /// had then are elsewhere, not in this error.
    pub(crate) fn echo_since<E: HoldsCancellation>(
        &self,
        before: &Copies,
        error: &E,
    ) -> Option<TaskCancelled> {
        let task = self.with_running(TaskRef::clone)?;
        let me = task.id();
        let mut around = self.delivered_around(&task);
        around.reverse();
        let found = around.iter().find(|kept| {
            let mut is = |held: &TaskCancelled| held.is_same(kept) || is_of_child(held, me);
            error.echo(kept, before.of(kept), &mut is) != Echo::No
        });
        found.cloned()
    }

    /// Notes the copies of the cancellations that were delivered around the call.
    pub(crate) fn copies_around(&self) -> Copies {
        let around = self.with_running(TaskRef::clone).map(|task| self.delivered_around(&task));
        let around = around.unwrap_or_default();
        Copies(around.iter().map(|kept| (kept.identity(), kept.copies())).collect())
    }

    /// Copies of the cancellations that were delivered to the scopes around the call, up to a
    /// shield, the innermost first.
    fn delivered_around(&self, task: &TaskRef) -> Vec<TaskCancelled> {
        let mut at = current::ambient().scope;
        let scopes = self.scopes.borrow();
        let mut found = Vec::new();
        while let Some(scope) = scopes.scopes.get(at as usize) {
            if scope.kind == ScopeKind::Shield {
                return found;
            }
            found.extend(scope.kept.clone().filter(|_| scope.delivered != 0));
            at = scope.parent;
        }
        drop(scopes);
        found.extend(task.with_delivered(TaskCancelled::clone));
        found
    }

    /// Whether `error`, in which the body of the scope `key` has ended, is only the echo of the
    /// cancellation of that scope, of which `kept` is a copy. `is` accepts other cancellations that
    /// mean the same.
    ///
    /// If a cancellation of an outer scope was delivered inside as well, and the error does not
    /// show which of the two it passes on, it passes on the outer one (T3).
    pub(crate) fn echo_of<E: HoldsCancellation>(
        &self,
        (key, foreign): (u32, bool),
        error: &E,
        kept: &TaskCancelled,
        is: impl Fn(&TaskCancelled) -> bool,
    ) -> Echo {
        let me = self.running_id();
        let child = |held: &TaskCancelled| me.is_some_and(|me| !foreign && is_of_child(held, me));
        let mut same = |held: &TaskCancelled| held.is_same(kept) || child(held) || is(held);
        match error.echo(kept, 1, &mut same) {
            Echo::Likely if foreign && self.any_outer(key, TaskCancelled::has_copies) => {
                Echo::Outer
            }
            Echo::Bare if foreign => Echo::OuterBare,
            echo => echo,
        }
    }

    /// Whether `cancelled` belongs to a scope outside the scope `key`.
    pub(crate) fn is_of_outer(&self, key: u32, cancelled: &TaskCancelled) -> bool {
        self.any_outer(key, |kept| kept.is_same(cancelled))
    }

    /// Looks at the copies of the cancellations that were delivered inside the scope `key` and
    /// belong to scopes outside it. `look` runs under a borrow and only compares.
    fn any_outer(&self, key: u32, look: impl Fn(&TaskCancelled) -> bool) -> bool {
        let scopes = self.scopes.borrow();
        let Scope { task, mut parent, entered, of_task, .. } = scopes.scopes[key as usize];
        while let Some(scope) = scopes.scopes.get(parent as usize) {
            if scope.kind == ScopeKind::Shield {
                return false;
            }
            if scope.delivered > entered && scope.kept.as_ref().is_some_and(&look) {
                return true;
            }
            parent = scope.parent;
        }
        let task = self.find(task).filter(|_| of_task);
        task.and_then(|task| task.with_delivered(&look)) == Some(true)
    }
}
