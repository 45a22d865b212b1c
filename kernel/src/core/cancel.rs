//! Delivery of cancellations: how a request becomes an error at an await point.
//!
//! A cancelled scope stores the `cancel_seq` of its cancellation, a number from a counter of the
//! kernel, and a *pending* flag. While a task is polled, the kernel publishes the **ambient** of
//! the innermost scope that is being polled: the greatest `cancel_seq`, and whether any scope is
//! pending, over all scopes from there outward up to a shield. A leaf that is about to park for the
//! first time stores the value of the counter. At every poll in which the leaf would park:
//!
//! - If the ambient is pending, the leaf returns the error, and the flag of the *outermost* pending
//!   scope is cleared. Delivered means returned (C3): the flag stays set until a leaf has returned
//!   the error.
//! - If the `cancel_seq` of the ambient is greater than the value that the leaf has stored, the
//!   leaf was parked when the cancellation was requested. It returns the error too, even if another
//!   leaf has cleared the flag (C2).
//! - Otherwise the leaf parks. A leaf that is made after the delivery stores a value that is not
//!   less than the `cancel_seq`, so it is not cancelled again (C4).
//!
//! Source: the level-cancelled scopes of trio, made edge-triggered by the counter. The design
//! started from the two flags that curio keeps for each task.

use std::time::Duration;

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::core::wake::wake_foreign;
use crate::error::{CancelReason, TaskCancelled};
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::{Ambient, Scope, ScopeKind, Scopes};
use crate::task::state::Flags;

impl Core {
    /// Requests the cancellation of a task. Does nothing if the task has ended or was cancelled
    /// before (C4, C5).
    pub(crate) fn request(&self, cell: &TaskRef, reason: CancelReason) {
        if !cell.is_current()
            || cell.flags.any(Flags::FREE | Flags::ENDED | Flags::CANCEL_REQUESTED)
        {
            return;
        }
        cell.ask(self.next_cancel_seq(), reason);
        self.changed(cell.id());
        self.make_ready(cell);
        let (record, child) = cell.attached();
        self.wake_foreign_below(record, child);
    }

    /// Cancels an inner scope because its deadline has passed or its group failed. If the scope is
    /// a shield, its time limit has passed: the shield ends.
    pub(crate) fn cancel_scope(&self, key: u32, reason: CancelReason) {
        let cancel_seq = self.next_cancel_seq();
        let (task, record, child, wakers) = {
            let mut scopes = self.scopes.borrow_mut();
            let Some(scope) = scopes.scopes.get_mut(key as usize) else {
                return;
            };
            match scope.kind {
                ScopeKind::Shield | ScopeKind::SpentShield => {
                    scopes.open_shield(key);
                    self.let_through(&mut scopes, key, cancel_seq);
                }
                _ if scope.cancel_seq != 0 => return,
                ScopeKind::Timeout | ScopeKind::Body => {
                    scope.cancel_seq = cancel_seq;
                    scope.pending = true;
                    scope.reason = reason;
                }
            }
            let wakers = scopes.take_wakers_in(key);
            let scope = &scopes.scopes[key as usize];
            (scope.task, scope.first_record, scope.first_child, wakers)
        };
        self.changed(task);
        self.wake(task);
        wakers.into_iter().for_each(wake_foreign);
        if record == NONE && child == NONE && self.running_id() != Some(task) {
            // No leaf of Curium's is parked in the scope, so perhaps nothing polls it.
            if let Some(cell) = self.find(task) {
                self.watch_foreign(&cell);
            }
        }
    }

    /// Makes the cancellation that an ended shield has held back due for every leaf in it. The
    /// shield gets a new `cancel_seq`, so that this includes leaves that parked after the
    /// cancellation was requested.
    fn let_through(&self, scopes: &mut Scopes, shield: u32, cancel_seq: u64) {
        let task = scopes.scopes[shield as usize].task;
        let mut held_back = None;
        let mut at = scopes.scopes[shield as usize].parent;
        let root = loop {
            match scopes.scopes.get(at as usize) {
                None => break self.find(task),
                Some(scope) if scope.kind == ScopeKind::Shield => break None,
                Some(scope) => {
                    if scope.pending {
                        held_back = Some(scope.reason);
                    }
                    at = scope.parent;
                }
            }
        };
        if let Some(asked) =
            root.and_then(|cell| cell.cancel_request()).filter(|asked| asked.pending)
        {
            held_back = Some(asked.reason);
        }
        if let Some(reason) = held_back {
            let shield = &mut scopes.scopes[shield as usize];
            shield.cancel_seq = cancel_seq;
            shield.reason = reason;
        }
    }

    /// Wakes the foreign wakers of the leaves below these list heads. The caller wakes the task,
    /// and so the leaves with the task's own waker.
    #[inline]
    fn wake_foreign_below(&self, first_record: u32, first_child: u32) {
        if first_record != NONE || first_child != NONE {
            let wakers = self.scopes.borrow_mut().take_wakers(first_record, first_child);
            wakers.into_iter().for_each(wake_foreign);
        }
    }

    /// Whether a leaf that would park must return the error instead. `since` is the value of the
    /// counter when the leaf first parked; 0 if it has not parked.
    pub(crate) fn due(&self, since: u64) -> bool {
        let ambient = current::ambient();
        ambient.pending || (since != 0 && ambient.cancel_seq > since)
    }

    /// Makes the error for a leaf for which [`due`](Self::due) is true. Marks the cancellation of
    /// the outermost scope that is due for the leaf as delivered.
    pub(crate) fn deliver(&self, since: u64) -> TaskCancelled {
        let ambient = current::ambient();
        if ambient.scope == NONE {
            // Fast path: outside any inner scope, only the request to the task itself matters.
            let reason = self.with_running(|cell| cell.deliver()).flatten();
            self.ambient_version.set(self.ambient_version.get() + 1);
            current::set_ambient(Ambient { pending: false, ..ambient });
            return TaskCancelled::new(reason.expect("a leaf is due because somebody asked"));
        }
        self.deliver_in(since)
    }

    /// `deliver` for a leaf in an inner scope.
    #[inline(never)]
    fn deliver_in(&self, since: u64) -> TaskCancelled {
        let running = self.with_running(TaskRef::clone);
        let root = &running.expect("a leaf is due only while its task is polled");
        let since = if since == 0 { u64::MAX } else { since };
        let mut scopes = self.scopes.borrow_mut();
        let mut outermost = None;
        let mut at = current::ambient().scope;
        let shielded = loop {
            match scopes.scopes.get(at as usize) {
                None => break false,
                Some(scope) if scope.kind == ScopeKind::Shield => break true,
                Some(scope) => {
                    if scope.pending || scope.cancel_seq > since {
                        outermost = Some(at);
                    }
                    at = scope.parent;
                }
            }
        };
        if !shielded
            && root.cancel_request().is_some_and(|asked| asked.pending || asked.cancel_seq > since)
        {
            outermost = None;
        }
        let mut at = current::ambient().scope;
        while at != NONE && Some(at) != outermost {
            let scope = &mut scopes.scopes[at as usize];
            if scope.kind == ScopeKind::Shield {
                break;
            }
            scope.foreign = true;
            at = scope.parent;
        }
        let reason = match outermost {
            None => root.deliver().expect("a leaf is due because somebody asked"),
            Some(key) => {
                let scope = &mut scopes.scopes[key as usize];
                scope.pending = false;
                scope.delivered = self.next_cancel_seq();
                scope.reason
            }
        };
        drop(scopes);
        self.refresh();
        TaskCancelled::new(reason)
    }

    /// `deliver` for a task that cancels itself and awaits its own end. Shields do not hold this
    /// back.
    pub(crate) fn deliver_to_oneself(&self, cell: &TaskRef) -> TaskCancelled {
        let mut scopes = self.scopes.borrow_mut();
        let mut at = current::ambient().scope;
        while let Some(scope) = scopes.scopes.get_mut(at as usize) {
            scope.foreign = true;
            at = scope.parent;
        }
        drop(scopes);
        let reason = cell.deliver().expect("it was asked just now, or earlier");
        self.refresh();
        TaskCancelled::new(reason)
    }

    /// The outermost pending cancellation of the running task, also if a shield holds it back (for
    /// `check_cancellation`).
    pub(crate) fn peek(&self) -> Option<TaskCancelled> {
        let cell = self.with_running(TaskRef::clone)?;
        if let Some(asked) = cell.cancel_request().filter(|asked| asked.pending) {
            return Some(TaskCancelled::new(asked.reason));
        }
        let scopes = self.scopes.borrow();
        let mut found = None;
        let mut at = current::ambient().scope;
        while let Some(scope) = scopes.scopes.get(at as usize) {
            if scope.pending {
                found = Some(TaskCancelled::new(scope.reason));
            }
            at = scope.parent;
        }
        found
    }

    /// The cancellation that was delivered to the scopes around the call, up to a shield (for
    /// `unless_cancelled`). If it was delivered to several, that of the outermost.
    pub(crate) fn delivered_around(&self) -> Option<TaskCancelled> {
        let cell = self.with_running(TaskRef::clone)?;
        let scopes = self.scopes.borrow();
        let mut found = None;
        let mut at = current::ambient().scope;
        while let Some(scope) = scopes.scopes.get(at as usize) {
            if scope.kind == ScopeKind::Shield {
                return found;
            }
            if scope.delivered != 0 {
                found = Some(TaskCancelled::new(scope.reason));
            }
            at = scope.parent;
        }
        let own = cell.cancel_request().filter(|asked| asked.delivered);
        own.map(|asked| TaskCancelled::new(asked.reason)).or(found)
    }

    /// Makes a scope below the one that is being polled.
    pub(crate) fn open_scope(&self, cell: &TaskRef, kind: ScopeKind, deadline: u64) -> u32 {
        let scope = Scope::new(cell.id(), kind, self.next_cancel_seq(), deadline);
        let mut scopes = self.scopes.borrow_mut();
        let key = u32::try_from(scopes.scopes.insert(scope)).expect("fewer than 2^32 scopes");
        scopes.attach(key, current::ambient().scope, &cell.heads());
        key
    }

    /// The ambient inside a scope that is about to be polled. Attaches the scope to another parent
    /// if it has moved.
    pub(crate) fn enter_scope(&self, key: u32) -> Ambient {
        let outer = current::ambient();
        let running = self.with_running(TaskRef::clone);
        let mut scopes = self.scopes.borrow_mut();
        let scope = &scopes.scopes[key as usize];
        if let Some(cell) = running.as_ref() {
            if scope.task != cell.id() || scope.parent != outer.scope {
                let old = self.find(scope.task);
                scopes.detach(key, old.as_ref().map(TaskRef::heads).as_ref());
                scopes.scopes[key as usize].task = cell.id();
                scopes.attach(key, outer.scope, &cell.heads());
                // The stored ambients of this scope and of the scopes inside come from the old
                // parent.
                self.ambient_version.set(self.ambient_version.get() + 1);
            }
        }
        scopes.scopes[key as usize].within(key, outer)
    }

    /// Removes a scope. `passing`: the body of the scope has returned an error that carries the
    /// delivered cancellation outward. If it has not, it has swallowed the error. Then each outer
    /// timeout whose expiry was delivered inside the scope becomes pending again (T5).
    pub(crate) fn close_scope(&self, key: u32, passing: bool) {
        let mut scopes = self.scopes.borrow_mut();
        let cell = self.find(scopes.scopes[key as usize].task);
        if scopes.scopes[key as usize].first_child != NONE {
            // The children are attached to the parent, and their stored ambients are stale.
            self.ambient_version.set(self.ambient_version.get() + 1);
        }
        let closed = scopes.remove(key, cell.as_ref().map(TaskRef::heads).as_ref());
        let mut at = if closed.foreign && !passing { closed.parent } else { NONE };
        let rearm = at != NONE;
        while let Some(scope) = scopes.scopes.get_mut(at as usize) {
            match scope.kind {
                ScopeKind::Shield => break,
                ScopeKind::Timeout if scope.delivered > closed.entered => scope.pending = true,
                _ => {}
            }
            at = scope.parent;
        }
        drop(scopes);
        if rearm {
            self.changed(closed.task);
        }
    }

    /// Makes the cancellations around the call pending again that were delivered inside a body that
    /// began at `entered`: the group of that body returns another error.
    pub(crate) fn deliver_again(&self, entered: u64) {
        let mut found = false;
        let mut at = current::ambient().scope;
        while let Some(scope) = self.scopes.borrow_mut().scopes.get_mut(at as usize) {
            if scope.kind == ScopeKind::Shield {
                break;
            }
            if scope.delivered > entered {
                scope.pending = true;
                found = true;
            }
            at = scope.parent;
        }
        if at == NONE {
            // A request keeps no moment of its delivery. If no scope has delivered, it was it.
            self.with_running(|cell| {
                cell.deliver_again(|asked| !found || asked.cancel_seq > entered);
            });
        }
        self.refresh();
    }

    /// Marks copies of the ambient as stale, because a scope of `task` has changed.
    fn changed(&self, task: TaskId) {
        self.ambient_version.set(self.ambient_version.get() + 1);
        if self.running_id() == Some(task) {
            self.refresh();
        }
    }

    /// Computes the ambient again, because a scope around the leaf that is being polled has
    /// changed.
    pub(crate) fn refresh(&self) {
        self.ambient_version.set(self.ambient_version.get() + 1);
        self.publish(current::ambient().scope);
    }

    /// Computes the ambient of `scope` and publishes it.
    pub(crate) fn publish(&self, scope: u32) {
        // If another kernel is current, the published ambient is that of its task. The ambient of
        // this kernel is refreshed when `Entered` is dropped.
        if current::is_current(self) {
            current::set_ambient(self.ambient_of(scope));
        }
    }

    /// Computes the ambient of `scope`. Walks outward only to the first scope whose cached ambient
    /// is valid, and caches the ambient of each scope on the way back. So leaving nested scopes one
    /// after the other visits each of them once.
    fn ambient_of(&self, scope: u32) -> Ambient {
        let ambient_version = self.ambient_version.get();
        let mut scopes = self.scopes.borrow_mut();
        let mut inner = std::mem::take(&mut scopes.path);
        let mut at = scope;
        let mut ambient = loop {
            match scopes.scopes.get(at as usize) {
                None => {
                    let asked = self.with_running(|cell| cell.cancel_request()).flatten();
                    let (cancel_seq, pending) =
                        asked.map_or((0, false), |it| (it.cancel_seq, it.pending));
                    break Ambient { scope: at, cancel_seq, pending };
                }
                Some(scope) if scope.known.0 == ambient_version => break scope.known.1,
                Some(scope) => {
                    inner.push(at);
                    if scope.kind == ScopeKind::Shield {
                        break Ambient::CLEAR;
                    }
                    at = scope.parent;
                }
            }
        };
        while let Some(at) = inner.pop() {
            let scope = &mut scopes.scopes[at as usize];
            ambient = scope.within(at, ambient);
            scope.known = (ambient_version, ambient);
        }
        scopes.path = inner;
        ambient
    }

    /// Watches a cancelled task that is parked in no leaf of Curium's, so that nothing can deliver
    /// the cancellation. If this is still so a second later, it is reported (C9).
    pub(crate) fn watch_foreign(&self, cell: &TaskRef) {
        if cell.flags.replace(Flags::WATCHED, true) {
            return;
        }
        let second = Duration::from_secs(1).as_nanos() as u64;
        let due = self.clock.now().saturating_add(second);
        self.foreign.borrow_mut().push_back((due, cell.id()));
    }
}
