//! The tasks that wait for room in a socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The connections of an endpoint share its socket, and any number of them may wait to send. The
/// socket keeps one waker for a direction, so that one is this list.
#[derive(Debug, Default)]
pub(crate) struct WaitForRoom(Mutex<Vec<Waker>>);

impl WaitForRoom {
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a waker, once.
    pub(crate) fn add(&self, waker: &Waker) {
        let mut wakers = self.lock();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Removes a waker.
    pub(crate) fn remove(&self, waker: &Waker) {
        let mut wakers = self.lock();
        let at = wakers.iter().rposition(|other| other.will_wake(waker));
        let removed = at.map(|at| wakers.swap_remove(at));
        drop(wakers);
        drop(removed);
    }
}

impl Wake for WaitForRoom {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::WaitForRoom;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// E2: each connection that waits for room is woken, once, and one that no longer waits is not.
    #[test]
    fn room_in_a_socket_wakes_every_connection_that_waits() {
        let wakes: Vec<Arc<Wakes>> = (0..3).map(|_| Arc::default()).collect();
        let wakers: Vec<Waker> = wakes.iter().map(|wakes| wakes.clone().into()).collect();
        let room = Arc::new(WaitForRoom::default());
        for waker in wakers.iter().chain(&wakers) {
            room.add(waker);
        }
        room.remove(&wakers[1]);
        for _ in 0..2 {
            room.wake_by_ref();
            let count = |wakes: &Arc<Wakes>| wakes.0.load(Ordering::Relaxed);
            assert_eq!(wakes.iter().map(count).collect::<Vec<_>>(), [1, 0, 1]);
        }
    }
}
