//! Loom models of the universal objects: every interleaving with up to three preemptions
//! (`LOOM_MAX_PREEMPTIONS` changes the number).
//!
//! `.ci/models` runs them. They run the files that ship, with the lock and the threads of loom. A
//! lost wake appears as a deadlock of the model: a thread sleeps, and no other is left to wake it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use loom::thread;

use super::{UniversalEvent, UniversalQueue, UniversalResult, sync};
use crate::queue::{Closed, TryPutError};

const MAX: Duration = Duration::MAX;
/// A time limit that passes at any moment for the other threads.
const SHORT: Duration = Duration::from_millis(1);

type Shared = Arc<UniversalQueue<u32>>;

/// Runs `model` in every interleaving within the bound.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// Runs a future on this thread of the model.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = sync::waker();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        sync::park(&sync::Deadline::after(MAX));
    }
}

/// Polls a future once, and drops it.
fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(&sync::waker())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn queue(bound: usize) -> Shared {
    Arc::new(UniversalQueue::bounded(bound))
}

fn all(queue: &UniversalQueue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get()).collect()
}

/// Checks what must hold when the threads have ended: no waiter is left.
fn is_quiet(queue: &UniversalQueue<u32>) {
    let shown = format!("{queue:?}");
    assert!(shown.contains("getters: 0, putters: 0"), "{shown}");
}

/// U2, U3: an item that is put while a getter begins to wait is not missed, by a thread or by a
/// future.
#[test]
fn an_item_wakes_the_getter_that_begins_to_wait() {
    for future in [true, false] {
        check(move || {
            let queue = queue(1);
            let theirs = queue.clone();
            let getter = thread::spawn(move || match future {
                true => block_on(theirs.get()).unwrap(),
                false => theirs.get_blocking(MAX).unwrap(),
            });
            queue.try_put(1).unwrap();
            assert_eq!(getter.join().unwrap(), 1);
            is_quiet(&queue);
        });
    }
}

/// U2, U3: a slot that is freed while a putter begins to wait is not missed.
#[test]
fn a_slot_wakes_the_putter_that_begins_to_wait() {
    for future in [true, false] {
        check(move || {
            let queue = queue(1);
            queue.try_put(1).unwrap();
            let theirs = queue.clone();
            let putter = thread::spawn(move || match future {
                true => block_on(theirs.put(2)).unwrap(),
                false => theirs.put_blocking(2, MAX).unwrap(),
            });
            assert_eq!(queue.get_blocking(MAX), Ok(1));
            assert_eq!(queue.get_blocking(MAX), Ok(2));
            putter.join().unwrap();
            is_quiet(&queue);
        });
    }
}

/// U2, U3: two putters fill a queue of one item that one thread empties: each item comes once, and
/// those of one putter in order.
#[test]
fn two_putters_and_a_getter_lose_nothing() {
    check(|| {
        let queue = queue(1);
        let putters = [[1, 2], [3, 4]].map(|items| {
            let queue = queue.clone();
            thread::spawn(move || {
                for item in items {
                    queue.put_blocking(item, MAX).unwrap();
                }
            })
        });
        let mut got: Vec<u32> = (0..4).map(|_| queue.get_blocking(MAX).unwrap()).collect();
        putters.into_iter().for_each(|putter| putter.join().unwrap());
        let order = |of: [u32; 2]| Vec::from_iter(got.iter().copied().filter(|n| of.contains(n)));
        assert_eq!((order([1, 2]), order([3, 4])), (vec![1, 2], vec![3, 4]));
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3, 4]);
        is_quiet(&queue);
    });
}

/// U2, U3: a getter whose time limit passes while the item is handed over has it, or it stays in
/// the queue.
#[test]
fn a_getter_that_gives_up_loses_no_item() {
    check(|| {
        let queue = queue(1);
        let theirs = queue.clone();
        let getter = thread::spawn(move || theirs.get_blocking(SHORT).ok());
        queue.put_blocking(1, MAX).unwrap();
        let got = getter.join().unwrap();
        let there: Vec<u32> = got.into_iter().chain(all(&queue)).collect();
        assert_eq!(there, [1]);
        is_quiet(&queue);
    });
}

/// U2, U3: an item that was handed to a future which is dropped in this moment goes to the next
/// getter, although the queue has filled up meanwhile.
#[test]
fn the_item_of_a_dropped_getter_goes_to_the_next() {
    check(|| {
        let queue = queue(1);
        let (first, second) = (queue.clone(), queue.clone());
        let dropped = thread::spawn(move || poll_and_drop(first.get()).map(Result::unwrap));
        let getter = thread::spawn(move || second.get_blocking(MAX).unwrap());
        queue.put_blocking(1, MAX).unwrap();
        queue.put_blocking(2, MAX).unwrap();
        let taken = [dropped.join().unwrap(), Some(getter.join().unwrap())];
        let mut there: Vec<u32> = taken.into_iter().flatten().chain(all(&queue)).collect();
        there.sort_unstable();
        assert_eq!(there, [1, 2]);
        is_quiet(&queue);
    });
}

/// U2, U3: a putter whose time limit passes while its item is placed has put it, or has it back.
#[test]
fn a_putter_that_gives_up_loses_no_item() {
    check(|| {
        let queue = queue(1);
        queue.try_put(1).unwrap();
        let (blocks, drops) = (queue.clone(), queue.clone());
        let blocked = thread::spawn(move || match blocks.put_blocking(2, SHORT) {
            Err(TryPutError::Full(item)) => Some(item),
            other => other.map(|()| None).unwrap(),
        });
        let dropped = thread::spawn(move || {
            let mut item = Some(3);
            poll_and_drop(drops.put_from(&mut item));
            item
        });
        let first = queue.get_blocking(MAX).ok();
        let back = [first, blocked.join().unwrap(), dropped.join().unwrap()];
        let mut there: Vec<u32> = back.into_iter().flatten().chain(all(&queue)).collect();
        there.sort_unstable();
        assert_eq!(there, [1, 2, 3]);
        is_quiet(&queue);
    });
}

/// U2, U3: a queue is closed while a putter and two getters wait or begin to. The item is got, or
/// comes back, and all end.
#[test]
fn a_close_reaches_all_waiters() {
    check(|| {
        let queue = queue(1);
        queue.try_put(1).unwrap();
        let (puts, gets) = (queue.clone(), queue.clone());
        let putter = thread::spawn(move || match block_on(puts.put_unless_closed(2)).unwrap() {
            Ok(()) => None,
            Err(Closed(item)) => Some(item),
        });
        let getter = thread::spawn(move || get_all(&gets));
        queue.close();
        let mut there = get_all(&queue);
        there.extend(getter.join().unwrap());
        there.extend(putter.join().unwrap());
        there.sort_unstable();
        assert_eq!(there, [1, 2]);
        is_quiet(&queue);
    });
}

/// Gets until the end of the queue.
fn get_all(queue: &UniversalQueue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.next_blocking(MAX).unwrap()).collect()
}

/// U2, U3: a getter that was handed the last item lets another know that the queue has ended.
#[test]
fn the_end_reaches_a_getter_that_waits_for_another() {
    check(|| {
        let queue = queue(1);
        let getters = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || get_all(&queue))
        });
        queue.try_put(1).unwrap();
        queue.close();
        let got: Vec<u32> = getters.into_iter().flat_map(|it| it.join().unwrap()).collect();
        assert_eq!(got, [1]);
        is_quiet(&queue);
    });
}

/// U2, U3: `join` returns when the last item is done on another thread.
#[test]
fn the_last_item_that_is_done_wakes_the_joiner() {
    check(|| {
        let queue = queue(2);
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        let theirs = queue.clone();
        let worker = thread::spawn(move || {
            theirs.task_done().unwrap();
            theirs.task_done().unwrap();
        });
        queue.join_blocking(MAX).unwrap();
        worker.join().unwrap();
        assert_eq!(queue.unfinished(), 0);
    });
}

/// U2, U3: a set that is followed by a clear wakes the waiters that were there, in a thread and in
/// a future, and a later set the others.
#[test]
fn a_set_reaches_the_waiters_that_begin_to_wait() {
    check(|| {
        let event = Arc::new(UniversalEvent::new());
        let (blocks, polls) = (event.clone(), event.clone());
        let blocked = thread::spawn(move || blocks.wait_blocking(MAX).unwrap());
        let polled = thread::spawn(move || block_on(polls.wait()).unwrap());
        event.set();
        event.clear();
        event.set();
        blocked.join().unwrap();
        polled.join().unwrap();
    });
}

/// U2, U3: of two results that are set at once one stays, and the reader gets that one.
#[test]
fn of_two_results_one_is_read() {
    check(|| {
        let result = Arc::new(UniversalResult::<u32, ()>::new());
        let setters = [1, 2].map(|value| {
            let result = result.clone();
            thread::spawn(move || result.set(Ok(value)).is_ok().then_some(value))
        });
        let read = *result.get_blocking(MAX).unwrap().unwrap();
        let set: Vec<u32> = setters.into_iter().filter_map(|it| it.join().unwrap()).collect();
        assert_eq!(set, [read]);
    });
}
