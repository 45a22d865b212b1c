//! Futures that do not support cancellation, and leaves that do not need a kernel (C9, C12).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    Kernel, Report, TaskCancelled, TaskError, TaskState, cancellable, interval, run_in_thread,
    shield, sleep, spawn_named, testing, timeout_after, yield_now,
};
use sync::{Event, Lock, Queue, Semaphore};

use crate::support::children;
use crate::support::time::secs;

/// Runs `main`, and gives the names of the tasks that were reported as unreachable by a cancel.
fn warnings(main: impl AsyncFnOnce(&RefCell<Vec<String>>)) -> Vec<String> {
    let names = Rc::new(RefCell::new(Vec::new()));
    let sink = names.clone();
    let builder = Kernel::builder().on_report(move |report| {
        if let Report::Foreign(task) = report {
            sink.borrow_mut().push(task.name.clone());
        }
    });
    testing::run_with(builder, async || main(&names).await);
    names.take()
}

/// Sets a flag when it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// C9: a cancel drops the foreign future, and gives the error.
#[test]
fn cancellable_drops_the_foreign_future_on_a_cancel() {
    testing::run(async || {
        let dropped = Rc::new(Cell::new(false));
        let guard = Dropped(dropped.clone());
        let seen = dropped.clone();
        let task = spawn_named("wrapped", async move {
            let foreign = async move {
                let _guard = guard;
                pending::<()>().await;
            };
            let error = cancellable(foreign).await;
            assert!(seen.get(), "before the error is out");
            sleep(secs(1)).await?;
            error
        });
        testing::settle().await.unwrap();
        assert_eq!(task.state(), TaskState::Parked("FOREIGN_WAIT"));
        task.cancel().await.unwrap();
        assert!(dropped.get());
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// C1, C9: its completion wins over a cancel. A timeout ends it like a leaf.
#[test]
fn cancellable_gives_the_value_that_is_there() {
    testing::run(async || {
        let (sender, receiver) = oneshot::channel();
        let task = spawn_named("wrapped", async {
            let got = cancellable(receiver).await?.unwrap();
            Ok::<_, TaskCancelled>((got, sleep(secs(1)).await.is_err()))
        });
        testing::settle().await.unwrap();
        task.request_cancel();
        sender.send(7).unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), (7, true));
        assert!(timeout_after(secs(1), cancellable(pending::<()>())).await.is_err());
        assert_eq!(cancellable(async { 8 }).await, Ok(8));
    });
}

/// C9: a cancelled task in a foreign future is shown as such, and reported once, after a second.
#[test]
fn a_cancelled_task_out_of_reach_is_warned_of_after_a_second() {
    let names = warnings(async |names| {
        let task = spawn_named("out of reach", async {
            pending::<()>().await;
            Ok::<_, TaskCancelled>(())
        });
        sleep(secs(5)).await.unwrap();
        assert_eq!(task.state(), TaskState::Foreign);
        assert_eq!(task.state().to_string(), "FOREIGN");
        assert_eq!(*names.borrow(), [""; 0], "no task cancelled it");
        task.request_cancel();
        sleep(Duration::from_millis(900)).await.unwrap();
        assert_eq!(*names.borrow(), [""; 0], "not yet");
        sleep(Duration::from_millis(200)).await.unwrap();
        assert_eq!(*names.borrow(), ["out of reach"]);
        sleep(secs(5)).await.unwrap();
        task.abort();
    });
    assert_eq!(names, ["out of reach"]);
}

/// C9: a task that ends in time, or is also parked in a leaf of Curium, is not reported.
#[test]
fn who_can_be_reached_is_not_warned_of() {
    let names = warnings(async |_| {
        let (sender, receiver) = oneshot::channel::<()>();
        let in_time = spawn_named("in time", async {
            receiver.await.ok();
            Ok::<_, TaskCancelled>(())
        });
        let beside = spawn_named("beside", async {
            futures::join!(pending::<()>(), sleep(Duration::MAX)).1
        });
        let cleaning = spawn_named("cleaning", async {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(10)).await
        });
        testing::settle().await.unwrap();
        for task in [&in_time, &beside, &cleaning] {
            task.request_cancel();
        }
        sleep(Duration::from_millis(900)).await.unwrap();
        sender.send(()).unwrap();
        in_time.join().await.unwrap().unwrap();
        cleaning.join().await.unwrap().unwrap();
        beside.abort();
    });
    assert_eq!(names, [""; 0]);
}

/// C9: a timed-out body in a foreign future is reported, too.
#[test]
fn a_timed_out_task_out_of_reach_is_warned_of() {
    let names = warnings(async |_| {
        let task = spawn_named("timed out", async {
            let body = async {
                pending::<()>().await;
                Ok::<_, TaskCancelled>(())
            };
            timeout_after(secs(1), body).await.ok();
            Ok::<_, TaskCancelled>(())
        });
        sleep(secs(3)).await.unwrap();
        assert_eq!(task.state(), TaskState::Foreign);
        task.abort();
    });
    assert_eq!(names, ["timed out"]);
}

/// C9: also inside a combinator that polls a child only if the child's own waker was woken.
#[test]
fn a_timed_out_child_out_of_reach_is_warned_of() {
    let names = warnings(async |_| {
        let task = spawn_named("timed out", async {
            let body = async {
                pending::<()>().await;
                Ok::<_, TaskCancelled>(())
            };
            let mut children = FuturesUnordered::new();
            children.push(timeout_after(secs(1), body));
            children.next().await;
            Ok::<_, TaskCancelled>(())
        });
        sleep(secs(3)).await.unwrap();
        assert_eq!(task.state(), TaskState::Foreign);
        task.abort();
    });
    assert_eq!(names, ["timed out"]);
}

/// C12: the primitives work under any executor, and are not cancelled there.
#[test]
fn sync_primitives_work_under_a_foreign_executor() {
    tokio_test::block_on(async {
        let event = Event::new();
        let (waited, ()) = futures::join!(event.wait(), async { event.set() });
        assert_eq!(waited, Ok(()));

        let permits = Semaphore::new(0);
        let (granted, ()) =
            futures::join!(permits.acquire_many(2), async { permits.add_permits(2) });
        assert_eq!(granted.unwrap().count(), 2);

        let lock = Lock::new(1);
        let held = lock.acquire().await.unwrap();
        let (other, ()) = futures::join!(lock.acquire(), async move { drop(held) });
        *other.unwrap() += 1;
        assert_eq!(lock.into_inner(), 2);

        let queue = Queue::bounded(1);
        let put = async {
            queue.put(1).await.unwrap();
            queue.put(2).await.unwrap();
        };
        let get = async { (queue.get().await.unwrap(), queue.get().await.unwrap()) };
        assert_eq!(futures::join!(put, get).1, (1, 2));
    });
}

/// C12: so do a yield, a shield and `cancellable`.
#[test]
fn leaves_that_need_no_kernel_work_without_one() {
    tokio_test::block_on(async {
        assert_eq!(yield_now().await, Ok(()));
        assert_eq!(cancellable(async { 7 }).await, Ok(7));
        assert_eq!(shield(yield_now()).await, Ok(()));
    });
    let mut yielding = tokio_test::task::spawn(yield_now());
    assert!(yielding.poll().is_pending());
    assert!(yielding.is_woken());
    tokio_test::assert_ready_ok!(yielding.poll());
}

/// C12: a leaf that is polled by hand inside a kernel task belongs to that task.
#[test]
fn a_leaf_under_another_executor_inside_a_task_is_cancelled_with_the_task() {
    testing::run(async || {
        let task = spawn_named("both", async {
            let event = Event::new();
            let mut hand = tokio_test::task::spawn(event.wait());
            assert!(hand.poll().is_pending());
            assert!(sleep(Duration::MAX).await.is_err());
            assert!(hand.is_woken());
            let std::task::Poll::Ready(ended) = hand.poll() else { panic!("it was marked") };
            ended
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

thread_local! {
    /// The place and the message of this thread's last panic.
    static PANICKED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The place and the message of the panic of `f`. It sets the hook of the process.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICKED.with(|panicked| *panicked.borrow_mut() = info.to_string());
            previous(info);
        }));
    });
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "it did not panic");
    PANICKED.with(RefCell::take)
}

/// Asserts that the panic names a line of this file.
#[track_caller]
fn assert_names(what: &str, text: &str, line: u32) {
    let site = format!("{}:{line}", file!());
    assert!(text.contains(&site), "{what}: no {site} in {text:?}");
    assert!(text.contains("outside a kernel"), "{what}: {text:?}");
}

/// C12: a leaf that needs a kernel panics without one, and names the line that called it.
#[test]
fn a_leaf_that_needs_a_kernel_names_its_call_site_without_one() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let text = panic_of(|| tokio_test::block_on(sleep(secs(1))));
    assert_names("sleep", &text, line!() - 1);
    let text = panic_of(|| tokio_test::block_on(timeout_after(secs(1), yield_now())));
    assert_names("timeout_after", &text, line!() - 1);
    let text = panic_of(|| tokio_test::block_on(run_in_thread(|| 7)));
    assert_names("run_in_thread", &text, line!() - 1);
    let text = panic_of(|| kernel::spawn(async { Ok::<_, TaskCancelled>(()) }));
    assert_names("spawn", &text, line!() - 1);
    let text = panic_of(kernel::TaskGroup::<TaskCancelled>::new);
    assert!(text.contains("outside a kernel"), "{text:?}");
}

/// C12: the tick of an interval names the line of its call as well.
#[test]
fn a_tick_without_a_kernel_names_its_call_site() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let mut ticks = interval(secs(1));
    let text = panic_of(|| tokio_test::block_on(ticks.tick()));
    assert_names("tick", &text, line!() - 1);
}
