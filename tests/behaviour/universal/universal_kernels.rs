//! The universal objects between kernels: what holds when a kernel ends or waits for another
//! thread, and when a future moves from a kernel to another thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use curium::kernel::{
    self, Handle, Kernel, TaskCancelled, TaskState, sleep, spawn, tasks, testing, timeout_after,
};
use curium::sync::{UniversalEvent, UniversalQueue};

const MAX: Duration = Duration::MAX;

type Shared = Arc<UniversalQueue<u32>>;

fn all(queue: &UniversalQueue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get()).collect()
}

/// U2, C1, K5: a kernel that ends while its tasks wait leaves no waiter behind. A getter that was
/// handed an item keeps it, although the shutdown cancels it.
#[test]
fn the_waiters_of_a_kernel_that_ends_lose_nothing() {
    let (queue, got) = (Arc::new(UniversalQueue::bounded(1)), UniversalQueue::unbounded());
    let got = Arc::new(got);
    kernel::run(async || {
        for _ in 0..2 {
            let (queue, got) = (queue.clone(), got.clone());
            spawn(async move { got.put(queue.get().await?).await });
        }
        sleep(Duration::from_micros(1)).await.unwrap();
        queue.put(1).await.unwrap();
    });
    assert_eq!((all(&got), all(&queue)), (vec![1], vec![]));
    assert!(format!("{queue:?}").contains("getters: 0, putters: 0"), "{queue:?}");
}

/// U2: a kernel that is dropped while its tasks wait drops them, and they pass on what they had.
#[test]
fn the_waiters_of_a_dropped_kernel_pass_their_items_on() {
    let queue: Shared = Arc::new(UniversalQueue::bounded(1));
    let kernel = Kernel::new().unwrap();
    let left = kernel.run(async || {
        for _ in 0..2 {
            let queue = queue.clone();
            spawn(async move { queue.get().await });
        }
        sleep(Duration::from_micros(1)).await
    });
    left.unwrap();
    queue.try_put(1).unwrap();
    queue.try_put(2).unwrap();
    queue.try_put(3).unwrap();
    assert_eq!((queue.try_put(4).is_err(), queue.len()), (true, 1));
    drop(kernel);
    assert_eq!(all(&queue), [1, 2, 3]);
}

/// U2: a thread that waits for items of a kernel that has ended gives up, or gets those of another.
#[test]
fn a_thread_outwaits_the_end_of_a_kernel() {
    let queue: Shared = Arc::new(UniversalQueue::bounded(1));
    thread::scope(|scope| {
        let getter = scope.spawn(|| [(); 3].map(|()| queue.next_blocking(MAX).unwrap()));
        for item in [1, 2] {
            kernel::run(async || queue.put(item).await).unwrap();
        }
        queue.close();
        assert_eq!(getter.join().unwrap(), [Some(1), Some(2), None]);
    });
}

/// U2, C2: tasks of two kernels wait for one queue; a request from another thread cancels one, and
/// the other gets the item.
#[test]
fn a_cancel_from_another_thread_leaves_the_item_to_another_kernel() {
    let queue: Shared = Arc::new(UniversalQueue::unbounded());
    thread::scope(|scope| {
        let (sender, waiting) = mpsc::channel();
        let first = scope.spawn(|| {
            kernel::run(async || {
                let task = spawn({
                    let queue = queue.clone();
                    async move { queue.get().await }
                });
                sleep(Duration::from_micros(1)).await.unwrap();
                sender.send((kernel::handle(), task.id())).unwrap();
                drop(sender);
                task.join().await.unwrap().is_err()
            })
        });
        let (handle, task) = waiting.recv().unwrap();
        handle.request_cancel(task).unwrap();
        drop(handle);
        assert!(first.join().unwrap(), "it was cancelled");
        let second = scope.spawn(|| kernel::run(async || queue.get().await).unwrap());
        queue.try_put(7).unwrap();
        assert_eq!(second.join().unwrap(), 7);
    });
    assert!(queue.is_empty());
}

/// U1, K8: a task that waits for a thread is in no deadlock: its kernel waits too.
#[test]
fn a_wait_for_a_thread_is_no_deadlock() {
    let (queue, asked) = (UniversalQueue::bounded(1), UniversalQueue::bounded(1));
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let question: u32 = asked.get_blocking(MAX).unwrap();
            queue.put_blocking(question + 1, MAX).unwrap();
        });
        let answer = kernel::run(async || {
            asked.put(1).await?;
            queue.get().await
        });
        assert_eq!(answer.unwrap(), 2);
        thread.join().unwrap();
    });
}

/// U1, K8: on a virtual clock the time does not stand still for such a wait, so its timeout comes.
/// If there is none, the kernel reports a deadlock after five real seconds.
#[test]
fn a_virtual_clock_goes_on_while_a_task_waits_for_a_thread() {
    let event = UniversalEvent::new();
    testing::run(async || {
        assert!(timeout_after(Duration::from_secs(3600), event.wait()).await.is_err());
    });
    let failed = catch_unwind(AssertUnwindSafe(|| testing::run(async || event.wait().await)));
    let message = *failed.unwrap_err().downcast::<String>().expect("a text");
    assert!(message.contains("deadlock") && message.contains("EVENT_WAIT"), "{message}");
}

/// U1, C9: a parked future that is moved to another thread and dropped there leaves no record in
/// its kernel.
#[test]
fn a_future_dropped_on_another_thread_leaves_nothing_behind() {
    static EVENT: UniversalEvent = UniversalEvent::new();
    kernel::run(async || {
        let task = spawn(async {
            let mut wait = Box::pin(EVENT.wait());
            let mut other = Box::pin(EVENT.wait());
            let polled = futures::poll!(&mut wait);
            assert!(polled.is_pending());
            assert!(futures::poll!(&mut other).is_pending());
            let parked = || {
                let me = kernel::current_task();
                me.parked.iter().filter(|leaf| leaf.kind == "EVENT_WAIT").count()
            };
            assert_eq!(parked(), 2);
            thread::scope(|scope| {
                scope.spawn(move || drop(other));
            });
            // The messages are served while the task sleeps.
            sleep(Duration::from_micros(1)).await?;
            drop(wait);
            assert_eq!(parked(), 0);
            Ok::<(), TaskCancelled>(())
        });
        task.await
    })
    .unwrap();
    assert_eq!(format!("{EVENT:?}"), "UniversalEvent { set: false, waiters: 0 }");
}

/// U1, C2: a future that was parked in a kernel goes on under another executor, where it is never
/// cancelled, and the cancellation of the task that it has left goes to another leaf.
#[test]
fn a_parked_future_goes_on_elsewhere() {
    let queue: Shared = Arc::new(UniversalQueue::unbounded());
    let (sender, moved) = mpsc::channel();
    kernel::run(async || {
        let task = spawn({
            let queue = queue.clone();
            async move {
                let mut get = Box::pin(async move { queue.get().await });
                let timed = timeout_after(MAX, async {
                    // Opens the timeout, so that the slot of the task is left to the sleep.
                    assert_eq!(tasks().len(), 2);
                    assert!(futures::poll!(&mut get).is_pending());
                    Ok::<_, TaskCancelled>(())
                });
                timed.await.unwrap()?;
                sender.send(get).unwrap();
                sleep(MAX).await
            }
        });
        sleep(Duration::from_micros(1)).await.unwrap();
        assert_eq!(task.state(), TaskState::Parked("SLEEP"));
        task.cancel().await.unwrap();
        assert_eq!(tasks().len(), 1);
    });
    let mut get = moved.recv().unwrap();
    let noop = &mut Context::from_waker(Waker::noop());
    assert!(get.as_mut().poll(noop).is_pending());
    thread::scope(|scope| {
        let other = scope.spawn(|| futures::executor::block_on(get));
        queue.try_put(7).unwrap();
        assert_eq!(other.join().unwrap().unwrap(), 7);
    });
}

/// U1: a thread that sends requests to a kernel gets the answers through a result of its own.
#[test]
fn a_thread_asks_a_kernel_and_waits_for_the_answer() {
    let (sender, handles) = mpsc::channel::<Handle>();
    let stop = Arc::new(UniversalEvent::new());
    let theirs = stop.clone();
    let server = thread::spawn(move || {
        kernel::run(async || {
            sender.send(kernel::handle()).unwrap();
            theirs.wait().await
        })
    });
    let handle = handles.recv().unwrap();
    let answers: Shared = Arc::new(UniversalQueue::bounded(1));
    for question in 0..10 {
        let answers = answers.clone();
        handle.spawn(move || async move { answers.put(question * question).await }).unwrap();
    }
    let sum: u32 = (0..10).map(|_| answers.get_blocking(MAX).unwrap()).sum();
    assert_eq!(sum, 285);
    drop(handle);
    stop.set();
    server.join().unwrap().unwrap();
}
