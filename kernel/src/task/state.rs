//! What is true of a task, a bit each: a turn of the kernel asks several questions with one test.
//!
//! ```text
//!            admit              start               finish           release
//! FREE ──────────────▶ QUEUED ────────▶ RUNNING ──────────────▶ ENDED ──────▶ FREE
//!                        ▲ make_ready      │ stop                 ▲
//!                        └──────────── (none: parked) ────────────┘ abort
//! ```
//!
//! `QUEUED` goes together with the others, too: with `RUNNING` if the task was woken in its own
//! poll, with `ENDED` if it then ended or was aborted. Such a cell is not free before it has come
//! out of the queue.

use std::cell::Cell;

use crate::task::cell::TaskEnd;

/// A set of the constants below.
pub(crate) struct Flags(Cell<u32>);

impl Flags {
    /// Nobody's cell.
    pub(crate) const FREE: u32 = 1;
    /// Invariant *queued at most once*: set while a reference stands in the ready queue, or in the
    /// round that goes on.
    pub(crate) const QUEUED: u32 = 1 << 1;
    /// It is being polled.
    pub(crate) const RUNNING: u32 = 1 << 2;
    pub(crate) const ENDED: u32 = 1 << 3;
    /// Its record stands beside its cell, since its last poll and until the next.
    pub(crate) const PARKED: u32 = 1 << 4;
    /// It has a waker of its own.
    pub(crate) const WAKER: u32 = 1 << 5;
    /// Its cancellation was requested: its root has a stamp.
    pub(crate) const CANCEL_REQUESTED: u32 = 1 << 6;
    /// It is to be aborted when its poll ends.
    pub(crate) const ABORT: u32 = 1 << 7;
    /// The outcome was given away: moved out, or a group has it and will take it out.
    pub(crate) const TAKEN: u32 = 1 << 8;
    /// It ended in a failure that must not go unheard (K6).
    pub(crate) const FAILURE: u32 = 1 << 9;
    pub(crate) const DAEMON: u32 = 1 << 10;
    /// A name was given to it.
    pub(crate) const NAMED: u32 = 1 << 11;
    /// Somebody will look whether it is still parked where nothing of ours reaches it.
    pub(crate) const WATCHED: u32 = 1 << 12;
    /// It has what few tasks have: `TaskRef::rare`.
    pub(crate) const COLD: u32 = 1 << 13;
    /// Its box is too large to be kept.
    pub(crate) const LARGE: u32 = 1 << 14;
    /// The future of `Kernel::run`.
    pub(crate) const MAIN: u32 = 1 << 15;
    /// It is in a group, or was when it ended.
    pub(crate) const MEMBER: u32 = 1 << 16;
    /// Something hangs, or did, on its root scope.
    pub(crate) const SCOPED: u32 = 1 << 17;
    /// Its joiner stands beside its cell.
    pub(crate) const AWAITED: u32 = 1 << 18;
    /// And waits in a `join`.
    pub(crate) const JOINED: u32 = 1 << 19;

    /// Where the end of an ended task stands.
    const END: u32 = 29;

    /// What the short way of a turn does not serve.
    pub(crate) const SPECIAL: u32 = Flags::ENDED | Flags::WAKER | Flags::CANCEL_REQUESTED;

    /// What an ended task may have left to clear away; nothing, if its outcome was taken and no
    /// more of this is true.
    pub(crate) const LEFT: u32 =
        Flags::TAKEN | Flags::LARGE | Flags::COLD | Flags::NAMED | Flags::SCOPED;

    pub(crate) fn new(flags: u32) -> Self {
        Flags(Cell::new(flags))
    }

    #[inline]
    pub(crate) fn any(&self, of: u32) -> bool {
        self.0.get() & of != 0
    }

    /// Whether of `these` just `true_ones` are true.
    #[inline]
    pub(crate) fn are(&self, these: u32, true_ones: u32) -> bool {
        self.0.get() & these == true_ones
    }

    #[inline]
    pub(crate) fn set(&self, these: u32) {
        self.0.set(self.0.get() | these);
    }

    /// Sets what is not set. An addition: the compiler makes an `or` a write of one byte, and who
    /// reads all of them next would wait until that is through.
    #[inline]
    pub(crate) fn raise(&self, this: u32) {
        debug_assert!(!self.any(this), "raised twice");
        self.0.set(self.0.get().wrapping_add(this));
    }

    /// Clears what is set, likewise.
    #[inline]
    pub(crate) fn lower(&self, this: u32) {
        debug_assert!(self.are(this, this), "lowered twice");
        self.0.set(self.0.get().wrapping_sub(this));
    }

    #[inline]
    pub(crate) fn clear(&self, these: u32) {
        self.0.set(self.0.get() & !these);
    }

    /// Sets or clears; whether it was set before.
    pub(crate) fn replace(&self, this: u32, value: bool) -> bool {
        let before = self.any(this);
        if value {
            self.set(this);
        } else {
            self.clear(this);
        }
        before
    }

    /// Somebody's; nothing else is true than `these`.
    #[inline]
    pub(crate) fn become_alive(&self, these: u32) {
        self.0.set(these);
    }

    /// Nobody's any more.
    pub(crate) fn become_free(&self) {
        self.0.set(Flags::FREE);
    }

    /// It has ended so.
    #[inline]
    pub(crate) fn finish(&self, end: TaskEnd) {
        let before = self.0.get() & !Flags::RUNNING;
        self.0.set(before | Flags::ENDED | (end as u32) << Flags::END);
    }

    /// Whether the task has ended so.
    #[inline]
    pub(crate) fn has_end(&self, end: TaskEnd) -> bool {
        let ended = Flags::ENDED | (end as u32) << Flags::END;
        self.are(Flags::ENDED | u32::MAX << Flags::END, ended)
    }

    /// How an ended task did.
    pub(crate) fn end(&self) -> TaskEnd {
        let ends =
            [TaskEnd::Ok, TaskEnd::Failed, TaskEnd::Cancelled, TaskEnd::Panicked, TaskEnd::Aborted];
        ends[(self.0.get() >> Flags::END) as usize]
    }

    /// To be queued, if it is alive and does not stand there. Whether it is.
    #[inline]
    pub(crate) fn queue(&self) -> bool {
        let goes = !self.any(Flags::QUEUED | Flags::ENDED | Flags::FREE);
        if goes {
            self.set(Flags::QUEUED);
        }
        goes
    }

    /// Out of the queue, to be polled; who is still parked then says so again. Gives what was true
    /// before.
    #[inline]
    pub(crate) fn start(&self) -> u32 {
        let before = self.0.get();
        self.0.set((before & !(Flags::QUEUED | Flags::PARKED)) | Flags::RUNNING);
        before
    }

    /// Polled; `also` is true of it now.
    #[inline]
    pub(crate) fn stop(&self, also: u32) {
        self.0.set((self.0.get() & !Flags::RUNNING) | also);
    }

    /// The same. Whether it is to be queued now, which it was not.
    #[inline]
    pub(crate) fn stop_or_queue(&self, also: u32) -> bool {
        let before = self.0.get();
        self.0.set((before & !Flags::RUNNING) | also);
        also & !before & Flags::QUEUED != 0
    }
}
