//! The timers of a kernel: a heap of four children a node, and in front of it those armed since the
//! last look.
//!
//! Most timers are timeouts, and most of those are disarmed before anybody looks: arming is a push,
//! disarming leaves a dead entry behind or, for the latest, a pop. Only what is still armed when
//! the kernel looks is sorted in. Dead entries are swept out when they outnumber the living, so
//! both cost O(1) and memory stays in proportion. Timers fire in order of deadline, then of arming.
//! A hashed wheel would make sorting O(1), too, but rounds deadlines or cascades; this is exact.

use std::task::Waker;

use slab::Slab;

use crate::id::TaskId;
use crate::parts::KEEP;
use crate::parts::waiter::LocalWaiter;

/// What a timer does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wakes a sleeper, a task of this kernel.
    Wake(TaskId),
    /// Wakes any other sleeper: the waker of that key.
    WakeForeign(u32),
    /// Cancels a timeout's scope, or ends a shield.
    Scope(u32),
    /// The grace of the shutdown is over.
    Grace,
    /// Time to name who holds up the shutdown.
    Report,
    /// Nothing: it has fired, or its kernel has closed, and its owner has not disarmed it yet.
    Fired,
    /// Nothing: it is free, and this is the next free one.
    Free(u32),
}

/// Names an armed timer; belongs to whoever armed it, until it disarms it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

#[derive(Clone, Copy)]
struct Entry {
    deadline: u64,
    /// Ties go in order of arming.
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
    /// Tells its entry from dead ones of earlier tenants; 0 unless it is armed.
    order: u64,
    action: Action,
}

const END: u32 = u32::MAX;

/// Dead entries that are not worth a sweep.
const SLACK: usize = 64;

/// All armed timers.
pub(crate) struct Timers {
    /// Armed since the last look, in order of arming.
    fresh: Vec<Entry>,
    heap: Vec<Entry>,
    slots: Vec<Slot>,
    free: u32,
    /// The wakers of sleepers that are no tasks of this kernel.
    foreign: Slab<Waker>,
    /// How many were ever armed.
    armed: u64,
    /// How many of them have fired or were disarmed. Who are left are not counted by themselves:
    /// two counters to write at once are written as one, and who then reads one waits.
    gone: u64,
    /// How many were disarmed: the others have slots.
    disarmed: u64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        let (fresh, heap, slots) = (Vec::new(), Vec::new(), Vec::new());
        let foreign = Slab::new();
        Timers { fresh, heap, slots, free: END, foreign, armed: 0, gone: 0, disarmed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        (self.armed - self.gone) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed == self.gone
    }

    /// When the first one is due.
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
        self.fresh.push(Entry { deadline, order, slot });
        TimerKey(slot)
    }

    /// One that wakes a sleeper.
    pub(crate) fn arm_for(&mut self, deadline: u64, who: LocalWaiter) -> TimerKey {
        let action = self.keep(who);
        self.arm(deadline, action)
    }

    fn keep(&mut self, who: LocalWaiter) -> Action {
        match who {
            LocalWaiter::Task(task) => Action::Wake(task),
            LocalWaiter::Foreign(waker) => {
                let key = u32::try_from(self.foreign.insert(waker)).expect("fewer than 2^32");
                Action::WakeForeign(key)
            }
        }
    }

    /// Disarms a timer, fired or not. The waker it had is the caller's to drop.
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

    /// One more slot, free.
    #[cold]
    fn grow(&mut self) -> u32 {
        let at = self.slots.len() as u32;
        self.slots.push(Slot { order: 0, action: Action::Free(END) });
        at
    }

    /// Replaces whom a sleeper's timer wakes; nothing if it has fired. The waker that is not needed
    /// is the caller's to drop.
    pub(crate) fn retarget(&mut self, key: TimerKey, who: LocalWaiter) -> Option<Waker> {
        let old = self.slots[key.0 as usize].action;
        if !matches!(old, Action::Wake(_) | Action::WakeForeign(_)) {
            return match who {
                LocalWaiter::Task(_) => None,
                LocalWaiter::Foreign(waker) => Some(waker),
            };
        }
        self.slots[key.0 as usize].action = self.keep(who);
        self.take_waker(old)
    }

    /// Whether a sleeper's timer wakes that task, or else that waker; or has fired.
    pub(crate) fn wakes(&self, key: TimerKey, task: Option<TaskId>, waker: &Waker) -> bool {
        match self.slots[key.0 as usize].action {
            Action::Wake(own) => task == Some(own),
            Action::WakeForeign(key) => {
                task.is_none() && self.foreign[key as usize].will_wake(waker)
            }
            _ => true,
        }
    }

    /// Takes the first timer that is due at `now`: what it does, and with which waker.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Action, Option<Waker>)> {
        let first = self.first().filter(|first| first.deadline <= now)?;
        self.pop();
        self.gone += 1;
        let slot = &mut self.slots[first.slot as usize];
        slot.order = 0;
        let action = std::mem::replace(&mut slot.action, Action::Fired);
        Some((action, self.take_waker(action)))
    }

    /// The waker of an action that is over.
    #[inline]
    fn take_waker(&mut self, action: Action) -> Option<Waker> {
        match action {
            Action::WakeForeign(key) => Some(self.foreign.remove(key as usize)),
            _ => None,
        }
    }

    /// Disarms everything: the kernel closes. The wakers are the caller's to drop; the keys stay
    /// good for their owners to disarm.
    pub(crate) fn clear(&mut self) -> Vec<Waker> {
        self.fresh.clear();
        self.heap.clear();
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
        // The slot of a dead one may have been given back.
        slots.get(entry.slot as usize).is_some_and(|slot| slot.order == entry.order)
    }

    /// The first living entry, all of them sorted in.
    fn first(&mut self) -> Option<Entry> {
        for at in 0..self.fresh.len() {
            let entry = self.fresh[at];
            if Timers::is_living(&self.slots, &entry) {
                self.heap.push(entry);
                self.sift_up(self.heap.len() - 1);
            }
        }
        self.fresh.clear();
        // After a burst the room is left to others.
        self.fresh.shrink_to(KEEP);
        while let Some(first) = self.heap.first() {
            if Timers::is_living(&self.slots, first) {
                return Some(*first);
            }
            self.pop();
        }
        if self.slots.len() > KEEP && self.disarmed == self.armed {
            self.shrink();
        }
        self.heap.shrink_to(KEEP);
        None
    }

    /// Drops the dead entries, and the room that a burst took.
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

    /// Gives back the room of the heap and of the free slots at the end, after a burst.
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

    /// Takes the top of the heap.
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
