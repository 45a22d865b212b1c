//! Making a delivered cancellation pending again (C13).

use std::task::Waker;

use crate::core::current;
use crate::core::state::{Core, TaskRef};
use crate::core::wake::wake_foreign;
use crate::error::TaskCancelled;

impl Core {
    /// Makes a delivered cancellation pending again, if it belongs to the task that is being polled
    /// or to a scope around the caller. Leaves that have parked since the delivery are woken.
    pub(crate) fn put_back(&self, cancelled: &TaskCancelled) {
        let Some(task) = self.with_running(TaskRef::clone) else { return };
        if task.put_back(cancelled) {
            self.refresh();
            self.wake_foreign_below(&task);
        } else if let Some(wakers) = self.put_back_in_scope(cancelled) {
            self.refresh();
            wakers.into_iter().for_each(wake_foreign);
        } else {
            return;
        }
        self.make_ready(&task);
    }

    /// Makes a delivered cancellation pending again in its scope, if that is around the caller.
    /// Returns the wakers of the leaves that are parked there.
    fn put_back_in_scope(&self, cancelled: &TaskCancelled) -> Option<Vec<Waker>> {
        let mut at = current::open_ambient().scope;
        let mut scopes = self.scopes.borrow_mut();
        while let Some(scope) = scopes.scopes.get_mut(at as usize) {
            let is = scope.kept.as_ref().is_some_and(|kept| kept.is_same(cancelled));
            if scope.delivered != 0 && is {
                scope.pending = true;
                return Some(scopes.take_wakers_in(at));
            }
            at = scope.parent;
        }
        None
    }

    /// Cancels a scope with the cancellation of a task of another kernel. So an error that holds it
    /// passes it on there as well. The scope may have been cancelled before.
    pub(crate) fn cancel_scope_by(&self, key: u32, cancelled: TaskCancelled) {
        let reason = cancelled.reason();
        let old = self.scopes.borrow_mut().scopes.get_mut(key as usize).map(|scope| {
            (scope.cancel_seq, scope.delivered) = (0, 0);
            scope.kept.replace(cancelled)
        });
        drop(old);
        self.cancel_scope(key, reason);
    }
}
