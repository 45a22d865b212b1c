//! Timers of the floor: a binary heap whose entries know their positions, on this thread.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers::new()) };
}

/// No position in the heap: the timer has fired.
const FIRED: usize = usize::MAX;

struct Timers {
    /// Deadlines, the first on top, each with its timer.
    heap: Vec<(Instant, usize)>,
    /// For each timer, its position in the heap and its waker.
    armed: Vec<(usize, Option<Waker>)>,
    free: Vec<usize>,
}

impl Timers {
    const fn new() -> Self {
        Timers { heap: Vec::new(), armed: Vec::new(), free: Vec::new() }
    }

    fn arm(&mut self, deadline: Instant, waker: Waker) -> usize {
        let place = self.heap.len();
        let timer = self.free.pop().unwrap_or(self.armed.len());
        if timer == self.armed.len() {
            self.armed.push((place, Some(waker)));
        } else {
            self.armed[timer] = (place, Some(waker));
        }
        self.heap.push((deadline, timer));
        self.rise(place);
        timer
    }

    fn disarm(&mut self, timer: usize) {
        let (place, _waker) = std::mem::replace(&mut self.armed[timer], (FIRED, None));
        if place != FIRED {
            self.take_out(place);
        }
        self.free.push(timer);
    }

    fn take_out(&mut self, place: usize) {
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.armed[self.heap[place].1].0 = place;
            self.rise(place);
            self.sink(place);
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.armed[self.heap[one].1].0 = one;
        self.armed[self.heap[other].1].0 = other;
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above].0 <= self.heap[place].0 {
                return;
            }
            self.swap(place, above);
            place = above;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let below = 2 * place + 1;
            let Some(&(mut first, _)) = self.heap.get(below) else { return };
            let mut least = below;
            if self.heap.get(below + 1).is_some_and(|(deadline, _)| *deadline < first) {
                least = below + 1;
                first = self.heap[least].0;
            }
            if self.heap[place].0 <= first {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    /// Takes the first timer out, if it is due.
    fn fire(&mut self, now: Instant) -> Option<Waker> {
        let (deadline, timer) = *self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.take_out(0);
        let (place, waker) = &mut self.armed[timer];
        *place = FIRED;
        waker.take()
    }
}

/// A sleep.
pub(crate) struct Sleep {
    deadline: Instant,
    timer: Option<usize>,
}

/// Sleeps for so long.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: Instant::now() + duration, timer: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| match self.timer {
            None => {
                self.timer = Some(timers.arm(self.deadline, cx.waker().clone()));
                Poll::Pending
            }
            Some(timer) if timers.armed[timer].0 == FIRED => Poll::Ready(()),
            Some(_) => Poll::Pending,
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            TIMERS.with_borrow_mut(|timers| timers.disarm(timer));
        }
    }
}

/// Wakes the due sleepers. Reads the clock only if there is a sleeper.
pub(super) fn fire() {
    if TIMERS.with_borrow(|timers| timers.heap.is_empty()) {
        return;
    }
    let now = Instant::now();
    while let Some(waker) = TIMERS.with_borrow_mut(|timers| timers.fire(now)) {
        waker.wake();
    }
}

/// No task is ready: sleeps until a timer is due.
pub(super) fn wait() {
    let first = TIMERS.with_borrow(|timers| timers.heap.first().copied());
    let (deadline, _) = first.expect("without a sleeper and a ready task this is a deadlock");
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    fire();
}
