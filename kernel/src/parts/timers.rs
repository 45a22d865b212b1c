//! The timers of a kernel: a 4-ary heap, and in front of it a list of timers that were armed
//! lately.
//!
//! Most timers are timeouts, and most of those are disarmed before they fire. Arming pushes an
//! entry. Disarming pops the entry if it was armed last, and otherwise leaves a dead entry. A
//! kernel with ready tasks compares the time with a lower bound of the deadlines. The entries stay
//! where they are until a timer may be due, the list is long, or the kernel goes to sleep. Then
//! the list moves into the heap, and the dead entries at the top of the heap are removed. All dead
//! entries are removed when they outnumber the live ones. So arming and disarming cost O(1), and
//! the memory is proportional to the number of armed timers. Timers fire in order of deadline,
//! then of arming. A hashed timing wheel would also make insertion O(1), but it rounds deadlines
//! or cascades.

use std::task::Waker;

use slab::Slab;

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
pub(crate) struct TimerKey(u32);

#[derive(Clone, Copy)]
struct Entry {
    deadline: u64,
    /// Timers with equal deadlines fire in order of arming.
    order: u64,
    slot: u32,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Entry) -> bool {
        (self.deadline, self.order) < (other.deadline, other.order)
    }
}

/// A timer: free, armed, or fired and not yet disarmed by its owner.
struct Slot {
    /// The `order` of the entry of this timer. It distinguishes that entry from the dead entries of
    /// earlier timers in the same slot. 0 unless the timer is armed.
    order: u64,
    action: Action,
}

const END: u32 = u32::MAX;

/// The number of dead entries below which they are not removed.
const SLACK: usize = 64;

/// The number of fresh entries that a busy kernel leaves in their list. If there were no limit, a
/// timer that becomes due would move all of them into the heap at once.
const FRESH: usize = 1024;

/// All armed timers.
pub(crate) struct Timers {
    /// The entries that are not in the heap yet, in order of arming.
    fresh: Vec<Entry>,
    heap: Vec<Entry>,
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
            fresh: Vec::new(),
            heap: Vec::new(),
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
        let slot = if self.free == END { self.grow() } else { self.free };
        let armed = &mut self.slots[slot as usize];
        if let Action::Free(next) = armed.action {
            self.free = next;
        }
        (armed.order, armed.action) = (order, action);
        self.earliest = self.earliest.min(deadline);
        self.fresh.push(Entry { deadline, order, slot });
        TimerKey(slot)
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
        let slot = &mut self.slots[key.0 as usize];
        let order = std::mem::replace(&mut slot.order, 0);
        let action = std::mem::replace(&mut slot.action, Action::Free(self.free));
        let waker = self.take_waker(action);
        self.free = key.0;
        self.disarmed += 1;
        if order == 0 {
            if self.disarmed == self.armed && self.slots.len() > KEEP {
                self.shrink();
            }
            return waker;
        }
        self.gone += 1;
        if self.fresh.last().is_some_and(|last| last.order == order) {
            self.fresh.pop();
        } else if self.fresh.len() + self.heap.len() > 2 * self.len() + SLACK {
            self.sweep();
        }
        waker
    }

    /// Disarms a timer, and returns what it would have woken. None if it has fired.
    pub(crate) fn disarm_waiter(&mut self, key: TimerKey) -> Option<LocalWaiter> {
        let action = self.slots[key.0 as usize].action;
        let waker = self.disarm(key);
        match action {
            Action::Wake(task) => Some(LocalWaiter::Task(task)),
            _ => waker.map(LocalWaiter::Foreign),
        }
    }

    /// The tasks that armed timers wake, each with the time.
    pub(crate) fn sleepers(&self) -> Vec<(TaskId, u64)> {
        let armed = self.fresh.iter().chain(&self.heap).filter_map(|entry| {
            let slot = &self.slots[entry.slot as usize];
            match slot.action {
                Action::Wake(task) if slot.order == entry.order => Some((task, entry.deadline)),
                _ => None,
            }
        });
        armed.collect()
    }

    /// Adds a free slot.
    #[cold]
    fn grow(&mut self) -> u32 {
        let at = self.slots.len() as u32;
        self.slots.push(Slot { order: 0, action: Action::Free(END) });
        at
    }

    /// Replaces the waiter of a timer that wakes, unless the timer has fired. The caller drops the
    /// returned waker.
    pub(crate) fn retarget(&mut self, key: TimerKey, waiter: LocalWaiter) -> Option<Waker> {
        let old = self.slots[key.0 as usize].action;
        if !matches!(old, Action::Wake(_) | Action::WakeForeign(_)) {
            return match waiter {
                LocalWaiter::Task(_) => None,
                LocalWaiter::Foreign(waker) => Some(waker),
            };
        }
        self.slots[key.0 as usize].action = self.keep(waiter);
        self.take_waker(old)
    }

    /// Gives another action to a timer that wakes a task of this kernel, unless it has fired.
    pub(crate) fn redirect(&mut self, key: TimerKey, action: Action) {
        let slot = &mut self.slots[key.0 as usize];
        if matches!(slot.action, Action::Wake(_)) {
            slot.action = action;
        }
    }

    /// Whether a timer wakes `task`, or `waker` if `task` is `None`. Also true if it has fired.
    pub(crate) fn wakes(&self, key: TimerKey, task: Option<TaskId>, waker: &Waker) -> bool {
        match self.slots[key.0 as usize].action {
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
        if now < self.earliest && self.fresh.len() < FRESH {
            return None;
        }
        self.pop_first(now)
    }

    #[inline(never)]
    fn pop_first(&mut self, now: u64) -> Option<(Action, Option<Waker>)> {
        let first = self.first().filter(|first| first.deadline <= now)?;
        self.pop();
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
        self.fresh.clear();
        self.heap.clear();
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

    /// Moves all fresh entries into the heap, and returns the first live entry.
    fn first(&mut self) -> Option<Entry> {
        for at in 0..self.fresh.len() {
            let entry = self.fresh[at];
            if Timers::is_living(&self.slots, &entry) {
                self.heap.push(entry);
                self.sift_up(self.heap.len() - 1);
            }
        }
        self.fresh.clear();
        // Releases the memory that a burst took.
        self.fresh.shrink_to(KEEP);
        while let Some(&first) = self.heap.first() {
            if Timers::is_living(&self.slots, &first) {
                self.earliest = first.deadline;
                return Some(first);
            }
            self.pop();
        }
        self.earliest = u64::MAX;
        if self.slots.len() > KEEP && self.disarmed == self.armed {
            self.shrink();
        }
        self.heap.shrink_to(KEEP);
        None
    }

    /// Removes the dead entries, and releases the memory that a burst took.
    #[cold]
    fn sweep(&mut self) {
        let Timers { fresh, heap, slots, .. } = self;
        fresh.retain(|entry| Timers::is_living(slots, entry));
        heap.retain(|entry| Timers::is_living(slots, entry));
        self.shrink();
        for at in (0..self.heap.len().div_ceil(4)).rev() {
            self.sift_down(at);
        }
    }

    /// Releases unused memory after a burst: of the heap, and of the free slots behind the last
    /// used slot.
    #[cold]
    pub(crate) fn shrink(&mut self) {
        let few = self.len().max(KEEP);
        self.heap.shrink_to(2 * few);
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

    /// Removes the top of the heap.
    fn pop(&mut self) {
        self.heap.swap_remove(0);
        self.sift_down(0);
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if !self.heap[at].before(&self.heap[parent]) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let first = 4 * at + 1;
            let children = first..(first + 4).min(self.heap.len());
            let least =
                children.reduce(|a, b| if self.heap[b].before(&self.heap[a]) { b } else { a });
            match least {
                Some(child) if self.heap[child].before(&self.heap[at]) => {
                    self.heap.swap(at, child);
                    at = child;
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests;
