//! The waiters of an object in order of arrival. They are data under the lock of the object.

use std::task::Waker;

const NONE: u32 = u32::MAX;

/// If no waiter is left and there are more nodes than this, their memory is freed.
const KEEP: usize = 64;

/// Waiters in order of arrival. Each has left a `W` and is handed an `H`.
pub(super) struct Waiters<W, H> {
    nodes: Vec<Node<W, H>>,
    /// The first free node. The free nodes are linked by `after`.
    free: u32,
    oldest: u32,
    newest: u32,
    /// The number of nodes that are not free.
    used: usize,
    /// The number of waiters that were handed something and have not taken it yet.
    handed: usize,
}

struct Node<W, H> {
    before: u32,
    after: u32,
    state: State<W, H>,
}

enum State<W, H> {
    Free,
    Waits(Waker, W),
    Handed(H),
}

/// The number of a waiter.
#[derive(Debug)]
pub(super) struct Place(u32);

/// What a waiter leaves behind.
pub(super) enum Left<W, H> {
    /// It still waited.
    Waited(Waker, W),
    /// It had been handed this.
    Handed(H),
}

impl<W, H> Waiters<W, H> {
    pub(super) const fn new() -> Self {
        Waiters { nodes: Vec::new(), free: NONE, oldest: NONE, newest: NONE, used: 0, handed: 0 }
    }

    /// Whether no waiter waits. Those that were handed something do not wait any more.
    pub(super) fn is_empty(&self) -> bool {
        self.oldest == NONE
    }

    /// The number of waiters that wait.
    pub(super) fn len(&self) -> usize {
        self.used - self.handed
    }

    /// The number of waiters that were handed something and have not taken it yet.
    pub(super) fn handed(&self) -> usize {
        self.handed
    }

    /// Adds a waiter as the newest one.
    pub(super) fn enter(&mut self, waker: Waker, with: W) -> Place {
        let node = Node { before: self.newest, after: NONE, state: State::Waits(waker, with) };
        let at = self.free;
        let at = match self.nodes.get_mut(at as usize) {
            Some(free) => {
                self.free = free.after;
                *free = node;
                at
            }
            None => {
                let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 waiters");
                self.nodes.push(node);
                at
            }
        };
        match self.nodes.get_mut(self.newest as usize) {
            Some(newest) => newest.after = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.used += 1;
        Place(at)
    }

    /// Hands something to the oldest waiter. The caller wakes the waker.
    pub(super) fn hand(&mut self, make: impl FnOnce(W) -> H) -> Option<Waker> {
        let at = self.oldest;
        let State::Waits(waker, with) = self.remove(at)? else {
            unreachable!("only waiters that wait are linked");
        };
        self.nodes[at as usize].state = State::Handed(make(with));
        self.handed += 1;
        Some(waker)
    }

    /// Takes what the waiter was handed. It is no waiter any more then.
    pub(super) fn take(&mut self, place: &Place) -> Option<H> {
        let Place(at) = *place;
        let state = &mut self.nodes[at as usize].state;
        if !matches!(state, State::Handed(_)) {
            return None;
        }
        let State::Handed(handed) = std::mem::replace(state, State::Free) else { return None };
        self.handed -= 1;
        self.release(at);
        Some(handed)
    }

    /// The waker of a waiter that waits.
    pub(super) fn waker(&mut self, place: &Place) -> Option<&mut Waker> {
        match &mut self.nodes[place.0 as usize].state {
            State::Waits(waker, _) => Some(waker),
            _ => None,
        }
    }

    /// Removes the waiter.
    pub(super) fn leave(&mut self, place: &Place) -> Left<W, H> {
        if let Some(handed) = self.take(place) {
            return Left::Handed(handed);
        }
        let Place(at) = *place;
        let Some(State::Waits(waker, with)) = self.remove(at) else {
            unreachable!("a waiter waits or was handed something");
        };
        self.release(at);
        Left::Waited(waker, with)
    }

    /// Unlinks a waiter that waits, and takes its state.
    fn remove(&mut self, at: u32) -> Option<State<W, H>> {
        let node = self.nodes.get_mut(at as usize)?;
        let state = std::mem::replace(&mut node.state, State::Free);
        let (before, after) = (node.before, node.after);
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.after = after,
            None => self.oldest = after,
        }
        match self.nodes.get_mut(after as usize) {
            Some(node) => node.before = before,
            None => self.newest = before,
        }
        Some(state)
    }

    fn release(&mut self, at: u32) {
        self.nodes[at as usize].after = self.free;
        self.free = at;
        self.used -= 1;
        if self.used == 0 && self.nodes.len() > KEEP {
            self.nodes = Vec::new();
            self.free = NONE;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The waiters by the values that they have left, in order, as they are handed them.
    fn hand_all(waiters: &mut Waiters<u32, u32>) -> usize {
        std::iter::from_fn(|| waiters.hand(|with| with)).count()
    }

    /// U2: waiters are served in order of arrival, whichever of them have left meanwhile.
    #[test]
    fn waiters_are_served_in_order_whichever_have_left() {
        for leaver in 0..5 {
            let mut waiters = Waiters::new();
            let places: Vec<Place> =
                (0..5).map(|n| waiters.enter(Waker::noop().clone(), n)).collect();
            assert!(
                matches!(waiters.leave(&places[leaver]), Left::Waited(_, n) if n == leaver as u32)
            );
            let mut order = Vec::new();
            while waiters.hand(|with| order.push(with)).is_some() {}
            let expected: Vec<u32> = (0..5).filter(|n| *n != leaver as u32).collect();
            assert_eq!(order, expected);
            assert_eq!((waiters.len(), waiters.handed()), (0, 4));
        }
    }

    /// U2: the memory of waiters is used again, and given back after a burst.
    #[test]
    fn nodes_are_used_again_and_given_back() {
        let mut waiters = Waiters::new();
        for round in 0..10 {
            let places: Vec<Place> =
                (0..3).map(|n| waiters.enter(Waker::noop().clone(), n)).collect();
            assert_eq!(waiters.nodes.len(), 3, "round {round}");
            assert!(waiters.take(&places[0]).is_none(), "it was handed nothing");
            assert_eq!(hand_all(&mut waiters), 3);
            assert!(waiters.waker(&places[1]).is_none());
            assert_eq!(waiters.take(&places[1]), Some(1));
            for at in [2, 0] {
                assert!(matches!(waiters.leave(&places[at]), Left::Handed(n) if n == at as u32));
            }
            assert!(waiters.is_empty() && waiters.used == 0);
        }
        let burst: Vec<Place> =
            (0..1000).map(|n| waiters.enter(Waker::noop().clone(), n)).collect();
        burst.iter().for_each(|place| drop(waiters.leave(place)));
        assert_eq!(waiters.nodes.capacity(), 0);
    }
}
