//! Corner cases of the kernel: moved and forgotten futures, late messages, and values that outlive
//! others.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kernel::{
    Handle, Kernel, Task, TaskCancelled, TaskGroup, WaitPolicy, handle, run_in_thread, sleep,
    spawn, tasks, testing, timeout_after, yield_now,
};
use sync::Event;

use crate::support::limits;
use crate::support::reports;
use crate::support::time::secs;

thread_local!(static DONE: Rc<Event> = Rc::new(Event::new()));

/// K8: a message that came at the last moment prevents the deadlock, although its sender is gone.
#[test]
fn post_in_the_mailbox_is_no_deadlock() {
    struct Late(Mutex<Option<Handle>>);
    impl Wake for Late {
        fn wake(self: Arc<Self>) {
            let handle = self.0.lock().unwrap().take().unwrap();
            let set = || async {
                DONE.with(|done| done.set());
                Ok::<(), TaskCancelled>(())
            };
            handle.spawn(set).unwrap();
        }
    }
    testing::run(async || {
        let mut nap = Box::pin(sleep(secs(1)));
        let waker = Waker::from(Arc::new(Late(Mutex::new(Some(handle())))));
        assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        DONE.with(Rc::clone).wait().await
    })
    .unwrap();
}

/// K8: a job that has returned no longer stops the virtual clock, whether its value is taken or
/// not.
#[test]
fn a_job_that_came_back_does_not_stop_the_virtual_clock() {
    limits::within(|| {
        testing::run(async || {
            let (go, gone) = mpsc::channel();
            let mut job = Box::pin(run_in_thread(move || gone.recv().map(|()| 7).unwrap()));
            assert!(futures::poll!(job.as_mut()).is_pending());
            go.send(()).unwrap();
            sleep(secs(1)).await?;
            assert_eq!(job.await?, 7);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    });
}

/// K8, K7: the waker of an ended task wakes no task, so it hides no deadlock.
#[test]
fn the_waker_of_an_ended_task_hides_no_deadlock() {
    let panicked = limits::within(|| {
        let kept = RefCell::new(None);
        let kept = std::panic::AssertUnwindSafe(&kept);
        let ran = std::panic::catch_unwind(move || {
            kernel::run(async || {
                let got: Rc<Cell<Option<Waker>>> = Rc::default();
                let give = got.clone();
                let task = spawn(async move {
                    let keep = |cx: &mut Context<'_>| {
                        give.set(Some(cx.waker().clone()));
                        Poll::Ready(Ok::<(), TaskCancelled>(()))
                    };
                    std::future::poll_fn(keep).await
                });
                task.wait().await.unwrap();
                *kept.borrow_mut() = got.take();
                Event::new().wait().await.unwrap();
                drop(task);
            });
        });
        ran.is_err()
    });
    assert!(panicked);
}

/// C2, K9: a leaf that outlives the timeout in which it was parked, in another task than its first,
/// leaves the tree of scopes intact.
#[test]
fn a_leaf_that_outlives_a_moved_timeout_leaves_the_tree_whole() {
    type Shared<F> = Rc<RefCell<Pin<Box<F>>>>;
    fn share<F>(future: F) -> Shared<F> {
        Rc::new(RefCell::new(Box::pin(future)))
    }
    testing::run(async || {
        let event = Rc::new(Event::new());
        let leaf = share({
            let event = event.clone();
            async move { event.wait().await }
        });
        let body = {
            let (leaf, mut polled) = (leaf.clone(), false);
            std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut polled, true) {
                    return Poll::Ready(Ok::<(), TaskCancelled>(()));
                }
                assert!(leaf.borrow_mut().as_mut().poll(cx).is_pending());
                Poll::Pending
            })
        };
        let timeout = share(timeout_after(secs(100), body));
        let polls = |ends: bool| {
            let timeout = timeout.clone();
            spawn(async move {
                let poll = |cx: &mut Context<'_>| {
                    Poll::Ready(timeout.borrow_mut().as_mut().poll(cx).is_ready())
                };
                assert_eq!(std::future::poll_fn(poll).await, ends);
                drop(timeout);
                sleep(secs(1000)).await
            })
        };
        let first = polls(false);
        testing::settle().await?;
        let second = polls(true);
        testing::settle().await?;
        drop((timeout, leaf));
        assert_eq!(tasks().len(), 3);
        first.cancel().await?;
        second.cancel().await
    })
    .unwrap();
}

/// G5: under `FirstOk`, a success after all members and the body have failed changes nothing: the
/// first failure is returned.
#[test]
fn a_winner_after_the_end_is_none() {
    testing::run(async || {
        let ended = TaskGroup::<std::io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            g.spawn(async { Err::<(), _>(std::io::Error::other("the last to fail")) });
            let delivered = sleep(secs(1)).await;
            g.spawn(async { Ok(()) });
            Ok(delivered?)
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the last to fail");
    });
}

/// G7: the name of a group refers to no group of another kernel.
#[test]
fn the_name_of_a_group_means_none_in_another_kernel() {
    let stale = testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        group.join().await.unwrap();
        group.by_ref()
    });
    testing::run(async || {
        let group = TaskGroup::<std::io::Error>::new();
        assert!(stale.try_spawn(async { Ok(()) }).is_err(), "spawned among strangers");
        group.join().await.unwrap();
    });
}

/// G7, K5: a group that outlives its kernel takes no members, and keeps nothing alive.
#[test]
fn a_group_of_a_dead_kernel_takes_nobody_in() {
    let mark = Rc::new(());
    let seen = mark.clone();
    let kernel = Kernel::builder().on_report(move |_| assert_eq!(*seen, ())).build().unwrap();
    let (group, task) = kernel.run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        let task = group.spawn(sleep(secs(1)));
        (group, task)
    });
    drop(kernel);
    drop(task);
    assert!(group.try_spawn(sleep(secs(1))).is_ok_and(|late| late.is_done()));
    drop(group);
    assert_eq!(Rc::strong_count(&mark), 1, "the kernel is still there");
}

/// Counts the tasks of the kernel that it is dropped in.
struct Counts(Rc<Cell<Option<usize>>>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.set(Some(tasks().len()));
    }
}

/// A kernel with three parked tasks, one of which counts when it is dropped.
fn counting(seen: &Rc<Cell<Option<usize>>>) -> (Kernel, Task<(), TaskCancelled>) {
    let kernel = Kernel::new().unwrap();
    let counts = Counts(seen.clone());
    let task = kernel.run(async || {
        drop([spawn(sleep(secs(1000))), spawn(sleep(secs(1000)))]);
        let task = spawn(async move {
            let _counts = counts;
            sleep(secs(1000)).await
        });
        yield_now().await.unwrap();
        task
    });
    (kernel, task)
}

/// C11, G4: a destructor finds the kernel of its task, whatever aborts the task and from wherever.
#[test]
fn a_destructor_finds_the_kernel_of_its_task() {
    let seen = Rc::default();
    let (_kernel, task) = counting(&seen);
    task.abort();
    assert_eq!(seen.take(), Some(2), "aborted outside any kernel");
    let (_kernel, task) = counting(&seen);
    testing::run(async || task.abort());
    assert_eq!(seen.take(), Some(2), "aborted from another kernel");
}

/// K3: a foreign waker that panics is reported, and ends neither the kernel nor the wakes behind
/// it.
#[test]
fn a_waker_that_panics_ends_nobody_else() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad waker");
        }
    }
    let reports = Rc::new(Cell::new(0));
    let counter = reports.clone();
    let builder = Kernel::builder().on_report(move |_| counter.set(counter.get() + 1));
    testing::run_with(builder, async || {
        let event = Event::new();
        let (mut first, mut nap) = (Box::pin(event.wait()), Box::pin(sleep(secs(1))));
        let waker = Waker::from(Arc::new(Bad));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut second = Box::pin(event.wait());
        assert!(futures::poll!(second.as_mut()).is_pending());
        event.set();
        assert_eq!(futures::poll!(second.as_mut()), Poll::Ready(Ok(())));
        sleep(secs(2)).await.unwrap();
    });
    assert_eq!(reports.get(), 2);
}

/// K8: a sleep that moves to another kernel of its thread ends there.
#[test]
#[allow(clippy::async_yields_async)]
fn a_sleep_that_moves_to_another_kernel_ends_there() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let nap = kernel.run(async || {
        let mut nap = Box::pin(sleep(secs(1)));
        assert!(futures::poll!(nap.as_mut()).is_pending());
        nap
    });
    testing::run(async || nap.await).unwrap();
    assert_eq!(kernel.leftovers().timers, 0);
}

/// K6, K9: an error whose `Debug` looks at its own task is reported with its text.
#[test]
fn an_error_may_look_at_its_task_while_it_is_shown() {
    struct Looks;
    impl std::fmt::Debug for Looks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "seen with {} tasks alive", tasks().len())
        }
    }
    let ((), reports) = reports::texts(async || {
        drop(spawn(async { Err::<(), _>(Looks) }));
        yield_now().await.unwrap();
    });
    assert!(reports[0].ends_with("seen with 1 tasks alive"), "{reports:?}");
}

/// G3: a body that learns of a failure by joining the sibling that was cancelled for it passes on
/// an echo, also in an error type of its own: the echo is not reported as a failure of the body.
#[test]
fn an_echo_through_a_siblings_join_is_not_reported() {
    #[derive(Debug, thiserror::Error)]
    enum Own {
        #[error("the first to fail")]
        First,
        #[error(transparent)]
        Cancelled(#[from] TaskCancelled),
    }
    let ((), reports) = reports::texts(async || {
        let ended = TaskGroup::<Own>::scope(async |g| {
            let sibling = g.spawn(async { Ok(sleep(secs(9)).await?) });
            g.spawn(async {
                sleep(secs(1)).await?;
                Err::<(), _>(Own::First)
            });
            sibling.await
        })
        .await;
        assert!(matches!(ended, Err(Own::First)), "{ended:?}");
    });
    assert_eq!(reports, [""; 0]);
}

/// K8: a leaf that parks after the kernel has slept counts its parked time from then.
#[test]
fn a_leaf_that_parks_after_a_sleep_of_the_kernel_says_so() {
    // If the job ends before the kernel sleeps, on a busy machine, it proves nothing: try again.
    assert!((0..50).any(|_| parks_after_a_sleep()), "it always parked before the job was done");
}

fn parks_after_a_sleep() -> bool {
    kernel::run(async || {
        let (began, nap) = (kernel::now(), Duration::from_millis(20));
        run_in_thread(move || std::thread::sleep(nap)).await?;
        let waiting = spawn(async { Event::new().wait().await });
        yield_now().await?;
        let info = tasks().into_iter().find(|info| info.id == waiting.id()).unwrap();
        waiting.cancel().await?;
        Ok::<bool, TaskCancelled>(info.parked[0].since >= began + nap)
    })
    .unwrap()
}
