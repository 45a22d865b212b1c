//! Floods of the mailbox: other threads send requests faster than the kernel serves them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use kernel::{CancelPoint, Kernel, TaskCancelled, sleep, spawn, testing, yield_now};

const REQUESTS: usize = 100_000;

/// The number of tasks that a flood may start before another task has its next turn: fewer than the
/// polls between two looks, and constant over the turns.
const SLICE: usize = 64;

/// Lets another thread post so many requests to spawn, and waits until all are in the mailbox. Each
/// counts the task that it starts.
fn flood(requests: usize, started: &Arc<AtomicUsize>) {
    let (handle, started) = (kernel::handle(), started.clone());
    let poster = thread::spawn(move || {
        for _ in 0..requests {
            let started = started.clone();
            let count = move || {
                started.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok::<(), TaskCancelled>(()))
            };
            handle.spawn(count).expect("the kernel is there");
        }
    });
    poster.join().unwrap();
}

/// K2: between two turns of a task that yields, only a slice of a flood is served.
#[test]
fn a_flood_of_spawns_is_served_in_slices() {
    testing::run(async || {
        let started = Arc::new(AtomicUsize::new(0));
        flood(REQUESTS, &started);
        let mut before = 0;
        while started.load(Ordering::Relaxed) < REQUESTS {
            yield_now().await?;
            let now = started.load(Ordering::Relaxed);
            assert!(now - before <= SLICE, "{} in one turn", now - before);
            before = now;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2: a due timer fires while most of a flood is still unserved. On the real clock, because the
/// virtual one stands still while a task can run.
#[test]
fn a_timer_is_not_late_by_a_flood() {
    kernel::run(async || {
        let started = Arc::new(AtomicUsize::new(0));
        flood(REQUESTS, &started);
        sleep(Duration::from_nanos(1)).await?;
        let before = started.load(Ordering::Relaxed);
        assert!(before <= 2 * SLICE, "{before} came first");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2, K7: a wake from another thread passes the requests that were posted before it.
#[test]
fn a_wake_does_not_queue_behind_a_flood_of_spawns() {
    testing::run(async || {
        let started = Arc::new(AtomicUsize::new(0));
        let waker: Rc<Cell<Option<Waker>>> = Rc::default();
        let woken = spawn({
            let kept = waker.clone();
            let mut point = CancelPoint::new("OTHER_THREAD");
            std::future::poll_fn(move |cx| {
                point.poll(cx, |cx| match kept.take() {
                    Some(_) => Poll::Ready(()),
                    None => {
                        kept.set(Some(cx.waker().clone()));
                        Poll::Pending
                    }
                })
            })
        });
        yield_now().await?;
        flood(REQUESTS, &started);
        let theirs = waker.take().expect("it is parked");
        waker.set(Some(theirs.clone()));
        thread::spawn(move || theirs.wake()).join().unwrap();
        woken.join().await?.unwrap();
        let before = started.load(Ordering::Relaxed);
        assert!(before <= 2 * SLICE, "{before} came first");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2, C11: requests to cancel are served in slices, too, in order of arrival.
#[test]
fn a_flood_of_cancels_is_served_in_order_and_in_slices() {
    testing::run(async || {
        let sleepers: Vec<_> = (0..1_000).map(|_| spawn(sleep(Duration::MAX))).collect();
        yield_now().await?;
        let (handle, ids) = (kernel::handle(), sleepers.iter().map(|it| it.id()));
        let ids: Vec<_> = ids.collect();
        thread::spawn(move || ids.iter().try_for_each(|id| handle.request_cancel(*id)))
            .join()
            .unwrap()
            .unwrap();
        let mut before = 0;
        while before < sleepers.len() {
            yield_now().await?;
            let ended = sleepers.iter().take_while(|task| task.is_done()).count();
            let all = sleepers.iter().filter(|task| task.is_done()).count();
            assert_eq!(ended, all, "the oldest requests come first");
            assert!(ended - before <= SLICE, "{} in one turn", ended - before);
            before = ended;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K5: a kernel that ends during a flood drops the unserved requests, on its thread.
#[test]
fn a_kernel_that_goes_in_a_flood_drops_the_rest() {
    struct Letter(Arc<AtomicUsize>);
    impl Drop for Letter {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    kernel
        .run(async || {
            let (handle, dropped) = (kernel::handle(), dropped.clone());
            let poster = thread::spawn(move || {
                for _ in 0..1_000 {
                    let letter = Letter(dropped.clone());
                    let take = move || {
                        drop(letter);
                        std::future::ready(Ok::<(), TaskCancelled>(()))
                    };
                    handle.spawn(take).expect("the kernel is there");
                }
            });
            poster.join().unwrap();
            yield_now().await
        })
        .unwrap();
    assert!(dropped.load(Ordering::Relaxed) < 1_000, "all were served at once");
    drop(kernel);
    assert_eq!(dropped.load(Ordering::Relaxed), 1_000);
}

/// K8, K2: messages that wait for their slice come before the clock jumps, and before `settle`
/// returns.
#[test]
fn the_clock_does_not_jump_over_post_that_waits_for_its_slice() {
    testing::run(async || {
        let handle = kernel::handle();
        let (again, late) = (kernel::handle(), Arc::new(AtomicUsize::new(0)));
        let ended = spawn(async { Ok::<(), TaskCancelled>(()) });
        let ended = {
            ended.wait().await?;
            ended.id()
        };
        let begun = kernel::now();
        let marks = late.clone();
        let second = move || {
            let mark = marks.fetch_add(usize::from(kernel::now() == begun), Ordering::Relaxed);
            std::future::ready(Ok::<usize, TaskCancelled>(mark))
        };
        handle
            .spawn(move || async move { again.spawn(second).map_err(|gone| gone.to_string()) })
            .unwrap();
        // So many that one message is left when the first task posts again.
        for _ in 0..8 {
            handle.request_cancel(ended).unwrap();
        }
        sleep(Duration::from_secs(3600)).await?;
        assert_eq!(late.load(Ordering::Relaxed), 1, "an hour had passed before it was started");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
