//! The universal objects between tasks, futures of other executors, and plain threads: every
//! pairing of the two ends.

use std::thread;
use std::time::Duration;

use curium::kernel;
use curium::sync::{TryPutError, UniversalEvent, UniversalQueue, UniversalResult};

const MAX: Duration = Duration::MAX;
const ITEMS: u32 = 200;

/// What uses an end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Task,
    Executor,
    Tokio,
    Thread,
}

const SIDES: [Side; 4] = [Side::Task, Side::Executor, Side::Tokio, Side::Thread];

impl Side {
    /// Runs one of the two, on this thread.
    fn run<T>(self, future: impl AsyncFnOnce() -> T, blocking: impl FnOnce() -> T) -> T {
        match self {
            Side::Task => kernel::run(future),
            Side::Executor => futures::executor::block_on(future()),
            Side::Tokio => tokio_test::block_on(future()),
            Side::Thread => blocking(),
        }
    }
}

fn pairings() -> impl Iterator<Item = (Side, Side)> {
    SIDES.into_iter().flat_map(|one| SIDES.map(|other| (one, other)))
}

/// Runs both on threads of their own.
fn both(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(one);
        scope.spawn(other);
    });
}

/// Puts the items in order, and closes the queue.
fn put(side: Side, queue: &UniversalQueue<u32>) {
    side.run(
        async || {
            for item in 0..ITEMS {
                if item % 2 == 0 {
                    queue.put(item).await.unwrap();
                } else {
                    queue.put_from(&mut Some(item)).await.unwrap();
                }
            }
        },
        || (0..ITEMS).for_each(|item| queue.put_blocking(item, MAX).unwrap()),
    );
    queue.close();
}

fn get(side: Side, queue: &UniversalQueue<u32>) -> Vec<u32> {
    let done = |item| {
        queue.task_done().unwrap();
        item
    };
    side.run(
        async || {
            let mut got = Vec::new();
            while let Some(item) = queue.next().await.unwrap() {
                got.push(done(item));
            }
            got
        },
        || std::iter::from_fn(|| queue.next_blocking(MAX).unwrap()).map(done).collect(),
    )
}

/// U1, U2: a bounded queue works alike between tasks, futures and threads: all items come, in
/// order.
#[test]
fn items_pass_between_all_kinds_of_ends() {
    for (putter, getter) in pairings() {
        let queue = UniversalQueue::bounded(2);
        both(
            || put(putter, &queue),
            || {
                let expected: Vec<u32> = (0..ITEMS).collect();
                assert_eq!(get(getter, &queue), expected, "from {putter:?} to {getter:?}");
            },
        );
        assert_eq!((queue.len(), queue.unfinished()), (0, 0));
    }
}

/// U1: each side waits for the other in every step: two queues of one item, to and fro.
#[test]
fn items_pass_to_and_fro_between_all_kinds_of_ends() {
    for (one, other) in pairings() {
        to_and_fro(one, other, &UniversalQueue::bounded(1), &UniversalQueue::bounded(1));
    }
}

fn to_and_fro(one: Side, other: Side, there: &UniversalQueue<u32>, back: &UniversalQueue<u32>) {
    both(
        || {
            one.run(
                async || {
                    for item in 0..ITEMS {
                        there.put(item).await.unwrap();
                        assert_eq!(back.get().await.unwrap(), item + 1);
                    }
                },
                || {
                    for item in 0..ITEMS {
                        there.put_blocking(item, MAX).unwrap();
                        assert_eq!(back.get_blocking(MAX).unwrap(), item + 1);
                    }
                },
            );
        },
        || {
            other.run(
                async || {
                    for _ in 0..ITEMS {
                        let item = there.get().await.unwrap();
                        back.put(item + 1).await.unwrap();
                    }
                },
                || {
                    for _ in 0..ITEMS {
                        let item = there.get_blocking(MAX).unwrap();
                        back.put_blocking(item + 1, MAX).unwrap();
                    }
                },
            );
        },
    );
}

/// U1: `join` waits on any side for `task_done` of any other.
#[test]
fn the_end_of_all_items_is_awaited_by_all_kinds_of_ends() {
    for (putter, getter) in pairings() {
        let queue = UniversalQueue::unbounded();
        (0..ITEMS).for_each(|item| queue.try_put(item).unwrap());
        queue.close();
        both(
            || {
                putter.run(
                    async || queue.join().await.unwrap(),
                    || queue.join_blocking(MAX).unwrap(),
                );
                assert_eq!(queue.unfinished(), 0, "from {putter:?} to {getter:?}");
            },
            || assert_eq!(get(getter, &queue).len(), ITEMS as usize),
        );
        assert!(queue.task_done().is_err());
    }
}

/// U1: an event that any side sets wakes a waiter of any other.
#[test]
fn events_pass_between_all_kinds_of_ends() {
    for (setter, waiter) in pairings() {
        let (there, back) = (UniversalEvent::new(), UniversalEvent::new());
        let wait = |side: Side, event: &UniversalEvent| {
            side.run(async || event.wait().await.unwrap(), || event.wait_blocking(MAX).unwrap());
        };
        both(
            || {
                setter.run(async || there.set(), || there.set());
                wait(setter, &back);
            },
            || {
                wait(waiter, &there);
                back.set();
            },
        );
        assert!(there.is_set() && back.is_set(), "from {setter:?} to {waiter:?}");
    }
}

/// U1: a result that any side sets is read on any other, as a value or as an error.
#[test]
fn results_pass_between_all_kinds_of_ends() {
    for (setter, reader) in pairings() {
        for result in [Ok(7), Err("no")] {
            let shared = UniversalResult::new();
            both(
                || {
                    setter
                        .run(async || shared.set(result).unwrap(), || shared.set(result).unwrap());
                },
                || {
                    let read = reader.run(
                        async || shared.get().await.unwrap(),
                        || shared.get_blocking(MAX).unwrap(),
                    );
                    assert_eq!(
                        (read.ok().copied(), read.err().copied()),
                        (result.ok(), result.err())
                    );
                },
            );
            assert_eq!(shared.set(Ok(8)), Err(Ok(8)), "the first result stays");
            assert_eq!(shared.into_inner(), Some(result), "from {setter:?} to {reader:?}");
        }
    }
}

/// U1: the futures can be moved to another thread, so that a work-stealing executor can run them.
#[test]
fn the_futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    let queue = UniversalQueue::bounded(1);
    let mut item = Some(1);
    is_shared(&queue);
    is_send(&queue.put(1));
    is_send(&queue.put_from(&mut item));
    is_send(&queue.put_unless_closed(1));
    is_send(&queue.get());
    is_send(&queue.next());
    is_send(&queue.join());
    let event = UniversalEvent::new();
    is_shared(&event);
    is_send(&event.wait());
    let result = UniversalResult::<u32, String>::new();
    is_shared(&result);
    is_send(&result.get());
}

/// U1: a thread that blocks gives up when its time limit is over, and leaves no trace.
#[test]
fn a_blocked_thread_gives_up_when_its_time_is_over() {
    let limit = Duration::from_millis(1);
    let queue = UniversalQueue::bounded(1);
    assert!(queue.get_blocking(Duration::ZERO).is_err());
    assert!(queue.next_blocking(limit).is_err());
    queue.put_blocking(1, limit).unwrap();
    assert_eq!(queue.put_blocking(2, Duration::ZERO), Err(TryPutError::Full(2)));
    assert_eq!(queue.put_blocking(3, limit), Err(TryPutError::Full(3)));
    assert!(queue.join_blocking(limit).is_err());
    assert_eq!((queue.get_blocking(limit), queue.try_get()), (Ok(1), None));
    queue.task_done().unwrap();
    queue.join_blocking(limit).unwrap();
    assert!(format!("{queue:?}").contains("getters: 0, putters: 0"), "{queue:?}");
    let event = UniversalEvent::new();
    assert!(event.wait_blocking(limit).is_err());
    event.set();
    event.wait_blocking(limit).unwrap();
    let result = UniversalResult::<u32, ()>::new();
    assert!(result.get_blocking(limit).is_err());
    result.set(Ok(1)).unwrap();
    assert_eq!(result.get_blocking(limit), Ok(Ok(&1)));
}
