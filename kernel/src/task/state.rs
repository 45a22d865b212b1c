//! The state of a task: one bit for each fact, so that the run loop checks several facts with one
//! test.
//!
//! ```text
//!            admit              start               finish           release
//! FREE ──────────────▶ QUEUED ────────▶ RUNNING ──────────────▶ ENDED ──────▶ FREE
//!                        ▲ make_ready      │ stop                 ▲
//!                        └──────────── (none: parked) ────────────┘ abort
//! ```
//!
//! A parked task has none of these four flags. `QUEUED` also occurs together with other flags: with
//! `RUNNING` if the task is woken during its own poll, and with `ENDED` if a queued task ends or is
//! aborted. The cell of an ended task that is queued becomes free only when the run loop has taken
//! it from the queue.
//!
//! # Store forwarding
//!
//! A processor keeps recent stores in a store buffer and forwards them to the loads that follow.
//! This works for a load that lies within one store. A load that spans several recent stores waits
//! until they have left the store buffer, some ten cycles. Therefore values that are copied right
//! after they are written are written and read in pieces of the same size. Other comments refer to
//! this as *store forwarding*.

use std::cell::Cell;

use crate::task::cell::TaskEnd;

/// The state of a task: a set of the constants below, and the [`TaskEnd`].
pub(crate) struct Flags(Cell<u32>);

impl Flags {
    /// The cell belongs to no task.
    pub(crate) const FREE: u32 = 1;
    /// Invariant *queued at most once*: set while the ready queue or the current batch contains the
    /// task.
    pub(crate) const QUEUED: u32 = 1 << 1;
    /// The task is being polled.
    pub(crate) const RUNNING: u32 = 1 << 2;
    pub(crate) const ENDED: u32 = 1 << 3;
    /// The record of a parked leaf is in the slot of the task ([`TaskRef::record`]). Set at the end
    /// of a poll, and cleared at the start of the next.
    ///
    /// [`TaskRef::record`]: crate::task::chunk::TaskRef::record
    pub(crate) const PARKED: u32 = 1 << 4;
    /// The task has a waker of its own.
    pub(crate) const WAKER: u32 = 1 << 5;
    /// The cancellation of the task was requested: its root scope has a `cancel_seq`.
    pub(crate) const CANCEL_REQUESTED: u32 = 1 << 6;
    /// That leaf is inside timeouts that are not open, and the slot of the task has the earliest of
    /// their deadlines ([`TaskRef::limit`]). Set and cleared together with `PARKED`.
    ///
    /// [`TaskRef::limit`]: crate::task::chunk::TaskRef::limit
    pub(crate) const LIMITED: u32 = 1 << 7;
    /// The outcome is no longer available: it was moved out, or a group will take it.
    pub(crate) const TAKEN: u32 = 1 << 8;
    /// The task ended in a failure that must be reported if no handle or group takes it (K6).
    pub(crate) const FAILURE: u32 = 1 << 9;
    pub(crate) const DAEMON: u32 = 1 << 10;
    /// The task was given a name.
    pub(crate) const NAMED: u32 = 1 << 11;
    /// The task is in `Core::foreign`, the list of cancelled tasks that were parked in a foreign
    /// future. It is checked again a second later (C9).
    pub(crate) const WATCHED: u32 = 1 << 12;
    /// The task may have `ColdData`: see `TaskRef::cold`.
    pub(crate) const COLD: u32 = 1 << 13;
    /// The box of the body is too large to be kept for another task.
    pub(crate) const LARGE: u32 = 1 << 14;
    /// The task is the future of `Kernel::run`.
    pub(crate) const MAIN: u32 = 1 << 15;
    /// The task is a member of a group, or was one when it ended.
    pub(crate) const MEMBER: u32 = 1 << 16;
    /// Its root scope has a record or a child, or had one.
    pub(crate) const SCOPED: u32 = 1 << 17;
    /// One joiner is stored in the slot of the task.
    pub(crate) const AWAITED: u32 = 1 << 18;
    /// That joiner is parked in a `join`.
    pub(crate) const JOINED: u32 = 1 << 19;
    /// The task has inherited values (K10).
    pub(crate) const INHERITS: u32 = 1 << 21;
    /// The task is to be aborted when its poll ends.
    pub(crate) const ABORT: u32 = 1 << 23;

    /// The future of the task belongs to another future, which polls it (`core/hosted.rs`).
    pub(crate) const HOSTED: u32 = 1 << 20;

    /// Its cancellation was requested by the shutdown. The request is not stored yet
    /// ([`TaskRef::request_by_shutdown`]).
    ///
    /// [`TaskRef::request_by_shutdown`]: crate::task::chunk::TaskRef::request_by_shutdown
    pub(crate) const SHUT_DOWN: u32 = 1 << 22;

    /// Observers see the task (`core/observer.rs`).
    pub(crate) const OBSERVED: u32 = 1 << 24;

    /// The task was not polled yet.
    pub(crate) const NEW: u32 = 1 << 25;

    /// The task was in a wait queue in which no leaf may have been, so that it may still be in one
    /// without a record (M5).
    pub(crate) const UNRECORDED: u32 = 1 << 26;

    /// The lowest of the bits that contain the [`TaskEnd`] of an ended task.
    const END: u32 = 29;

    /// A task with any of these flags is not polled on the fast path of the run loop.
    pub(crate) const SPECIAL: u32 =
        Flags::ENDED | Flags::WAKER | Flags::CANCEL_REQUESTED | Flags::HOSTED | Flags::INHERITS;

    /// The flags that decide whether an ended task needs clearing. There is nothing to clear if
    /// `TAKEN` is set and the others are not.
    pub(crate) const NEEDS_CLEARING: u32 = Flags::TAKEN
        | Flags::LARGE
        | Flags::COLD
        | Flags::CANCEL_REQUESTED
        | Flags::NAMED
        | Flags::SCOPED;

    /// All flags. No two share a bit, and none is in the [`TaskEnd`].
    const ALL: [u32; 27] = [
        Flags::FREE,
        Flags::QUEUED,
        Flags::RUNNING,
        Flags::ENDED,
        Flags::PARKED,
        Flags::WAKER,
        Flags::CANCEL_REQUESTED,
        Flags::LIMITED,
        Flags::TAKEN,
        Flags::FAILURE,
        Flags::DAEMON,
        Flags::NAMED,
        Flags::WATCHED,
        Flags::COLD,
        Flags::LARGE,
        Flags::MAIN,
        Flags::MEMBER,
        Flags::SCOPED,
        Flags::AWAITED,
        Flags::JOINED,
        Flags::HOSTED,
        Flags::INHERITS,
        Flags::SHUT_DOWN,
        Flags::ABORT,
        Flags::OBSERVED,
        Flags::NEW,
        Flags::UNRECORDED,
    ];

    pub(crate) fn new(flags: u32) -> Self {
        Flags(Cell::new(flags))
    }

    #[inline]
    pub(crate) fn any(&self, of: u32) -> bool {
        self.0.get() & of != 0
    }

    /// Whether, among `these`, exactly `true_ones` are set.
    #[inline]
    pub(crate) fn are(&self, these: u32, true_ones: u32) -> bool {
        self.0.get() & these == true_ones
    }

    #[inline]
    pub(crate) fn set(&self, these: u32) {
        self.0.set(self.0.get() | these);
    }

    /// Sets a flag that is not set. It adds instead of using `or`, because the compiler turns `or`
    /// into a store of one byte, and the next load of the whole word would stall on store
    /// forwarding.
    #[inline]
    pub(crate) fn raise(&self, this: u32) {
        debug_assert!(!self.any(this), "raised twice");
        self.0.set(self.0.get().wrapping_add(this));
    }

    /// Clears a flag that is set. It subtracts, for the same reason.
    #[inline]
    pub(crate) fn lower(&self, this: u32) {
        debug_assert!(self.are(this, this), "lowered twice");
        self.0.set(self.0.get().wrapping_sub(this));
    }

    #[inline]
    pub(crate) fn clear(&self, these: u32) {
        self.0.set(self.0.get() & !these);
    }

    /// Sets or clears a flag. Returns whether it was set before.
    pub(crate) fn replace(&self, this: u32, value: bool) -> bool {
        let before = self.any(this);
        if value {
            self.set(this);
        } else {
            self.clear(this);
        }
        before
    }

    /// The cell now belongs to a task, and exactly `these` flags are set.
    #[inline]
    pub(crate) fn become_alive(&self, these: u32) {
        self.0.set(these);
    }

    /// The cell belongs to no task any more.
    pub(crate) fn become_free(&self) {
        self.0.set(Flags::FREE);
    }

    /// The task has ended with `end`.
    #[inline]
    pub(crate) fn finish(&self, end: TaskEnd) {
        let before = self.0.get() & !Flags::RUNNING;
        self.0.set(before | Flags::ENDED | (end as u32) << Flags::END);
    }

    /// Whether the task has ended with `end`.
    #[inline]
    pub(crate) fn has_end(&self, end: TaskEnd) -> bool {
        let ended = Flags::ENDED | (end as u32) << Flags::END;
        self.are(Flags::ENDED | u32::MAX << Flags::END, ended)
    }

    /// How an ended task has ended.
    pub(crate) fn end(&self) -> TaskEnd {
        let ends =
            [TaskEnd::Ok, TaskEnd::Failed, TaskEnd::Cancelled, TaskEnd::Panicked, TaskEnd::Aborted];
        ends[(self.0.get() >> Flags::END) as usize]
    }

    /// Marks the task as queued if it is alive and not queued yet. Returns whether the caller must
    /// queue it.
    #[inline]
    pub(crate) fn queue(&self) -> bool {
        let goes = !self.any(Flags::QUEUED | Flags::ENDED | Flags::FREE);
        if goes {
            self.set(Flags::QUEUED);
        }
        goes
    }

    /// The task leaves the queue to be polled. Returns the flags from before. `PARKED` is set again
    /// when the poll ends, if a leaf has left a record during the poll, and `LIMITED` with it.
    #[inline]
    pub(crate) fn start(&self) -> u32 {
        let before = self.0.get();
        let left = before & !(Flags::QUEUED | Flags::PARKED | Flags::LIMITED | Flags::NEW);
        self.0.set(left | Flags::RUNNING);
        before
    }

    /// The poll has ended. Sets the flags `also`.
    #[inline]
    pub(crate) fn stop(&self, also: u32) {
        self.0.set((self.0.get() & !Flags::RUNNING) | also);
    }

    /// Like `stop`. Returns whether the caller must queue the task: `also` contains `QUEUED`, and
    /// the task was not queued.
    #[inline]
    pub(crate) fn stop_or_queue(&self, also: u32) -> bool {
        let before = self.0.get();
        self.0.set((before & !Flags::RUNNING) | also);
        also & !before & Flags::QUEUED != 0
    }
}

const _: () = {
    let (mut seen, mut at) = (u32::MAX << Flags::END, 0);
    while at < Flags::ALL.len() {
        assert!(seen & Flags::ALL[at] == 0, "two flags share a bit");
        seen |= Flags::ALL[at];
        at += 1;
    }
};
