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

use crate::core::current;
use crate::core::state::{Core, TaskRef};
use crate::core::wake::wake_foreign;
use crate::error::{CancelReason, TaskCancelled};
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::{Ambient, OuterDelivered, Scope, ScopeKind, Scopes, Site};
use crate::recorder::ring::What;
use crate::task::state::Flags;

/// What came out of a scope that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeResult {
    /// A value or an error. Cancellations of outer scopes that were delivered inside and of which
    /// no copy is left were swallowed.
    Any,
    /// An error that passes the cancellation of an outer scope on without a copy of it.
    PassesOn,
    /// The cancellation of this scope. The error of a cleanup has taken the place of an outer
    /// cancellation: also the task's own is pending again, so that it is not lost.
    Own,
}

impl Core {
    /// Requests the cancellation of a task. Does nothing if the task has ended or was cancelled
    /// before (C4, C5).
    pub(crate) fn request(&self, cell: &TaskRef, reason: CancelReason) {
        let since = self.tick_now();
        self.request_by(cell, |cell| cell.set_request(self.next_cancel_seq(), reason, since));
    }

    /// `request`, with `set` to store it.
    #[inline]
    pub(super) fn request_by(&self, cell: &TaskRef, set: impl FnOnce(&TaskRef)) {
        if !cell.is_current()
            || cell.flags.any(Flags::FREE | Flags::ENDED | Flags::CANCEL_REQUESTED)
        {
            return;
        }
        set(cell);
        self.changed(cell.id());
        self.make_ready(cell);
        self.record_request(cell);
        self.wake_foreign_below(cell);
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
                    scopes.end_shield(key);
                    self.release_held_back(&mut scopes, key, cancel_seq);
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
        self.record_cancel(task, reason);
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
    fn release_held_back(&self, scopes: &mut Scopes, shield: u32, cancel_seq: u64) {
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
        if let Some(request) =
            root.and_then(|cell| cell.cancel_request()).filter(|request| request.pending)
        {
            held_back = Some(request.reason);
        }
        if let Some(reason) = held_back {
            let shield = &mut scopes.scopes[shield as usize];
            shield.cancel_seq = cancel_seq;
            shield.reason = reason;
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
    pub(crate) fn deliver(&self, since: u64, site: Site) -> TaskCancelled {
        match current::ambient().scope {
            NONE => self.deliver_of_task(site),
            _ => self.deliver_in(since, site),
        }
    }

    /// `deliver` for a leaf outside any inner scope: only the request to the task itself matters.
    #[inline]
    pub(crate) fn deliver_of_task(&self, site: Site) -> TaskCancelled {
        let deliver = |it: &TaskRef| it.deliver(self.next_cancel_seq(), site, &self.spare);
        let copy = current::with_polled_task(deliver).flatten();
        self.ambient_version.set(self.ambient_version.get() + 1);
        current::end_pending();
        copy.expect("a leaf is due because a cancellation was requested")
    }

    /// `deliver` for a leaf in an inner scope.
    #[inline(never)]
    fn deliver_in(&self, since: u64, site: Site) -> TaskCancelled {
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
        let request = root.cancel_request().filter(|_| !shielded);
        let mut of_root = request.is_some_and(|it| it.pending || it.cancel_seq > since);
        if let Some(spent) = outermost.filter(|key| scopes.is_spent_shield(*key)) {
            // What is due is the cancellation that the shield has held back.
            of_root |= request.is_some();
            outermost = scopes.outermost_cancelled(spent).or(outermost);
        }
        let outermost = outermost.filter(|_| !of_root);
        let timeout = outermost.filter(|key| scopes.is_timeout(*key));
        let mut at = current::ambient().scope;
        while at != NONE && Some(at) != outermost {
            let scope = &mut scopes.scopes[at as usize];
            if scope.kind == ScopeKind::Shield {
                break;
            }
            scope.note_outer(timeout);
            scope.of_task |= outermost.is_none();
            at = scope.parent;
        }
        let copy = match outermost {
            None => root
                .deliver(self.next_cancel_seq(), site, &self.spare)
                .expect("a leaf is due because a cancellation was requested"),
            Some(key) => scopes.scopes[key as usize].deliver(self.next_cancel_seq(), site),
        };
        drop(scopes);
        if outermost.is_some() {
            self.record(What::CancelDelivered, root.id(), 0);
        }
        self.refresh();
        copy
    }

    /// `deliver` for a task that cancels itself and awaits its own end. Shields do not hold this
    /// back.
    pub(crate) fn deliver_to_oneself(&self, cell: &TaskRef) -> TaskCancelled {
        let mut at = current::ambient().scope;
        let mut scopes = self.scopes.borrow_mut();
        while let Some(scope) = scopes.scopes.get_mut(at as usize) {
            scope.note_outer(None);
            scope.of_task = true;
            at = scope.parent;
        }
        drop(scopes);
        let copy = cell
            .deliver(self.next_cancel_seq(), None, &self.spare)
            .expect("it was requested just now, or earlier");
        self.refresh();
        copy
    }

    /// The outermost pending cancellation of the running task, also if a shield holds it back (for
    /// `check_cancellation`).
    pub(crate) fn peek(&self) -> Option<TaskCancelled> {
        let cell = self.with_running(TaskRef::clone)?;
        if cell.is_pending() {
            return cell.cancellation(&self.spare);
        }
        let mut scopes = self.scopes.borrow_mut();
        let mut found = None;
        let mut at = current::open_ambient().scope;
        while let Some(scope) = scopes.scopes.get(at as usize) {
            if scope.pending {
                found = Some(at);
            }
            at = scope.parent;
        }
        found.map(|key| scopes.scopes[key as usize].cancellation())
    }

    /// Makes a scope of a task below `parent`.
    pub(crate) fn open_scope(
        &self,
        cell: &TaskRef,
        parent: u32,
        kind: ScopeKind,
        deadline: u64,
    ) -> u32 {
        let scope = Scope::new(cell.id(), kind, self.next_cancel_seq(), deadline);
        let mut scopes = self.scopes.borrow_mut();
        let key = u32::try_from(scopes.scopes.insert(scope)).expect("fewer than 2^32 scopes");
        scopes.attach(key, parent, &cell.heads());
        self.record_scope(cell.id(), Some(kind));
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
                if scopes.scopes[key as usize].has_outer() {
                    scopes.scopes[key as usize].outer = OuterDelivered::Several;
                }
                // The stored ambients of this scope and of the scopes inside come from the old
                // parent.
                self.ambient_version.set(self.ambient_version.get() + 1);
            }
        }
        scopes.scopes[key as usize].within(key, outer)
    }

    /// Removes a scope. Each outer timeout whose expiry was delivered inside the scope becomes
    /// pending again, unless the program has a copy of it (T5).
    pub(crate) fn close_scope(&self, key: u32, result: ScopeResult) {
        let mut scopes = self.scopes.borrow_mut();
        let task = self.find(scopes.scopes[key as usize].task);
        if scopes.scopes[key as usize].first_child != NONE {
            // The children are attached to the parent, and their stored ambients are stale.
            self.ambient_version.set(self.ambient_version.get() + 1);
        }
        let closed = scopes.remove(key, task.as_ref().map(TaskRef::heads).as_ref());
        self.record_scope(closed.task, None);
        if closed.outer == OuterDelivered::None || result == ScopeResult::PassesOn {
            return;
        }
        let mut put_back = None;
        match closed.outer {
            OuterDelivered::None | OuterDelivered::NoTimeout => {}
            OuterDelivered::Timeout(key) => {
                let scope = scopes.scopes.get_mut(key as usize);
                put_back =
                    scope.is_some_and(|it| it.put_back_if_lost(closed.entered)).then_some(key);
            }
            OuterDelivered::Several => {
                let mut at = closed.parent;
                while let Some(scope) = scopes.scopes.get_mut(at as usize) {
                    if scope.kind == ScopeKind::Shield {
                        break;
                    }
                    if scope.put_back_if_lost(closed.entered) {
                        put_back = Some(at);
                    }
                    at = scope.parent;
                }
            }
        }
        // Another arm may have parked since the delivery.
        let wakers = put_back.map(|key| scopes.take_wakers_in(key));
        drop(scopes);
        let root =
            task.filter(|task| result == ScopeResult::Own && task.put_back_if_lost(closed.entered));
        if let Some(root) = &root {
            self.wake_foreign_below(root);
        } else if wakers.is_none() {
            return;
        }
        self.changed(closed.task);
        self.wake(closed.task);
        wakers.into_iter().flatten().for_each(wake_foreign);
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
        self.publish(current::open_ambient().scope);
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
                    let request = self.with_running(|cell| cell.cancel_request()).flatten();
                    let (cancel_seq, pending) =
                        request.map_or((0, false), |it| (it.cancel_seq, it.pending));
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
}
