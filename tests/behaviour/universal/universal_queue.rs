//! `sync::UniversalQueue` in the tasks of one kernel, and polled by hand: order, bounds, `join`,
//! and what the monitor shows.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use curium::kernel::{self, Task, TaskCancelled, TaskState, spawn, testing, yield_now};
use curium::sync::{NothingToFinish, TryPutError, UniversalEvent, UniversalQueue, UniversalResult};
use tokio_test::{assert_pending, assert_ready_ok};

type Shared = Arc<UniversalQueue<u32>>;

fn getter(queue: &Shared) -> Task<u32, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.get().await })
}

fn putter(queue: &Shared, item: u32) -> Task<(), TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.put(item).await })
}

/// U1, U2: in one kernel it behaves as a `Queue`: a full one makes its putter wait, and the items
/// come out in order.
#[test]
fn a_bounded_queue_lets_the_two_sides_take_turns() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(2));
        let log = Rc::new(RefCell::new(Vec::new()));
        let producer = spawn({
            let (queue, log) = (queue.clone(), log.clone());
            async move {
                for n in 1..=5 {
                    queue.put(n).await?;
                    log.borrow_mut().push(format!("put {n}"));
                }
                Ok::<_, TaskCancelled>(())
            }
        });
        testing::settle().await?;
        assert_eq!((queue.len(), queue.maxsize()), (2, Some(2)));
        assert_eq!(producer.state().to_string(), "QUEUE_PUT");
        for n in 1..=5 {
            assert_eq!(queue.get().await?, n);
            log.borrow_mut().push(format!("got {n}"));
            testing::settle().await?;
        }
        producer.await?;
        let expected = [
            "put 1", "put 2", "got 1", "put 3", "got 2", "put 4", "got 3", "put 5", "got 4",
            "got 5",
        ];
        assert_eq!(*log.borrow(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U2: getters and putters are served in order of arrival.
#[test]
fn waiters_are_served_in_order_of_arrival() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(1));
        let getters = [0; 4].map(|_| getter(&queue));
        testing::settle().await?;
        for n in 0..4 {
            queue.put(n).await?;
        }
        for (n, getter) in (0..).zip(getters) {
            assert_eq!(getter.await?, n);
        }
        queue.put(0).await?;
        let putters = [1, 2, 3, 4].map(|n| putter(&queue, n));
        testing::settle().await?;
        for n in 0..=4 {
            assert_eq!(queue.get().await?, n);
        }
        for putter in putters {
            putter.await?;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U2: an item is handed to the oldest getter in the call that puts it, and a slot is filled with
/// the oldest putter's item in the call that frees it. A call that comes before they run cannot
/// overtake them.
#[test]
fn a_later_call_overtakes_no_waiter() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(1));
        let waiting = getter(&queue);
        testing::settle().await?;
        queue.put(1).await?;
        assert!(!waiting.is_done(), "`put` switched");
        assert_eq!((queue.try_get(), queue.len()), (None, 0));
        queue.put(2).await?;
        let (first, second) = (putter(&queue, 3), putter(&queue, 4));
        testing::settle().await?;
        assert_eq!(queue.try_get(), Some(2));
        assert!(!first.is_done(), "`try_get` switched");
        assert_eq!(queue.try_put(9), Err(TryPutError::Full(9)));
        assert_eq!((waiting.await?, queue.get().await?, queue.get().await?), (1, 3, 4));
        first.await?;
        second.await
    })
    .unwrap();
}

/// U2: without a bound no put ever waits.
#[test]
fn an_unbounded_queue_takes_everything_at_once() {
    let queue = UniversalQueue::unbounded();
    for n in 0..1000 {
        let mut put = tokio_test::task::spawn(queue.put(n));
        assert_ready_ok!(put.poll());
        queue.try_put(n).unwrap();
    }
    assert_eq!((queue.len(), queue.unfinished(), queue.maxsize()), (2000, 2000, None));
    let first = queue.try_get();
    assert_eq!((first, queue.len()), (Some(0), 1999));
}

/// U2: a queue of nothing is refused.
#[test]
#[should_panic(expected = "a queue of 0 items never takes one")]
fn a_queue_of_no_items_is_refused() {
    drop(UniversalQueue::<u32>::bounded(0));
}

/// U1: `join` returns when every item is done, and a surplus `task_done` is an error.
#[test]
fn join_waits_until_all_is_done() {
    let queue = UniversalQueue::unbounded();
    assert_ready_ok!(tokio_test::task::spawn(queue.join()).poll());
    queue.try_put(1).unwrap();
    queue.try_put(2).unwrap();
    let mut joins = [(); 3].map(|()| tokio_test::task::spawn(queue.join()));
    joins.iter_mut().for_each(|join| assert_pending!(join.poll()));
    queue.task_done().unwrap();
    assert!(joins.iter().all(|join| !join.is_woken()));
    queue.task_done().unwrap();
    joins.iter_mut().for_each(|join| {
        assert!(join.is_woken());
        assert_ready_ok!(join.poll());
    });
    assert_eq!(queue.task_done(), Err(NothingToFinish));
}

/// U1, C9: a waiting task is parked with the kind of its wait, at the line of the call.
#[test]
fn a_waiting_task_shows_where_it_waits() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(1));
        let event = Arc::new(UniversalEvent::new());
        let result = Arc::new(UniversalResult::<(), ()>::new());
        let (q, j, e, r) = (queue.clone(), queue.clone(), event.clone(), result.clone());
        let get = (line!(), "QUEUE_GET", spawn(async move { q.get().await }));
        testing::settle().await?;
        queue.put(1).await?;
        queue.put(2).await?;
        let q = queue.clone();
        let others = [
            (line!(), "QUEUE_PUT", spawn(async move { q.put(3).await })),
            (line!(), "QUEUE_JOIN", spawn(async move { j.join().await })),
            (line!(), "EVENT_WAIT", spawn(async move { e.wait().await })),
            (line!(), "RESULT_WAIT", spawn(async move { r.get().await.map(|_| ()) })),
        ];
        assert_eq!(get.2.await?, 1);
        testing::settle().await?;
        let now = queue.statistics();
        assert_eq!((now.len, now.maxsize, now.putters, now.joiners), (1, Some(1), 1, 1));
        assert_eq!((now.getters, now.held, now.unfinished, now.closed), (0, 0, 2, false));
        for (line, kind, task) in &others {
            let site = task.parked_at().expect("parked, but nowhere");
            assert_eq!((site.file(), site.line()), (file!(), *line), "{task:?}");
            assert_eq!(task.state(), TaskState::Parked(kind));
        }
        for (_, _, task) in others {
            task.cancel().await?;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U1, C12: what would block the thread of a kernel is refused, and the panic names the call.
#[test]
fn a_blocking_call_in_a_task_is_refused() {
    let queue = UniversalQueue::bounded(1);
    let event = UniversalEvent::new();
    let result = UniversalResult::<u32, ()>::new();
    let no_time = Duration::ZERO;
    let calls: [(&str, &dyn Fn()); 6] = [
        ("put_blocking", &|| queue.put_blocking(1, no_time).map_or((), drop)),
        ("get_blocking", &|| queue.get_blocking(no_time).map_or((), drop)),
        ("next_blocking", &|| queue.next_blocking(no_time).map_or((), drop)),
        ("join_blocking", &|| queue.join_blocking(no_time).map_or((), drop)),
        ("wait_blocking", &|| event.wait_blocking(no_time).map_or((), drop)),
        ("get_blocking", &|| result.get_blocking(no_time).map_or((), |_| ())),
    ];
    kernel::run(async || {
        for (name, call) in calls {
            let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("it is refused");
            let message = payload.downcast_ref::<String>().expect("a text");
            assert!(message.starts_with(&format!("`{name}` would block the kernel")), "{message}");
        }
    });
    assert_eq!(queue.len(), 0);
    calls[0].1();
    assert_eq!(queue.len(), 1);
}

/// U3: a waker may use the queue while it is woken or dropped, because no lock is held then.
#[test]
fn a_waker_may_use_the_queue() {
    struct Uses(Arc<UniversalQueue<u32>>);
    impl Wake for Uses {
        fn wake(self: Arc<Self>) {
            self.0.try_put(2).unwrap();
        }
    }
    impl Drop for Uses {
        fn drop(&mut self) {
            self.0.try_put(3).unwrap();
        }
    }
    let queue = Arc::new(UniversalQueue::unbounded());
    let mut get = Box::pin(queue.get());
    let waker = Waker::from(Arc::new(Uses(queue.clone())));
    assert!(get.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    queue.try_put(1).unwrap();
    assert_ready_ok!(tokio_test::task::spawn(get).poll());
    assert_eq!((queue.try_get(), queue.try_get(), queue.try_get()), (Some(2), Some(3), None));
}

/// U3: if a waker panics, the others are still woken, and the panic goes on in the caller.
#[test]
fn a_panicking_waker_keeps_no_other_from_waking() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    let event = UniversalEvent::new();
    let bad = Waker::from(Arc::new(Panics));
    let mut first = tokio_test::task::spawn(event.wait());
    assert_pending!(first.poll());
    let mut second = Box::pin(event.wait());
    assert!(second.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
    let mut third = tokio_test::task::spawn(event.wait());
    assert_pending!(third.poll());
    assert!(catch_unwind(AssertUnwindSafe(|| event.set())).is_err());
    assert!(first.is_woken() && third.is_woken());
    assert_ready_ok!(first.poll());
    assert_ready_ok!(third.poll());
}

/// U1, K2: a task that gets and puts without waiting lets other tasks run.
#[test]
fn a_busy_task_lets_others_run() {
    testing::run(async || {
        let queue = UniversalQueue::bounded(1);
        let other = spawn(async { yield_now().await });
        let mut operations = 0;
        while !other.is_done() {
            queue.put(1).await?;
            queue.get().await?;
            operations += 2;
            assert!(operations < 1000, "the other task never runs");
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
