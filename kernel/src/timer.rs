//! The timers of a kernel: an indexed heap of four children a node.
//!
//! Arming and disarming cost O(log n); a timeout that is armed for later than most others and
//! disarmed soon, as nearly all are, moves one or two entries. Timers fire in order of deadline,
//! then of arming. A hashed wheel would make insertion O(1), but rounds deadlines or cascades; this
//! is exact.

use crate::target::Target;

/// What a timer does when it fires.
pub(crate) enum Action {
    /// Wakes a sleeper.
    Wake(Target),
    /// Cancels a timeout's scope, or ends a shield.
    Scope(u32),
    /// The grace of the shutdown is over.
    Grace,
    /// Time to name who holds up the shutdown.
    Report,
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
    fn before(&self, other: &Entry) -> bool {
        (self.deadline, self.order) < (other.deadline, other.order)
    }
}

/// Where a timer stands in the heap.
enum Slot {
    Free {
        next: u32,
    },
    Armed {
        at: u32,
        action: Action,
    },
    /// It fired, and its owner has not disarmed it yet.
    Fired,
}

const END: u32 = u32::MAX;

/// All armed timers.
pub(crate) struct Timers {
    heap: Vec<Entry>,
    slots: Vec<Slot>,
    free: u32,
    armed: u64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers { heap: Vec::new(), slots: Vec::new(), free: END, armed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the first one is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    pub(crate) fn arm(&mut self, deadline: u64, action: Action) -> TimerKey {
        let at = self.heap.len() as u32;
        let armed = Slot::Armed { at, action };
        let slot = if self.free == END {
            self.slots.push(armed);
            (self.slots.len() - 1) as u32
        } else {
            let slot = self.free;
            if let Slot::Free { next } = self.slots[slot as usize] {
                self.free = next;
            }
            self.slots[slot as usize] = armed;
            slot
        };
        self.armed += 1;
        self.heap.push(Entry { deadline, order: self.armed, slot });
        self.sift_up(at as usize);
        TimerKey(slot)
    }

    /// Disarms a timer, fired or not. What it would have done is the caller's to drop.
    pub(crate) fn disarm(&mut self, key: TimerKey) -> Option<Action> {
        match self.release(key.0) {
            Slot::Armed { at, action } => {
                self.remove(at as usize);
                Some(action)
            }
            _ => None,
        }
    }

    /// Replaces whom a sleeper's timer wakes; gives back the old one.
    pub(crate) fn retarget(&mut self, key: TimerKey, target: Target) -> Action {
        match &mut self.slots[key.0 as usize] {
            Slot::Armed { action, .. } => std::mem::replace(action, Action::Wake(target)),
            _ => Action::Wake(target),
        }
    }

    /// Looks at whom a sleeper's timer wakes; None once it fired.
    pub(crate) fn target(&self, key: TimerKey) -> Option<&Target> {
        match &self.slots[key.0 as usize] {
            Slot::Armed { action: Action::Wake(target), .. } => Some(target),
            _ => None,
        }
    }

    /// Takes the first timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Action> {
        let first = self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        let slot = first.slot as usize;
        self.remove(0);
        match std::mem::replace(&mut self.slots[slot], Slot::Fired) {
            Slot::Armed { action, .. } => Some(action),
            _ => unreachable!("only armed timers stand in the heap"),
        }
    }

    /// Disarms everything: the kernel closes. What it would have done is the caller's to drop; the
    /// keys stay good for their owners to disarm.
    pub(crate) fn clear(&mut self) -> Vec<Action> {
        self.heap.clear();
        let fired = self.slots.iter_mut().filter(|slot| matches!(slot, Slot::Armed { .. }));
        let actions = fired.filter_map(|slot| match std::mem::replace(slot, Slot::Fired) {
            Slot::Armed { action, .. } => Some(action),
            _ => None,
        });
        actions.collect()
    }

    fn release(&mut self, slot: u32) -> Slot {
        let free = Slot::Free { next: self.free };
        self.free = slot;
        std::mem::replace(&mut self.slots[slot as usize], free)
    }

    fn remove(&mut self, at: usize) {
        let last = self.heap.len() - 1;
        self.heap.swap_remove(at);
        if at < last {
            self.place(at);
            if at > 0 && self.heap[at].before(&self.heap[(at - 1) / 4]) {
                self.sift_up(at);
            } else {
                self.sift_down(at);
            }
        }
    }

    /// Tells the timer at `at` where it stands.
    fn place(&mut self, at: usize) {
        let slot = self.heap[at].slot as usize;
        if let Slot::Armed { at: place, .. } = &mut self.slots[slot] {
            *place = at as u32;
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if !self.heap[at].before(&self.heap[parent]) {
                break;
            }
            self.heap.swap(at, parent);
            self.place(at);
            at = parent;
        }
        self.place(at);
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
                    self.place(at);
                    at = child;
                }
                _ => break,
            }
        }
        self.place(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fire_all(timers: &mut Timers, now: u64) -> Vec<u32> {
        let mut fired = Vec::new();
        while let Some(action) = timers.pop_due(now) {
            let Action::Scope(name) = action else { unreachable!() };
            fired.push(name);
        }
        fired
    }

    #[test]
    fn timers_fire_by_deadline_and_then_by_order_of_arming() {
        let mut timers = Timers::new();
        for (name, deadline) in [(0, 30), (1, 10), (2, 20), (3, 10), (4, 31)] {
            timers.arm(deadline, Action::Scope(name));
        }
        assert_eq!(fire_all(&mut timers, 30), [1, 3, 2, 0]);
        assert_eq!(timers.next_deadline(), Some(31));
    }

    #[test]
    fn a_heap_agrees_with_a_sorted_list_whatever_is_disarmed() {
        let mut timers = Timers::new();
        let mut expected = Vec::new();
        let mut seed = 7_u64;
        let mut keys = Vec::new();
        for name in 0..2000_u32 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let deadline = (seed >> 33) % 500;
            keys.push((timers.arm(deadline, Action::Scope(name)), deadline, name));
            if seed >> 60 < 7 {
                let at = (seed >> 40) as usize % keys.len();
                let (key, ..) = keys.swap_remove(at);
                assert!(timers.disarm(key).is_some());
            }
        }
        expected.extend(keys.iter().map(|(_, deadline, name)| (*deadline, *name)));
        expected.sort_unstable();
        let expected: Vec<u32> = expected.into_iter().map(|(_, name)| name).collect();
        assert_eq!(fire_all(&mut timers, 500), expected);
        for (key, ..) in keys {
            assert!(timers.disarm(key).is_none());
        }
        assert!(timers.is_empty());
    }
}
