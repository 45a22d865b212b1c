//! The timers of a kernel.
//!
//! Most timers are timeouts, and most of those are disarmed before they fire. Arming pushes an
//! entry. Disarming removes the entry if it was armed last or comes first, and otherwise leaves a
//! dead entry. A kernel with ready tasks compares the time with a lower bound of the deadlines. The
//! entries stay where they are until a timer may be due, the list is long, or the kernel goes to
//! sleep. Then they are put in order (`timers/entries.rs`), and the dead entries that come first
//! are removed. All dead entries are removed when they outnumber the live ones. So arming and
//! disarming cost O(1), and the memory is proportional to the number of armed timers. Timers fire
//! in order of deadline, then of arming. A hashed timing wheel would also make insertion O(1), but
//! it rounds deadlines or cascades.

mod entries;

use std::num::NonZeroU32;
use std::task::Waker;

use slab::Slab;

use self::entries::{Entries, Entry};
use crate::id::{GroupId, TaskId};
use crate::parts::KEEP;
use crate::parts::waiter::LocalWaiter;

/// What a timer does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wakes a task of this kernel that sleeps.
    Wake(TaskId),
    /// Wakes the foreign waker with that key.
    WakeForeign(u32),
    /// Cancels the scope of a timeout, or ends a shield that has a time limit.
    Scope(u32),
    /// The time that the members of a group have to end is over.
    OwnerGrace(GroupId),
    /// The grace period of the shutdown is over.
    Grace,
    /// Reports the tasks that delay the shutdown.
    Report,
    /// Tries again to get threads for jobs.
    Threads,
    /// Nothing: the timer has fired or the kernel has closed, and its owner has not disarmed it
    /// yet.
    Fired,
    /// Nothing: the slot is free. The value is the next free slot.
    Free(u32),
}

/// Identifies a timer. The code that armed the timer owns the key until it disarms the timer, also
/// after the timer has fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey(NonZeroU32);

impl TimerKey {
    /// No timer, where something else says whether there is one.
    pub(crate) const NONE: TimerKey = TimerKey(NonZeroU32::MIN);
}

/// A timer: free, armed, or fired and not yet disarmed by its owner.
struct Slot {
    /// The `order` of the entry of this timer. It distinguishes that entry from the dead entries of
    /// earlier timers in the same slot. 0 unless the timer is armed.
    order: u64,
    action: Action,
}

/// The end of the list of free slots. So slot 0 is never used, and `Option<TimerKey>` takes no more
/// room than a key.
const END: u32 = 0;

/// The number of dead entries below which they are not removed.
const SLACK: usize = 64;

/// The number of fresh entries that a busy kernel leaves in their list. If there were no limit, a
/// timer that becomes due would put all of them in order at once.
const FRESH: usize = 1024;

/// All armed timers.
pub(crate) struct Timers {
    entries: Entries,
    /// No entry has an earlier deadline.
    earliest: u64,
    slots: Vec<Slot>,
    free: u32,
    /// The wakers of sleepers that are not tasks of this kernel.
    foreign: Slab<Waker>,
    /// The number of timers that were ever armed.
    armed: u64,
    /// The number of timers that have fired or were disarmed before. The number of armed timers is
    /// `armed` − `gone`. It has no counter of its own, because arming would change that counter
    /// together with `armed`. The compiler would merge the two into one wide access, which stalls
    /// on store forwarding (`task/state.rs`).
    gone: u64,
    /// The number of timers that were disarmed, before or after they fired. All others still occupy
    /// a slot.
    disarmed: u64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers {
            entries: Entries::default(),
            earliest: u64::MAX,
            slots: Vec::new(),
            free: END,
            foreign: Slab::new(),
            armed: 0,
            gone: 0,
            disarmed: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        (self.armed - self.gone) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed == self.gone
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        self.first().map(|entry| entry.deadline)
    }

    #[inline]
    pub(crate) fn arm(&mut self, deadline: u64, action: Action) -> TimerKey {
        self.armed += 1;
        let order = self.armed;
        let key = NonZeroU32::new(self.free).unwrap_or_else(|| self.grow());
        let slot = key.get();
        let armed = &mut self.slots[slot as usize];
        if let Action::Free(next) = armed.action {
            self.free = next;
        }
        (armed.order, armed.action) = (order, action);
        self.earliest = self.earliest.min(deadline);
        self.entries.push(Entry { deadline, order, slot });
        TimerKey(key)
    }

    /// Arms a timer that wakes a sleeper.
    pub(crate) fn arm_for(&mut self, deadline: u64, waiter: LocalWaiter) -> TimerKey {
        let action = self.keep(waiter);
        self.arm(deadline, action)
    }

    fn keep(&mut self, waiter: LocalWaiter) -> Action {
        match waiter {
            LocalWaiter::Task(task) => Action::Wake(task),
            LocalWaiter::Foreign(waker) => {
                let key = u32::try_from(self.foreign.insert(waker)).expect("fewer than 2^32");
                Action::WakeForeign(key)
            }
        }
    }

    /// Disarms a timer, whether or not it has fired. The caller drops the returned waker.
    #[inline]
    pub(crate) fn disarm(&mut self, key: TimerKey) -> Option<Waker> {
        let slot = &mut self.slots[key.0.get() as usize];
        let order = std::mem::replace(&mut slot.order, 0);
        let action = std::mem::replace(&mut slot.action, Action::Free(self.free));
        let waker = self.take_waker(action);
        self.free = key.0.get();
        self.disarmed += 1;
        if order == 0 {
            if self.disarmed == self.armed && self.slots.len() > KEEP {
                self.shrink();
            }
            return waker;
        }
        self.gone += 1;
        if self.entries.take_last(order) {
            return waker;
        }
        if self.entries.take_first(order) {
            if self.entries.line.capacity() > 4 * self.len().max(KEEP) {
                self.shrink();
            }
        } else if self.entries.len() > 2 * self.len() + SLACK {
            self.sweep();
        }
        waker
    }

    /// Disarms a timer, and returns what it would have woken. None if it has fired.
    pub(crate) fn disarm_waiter(&mut self, key: TimerKey) -> Option<LocalWaiter> {
        let action = self.slots[key.0.get() as usize].action;
        let waker = self.disarm(key);
        match action {
            Action::Wake(task) => Some(LocalWaiter::Task(task)),
            _ => waker.map(LocalWaiter::Foreign),
        }
    }

    /// The tasks that armed timers wake, each with the time.
    pub(crate) fn sleepers(&self) -> Vec<(TaskId, u64)> {
        let living = self.entries.iter().filter(|entry| Timers::is_living(&self.slots, entry));
        let armed = living.filter_map(|entry| match self.slots[entry.slot as usize].action {
            Action::Wake(task) => Some((task, entry.deadline)),
            _ => None,
        });
        armed.collect()
    }

    /// Adds a free slot.
    #[cold]
    fn grow(&mut self) -> NonZeroU32 {
        if self.slots.is_empty() {
            self.slots.push(Slot { order: 0, action: Action::Fired });
        }
        let at = u32::try_from(self.slots.len()).ok().and_then(NonZeroU32::new);
        self.slots.push(Slot { order: 0, action: Action::Free(END) });
        at.expect("fewer than 2^32 timers, and one slot that is never used")
    }

    /// Replaces the waiter of a timer that wakes, unless the timer has fired. The caller drops the
    /// returned waker.
    pub(crate) fn retarget(&mut self, key: TimerKey, waiter: LocalWaiter) -> Option<Waker> {
        let old = self.slots[key.0.get() as usize].action;
        if !matches!(old, Action::Wake(_) | Action::WakeForeign(_)) {
            return match waiter {
                LocalWaiter::Task(_) => None,
                LocalWaiter::Foreign(waker) => Some(waker),
            };
        }
        self.slots[key.0.get() as usize].action = self.keep(waiter);
        self.take_waker(old)
    }

    /// Gives another action to a timer that wakes a task of this kernel, unless it has fired.
    pub(crate) fn redirect(&mut self, key: TimerKey, action: Action) {
        let slot = &mut self.slots[key.0.get() as usize];
        if matches!(slot.action, Action::Wake(_)) {
            slot.action = action;
        }
    }

    /// Whether a timer wakes `task`, or `waker` if `task` is `None`. Also true if it has fired.
    pub(crate) fn wakes(&self, key: TimerKey, task: Option<TaskId>, waker: &Waker) -> bool {
        match self.slots[key.0.get() as usize].action {
            Action::Wake(own) => task == Some(own),
            Action::WakeForeign(key) => {
                task.is_none() && self.foreign[key as usize].will_wake(waker)
            }
            _ => true,
        }
    }

    /// Takes the first timer that is due at `now`. Returns its action and its waker.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Action, Option<Waker>)> {
        if now < self.earliest && self.entries.fresh() < FRESH {
            return None;
        }
        self.pop_first(now)
    }

    #[inline(never)]
    fn pop_first(&mut self, now: u64) -> Option<(Action, Option<Waker>)> {
        let first = self.first().filter(|first| first.deadline <= now)?;
        self.entries.pop_first();
        self.gone += 1;
        let slot = &mut self.slots[first.slot as usize];
        slot.order = 0;
        let action = std::mem::replace(&mut slot.action, Action::Fired);
        Some((action, self.take_waker(action)))
    }

    /// Takes the foreign waker of an action that was replaced.
    #[inline]
    fn take_waker(&mut self, action: Action) -> Option<Waker> {
        match action {
            Action::WakeForeign(key) => Some(self.foreign.remove(key as usize)),
            _ => None,
        }
    }

    /// Disarms all timers because the kernel closes. The caller drops the returned wakers. The keys
    /// stay valid until their owners disarm them.
    pub(crate) fn clear(&mut self) -> Vec<Waker> {
        self.entries.clear();
        self.earliest = u64::MAX;
        self.gone = self.armed;
        for slot in &mut self.slots {
            slot.order = 0;
            if !matches!(slot.action, Action::Free(_)) {
                slot.action = Action::Fired;
            }
        }
        self.foreign.drain().collect()
    }

    fn is_living(slots: &[Slot], entry: &Entry) -> bool {
        // `shrink` may have removed the slot of a dead entry.
        slots.get(entry.slot as usize).is_some_and(|slot| slot.order == entry.order)
    }

    /// Puts the entries in order, and returns the first live one.
    fn first(&mut self) -> Option<Entry> {
        let slots = &self.slots;
        let first = self.entries.first(|entry| Timers::is_living(slots, entry));
        self.earliest = first.map_or(u64::MAX, |first| first.deadline);
        if first.is_none() {
            if self.slots.len() > KEEP && self.disarmed == self.armed {
                self.shrink();
            }
            self.entries.shrink(KEEP);
        }
        first
    }

    /// Removes the dead entries, and releases the memory that a burst took.
    #[cold]
    fn sweep(&mut self) {
        let slots = &self.slots;
        self.entries.retain(|entry| Timers::is_living(slots, entry));
        self.shrink();
    }

    /// Releases unused memory after a burst: of the entries, and of the free slots behind the last
    /// used slot.
    #[cold]
    pub(crate) fn shrink(&mut self) {
        let few = self.len().max(KEEP);
        self.entries.shrink(2 * few);
        let is_free = |slot: &Slot| matches!(slot.action, Action::Free(_));
        let used = self.slots.iter().rposition(|slot| !is_free(slot)).map_or(0, |last| last + 1);
        let kept = used.max(KEEP);
        if kept < self.slots.len() {
            self.slots.truncate(kept);
            self.slots.shrink_to(kept);
            self.free = END;
            for at in (0..kept as u32).rev() {
                let slot = &mut self.slots[at as usize];
                if is_free(slot) {
                    slot.action = Action::Free(self.free);
                    self.free = at;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
