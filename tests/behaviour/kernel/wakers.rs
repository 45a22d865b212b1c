//! Wakers work from any thread and at any time, also too late (K7, and wakes from unusual code).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use kernel::{Kernel, Task, TaskCancelled, TaskEnd, run_in_thread, sleep, spawn, testing};

type Ended = Result<(), TaskCancelled>;

/// A task that keeps its waker where the test finds it, and counts its polls; it never ends.
struct Probe {
    task: Task<(), TaskCancelled>,
    polls: Rc<Cell<u32>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Probe {
    fn spawn() -> Self {
        let (polls, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let (count, kept) = (polls.clone(), waker.clone());
        let task = spawn(poll_fn(move |cx| {
            count.set(count.get() + 1);
            *kept.borrow_mut() = Some(cx.waker().clone());
            Poll::<Ended>::Pending
        }));
        Probe { task, polls, waker }
    }

    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("it has been polled")
    }
}

/// K7: a wake after the end of the task is a no-op, here and from another thread.
#[test]
fn a_wake_after_the_end_does_nothing() {
    testing::run(async || {
        let probe = Probe::spawn();
        testing::settle().await.unwrap();
        let waker = probe.waker();
        probe.task.abort();
        waker.wake_by_ref();
        run_in_thread(move || waker.wake()).await.unwrap();
        testing::settle().await.unwrap();
        assert_eq!((probe.polls.get(), probe.task.end()), (1, Some(TaskEnd::Aborted)));
    });
}

/// K7: the wakers of the last occupant of a slot do not wake the next one.
#[test]
fn a_late_wake_does_not_reach_the_next_tenant() {
    testing::run(async || {
        let mut old = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..8 {
            let probe = Probe::spawn();
            testing::settle().await.unwrap();
            old.push(probe.waker());
            ids.push(probe.task.id());
            probe.task.abort();
        }
        let occupant = Probe::spawn();
        testing::settle().await.unwrap();
        assert!(!ids.contains(&occupant.task.id()), "an id came again");
        for waker in &old {
            waker.wake_by_ref();
        }
        run_in_thread(move || old.into_iter().for_each(Waker::wake)).await.unwrap();
        testing::settle().await.unwrap();
        assert_eq!(occupant.polls.get(), 1);
        occupant.task.abort();
    });
}

/// K7: a message that was sent before the task ended does not reach the next occupant either.
#[test]
fn a_wake_on_its_way_does_not_reach_the_next_tenant() {
    testing::run(async || {
        let old = Probe::spawn();
        testing::settle().await.unwrap();
        let waker = old.waker();
        // Posted now, and read at the next look at the mailbox.
        thread::spawn(move || waker.wake()).join().unwrap();
        old.task.abort();
        drop(old);
        let occupant = Probe::spawn();
        testing::settle().await.unwrap();
        assert_eq!(occupant.polls.get(), 1);
        occupant.task.abort();
    });
}

/// K7: wakers outlive their kernel, on its thread and on others.
#[test]
fn a_wake_after_the_kernel_is_gone_does_nothing() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let probe = kernel.run(async || {
        let probe = Probe::spawn();
        testing::settle().await.unwrap();
        probe
    });
    let waker = probe.waker();
    // Between two runs it still wakes its task.
    waker.wake_by_ref();
    kernel.run(testing::settle).unwrap();
    assert_eq!(probe.polls.get(), 2);
    drop(kernel);
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().unwrap();
    assert_eq!((probe.polls.get(), probe.task.end()), (2, Some(TaskEnd::Aborted)));
}

/// K7, C11: the future is dropped on its kernel's thread, whichever thread holds the last waker.
#[test]
fn the_last_waker_elsewhere_drops_no_future_there() {
    struct Where(Arc<Mutex<Option<thread::ThreadId>>>);
    impl Drop for Where {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(thread::current().id());
        }
    }
    let dropped = Arc::new(Mutex::new(None));
    let (sender, wakers) = mpsc::channel::<Waker>();
    let guard = Where(dropped.clone());
    testing::run(async || {
        let task = spawn(async move {
            let _guard = guard;
            poll_fn(|cx| {
                sender.send(cx.waker().clone()).unwrap();
                Poll::<()>::Pending
            })
            .await;
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
        task.abort();
    });
    let wakers: Vec<Waker> = wakers.into_iter().collect();
    assert_eq!(wakers.len(), 1);
    thread::spawn(move || wakers.into_iter().for_each(drop)).join().unwrap();
    assert_eq!(*dropped.lock().unwrap(), Some(thread::current().id()));
}

/// K7: a wake during the task's own poll causes one more poll, without recursion. Two wakes cause
/// one.
#[test]
fn a_wake_in_ones_own_poll_is_one_more_poll() {
    testing::run(async || {
        let polls = Rc::new(Cell::new(0_u32));
        let depth = Rc::new(Cell::new(0_u32));
        let (count, inside) = (polls.clone(), depth.clone());
        let task = spawn(poll_fn(move |cx| {
            inside.set(inside.get() + 1);
            assert_eq!(inside.get(), 1, "polled inside its own poll");
            count.set(count.get() + 1);
            if count.get() < 5 {
                cx.waker().wake_by_ref();
                let again = cx.waker().clone();
                again.wake_by_ref();
            }
            inside.set(inside.get() - 1);
            if count.get() == 6 { Poll::Ready(Ended::Ok(())) } else { Poll::Pending }
        }));
        testing::settle().await.unwrap();
        assert_eq!((polls.get(), task.is_done()), (5, false));
        task.abort();
    });
}

/// K7: a wake before the first poll does not cause a second one.
#[test]
fn a_wake_before_the_first_poll_is_one_poll() {
    testing::run(async || {
        let task = Probe::spawn();
        // A request to cancel wakes it too.
        task.task.request_cancel();
        testing::settle().await.unwrap();
        assert_eq!(task.polls.get(), 1);
        task.task.abort();
    });
}

/// K7, K9: a wake from a destructor, in a poll and in an abort.
#[test]
fn a_wake_from_a_destructor_is_a_wake() {
    struct Wakes(Waker);
    impl Drop for Wakes {
        fn drop(&mut self) {
            self.0.wake_by_ref();
        }
    }
    testing::run(async || {
        let probe = Probe::spawn();
        testing::settle().await.unwrap();
        let guard = Wakes(probe.waker());
        spawn(async move {
            drop(guard);
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
        assert_eq!(probe.polls.get(), 2);
        let guard = Wakes(probe.waker());
        let aborted = spawn(async move {
            let _guard = guard;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
        aborted.abort();
        testing::settle().await.unwrap();
        assert_eq!(probe.polls.get(), 3);
        // Its own destructor wakes its own task.
        let guard = Wakes(probe.waker());
        probe.task.abort();
        drop(guard);
        testing::settle().await.unwrap();
        assert_eq!(probe.polls.get(), 3);
    });
}

/// K7: a wake while the thread-locals of its thread are destroyed does not panic.
#[test]
fn a_wake_among_dying_thread_locals_is_no_panic() {
    struct Late(RefCell<Option<Waker>>);
    impl Drop for Late {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                waker.wake();
            }
        }
    }
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None)) };
    }
    thread::spawn(|| {
        testing::run(async || {
            let probe = Probe::spawn();
            testing::settle().await.unwrap();
            LATE.with(|late| *late.0.borrow_mut() = Some(probe.waker()));
            probe.task.abort();
        });
    })
    .join()
    .unwrap();
}

/// K7: eight threads wake twenty thousand times each, and no wake is lost.
#[test]
fn no_wake_of_other_threads_is_lost() {
    const THREADS: usize = 8;
    const WAKES: usize = 20_000;
    kernel::run(async || {
        let waits: Vec<_> = (0..THREADS).map(|_| spawn(told_by_a_thread(WAKES))).collect();
        for wait in waits {
            wait.join().await.unwrap().unwrap();
        }
    });
}

/// A thread counts up and waits until this task has seen each step before the next. One lost wake
/// would stop both for ever.
async fn told_by_a_thread(wakes: usize) -> Ended {
    struct Shared {
        count: AtomicUsize,
        seen: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }
    let shared = Arc::new(Shared {
        count: AtomicUsize::new(0),
        seen: AtomicUsize::new(0),
        waker: Mutex::new(None),
    });
    let theirs = shared.clone();
    let thread = thread::spawn(move || {
        for n in 1..=wakes {
            theirs.count.store(n, Ordering::SeqCst);
            let waker = theirs.waker.lock().unwrap().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
            // Every sixteenth step it waits, so that the kernel sleeps in between. Otherwise it
            // runs on.
            while n % 16 == 0 && theirs.seen.load(Ordering::SeqCst) < n {
                thread::yield_now();
            }
        }
    });
    poll_fn(|cx| {
        *shared.waker.lock().unwrap() = Some(cx.waker().clone());
        let count = shared.count.load(Ordering::SeqCst);
        shared.seen.store(count, Ordering::SeqCst);
        if count == wakes { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    thread.join().unwrap();
    Ok(())
}
