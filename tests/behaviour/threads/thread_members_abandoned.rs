//! Threads whose tasks are gone (R2).

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ThreadId};
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{
    self, AbandonedThread, Builder, CancelReason, Kernel, Task, TaskCancelled, TaskEnd, TaskGroup,
    abandoned_threads, sleep, spawn_thread, spawn_thread_named, yield_now,
};

use crate::support::reports;
use crate::support::time::secs;

/// A thread that computes until the sender is dropped, and sends its reasons to stop.
fn stuck(reasons: Sender<CancelReason>) -> (Task<(), TaskCancelled>, Sender<()>) {
    let (go, gate) = mpsc::channel::<()>();
    let task = spawn_thread_named("stuck", move |here| {
        let _ = gate.recv();
        for _ in 0..2 {
            let check = here.check().unwrap_err();
            let wait = here.wait(|| async { unreachable!("it is not run") }).unwrap_err();
            let _: () = reasons.send(check.reason()).unwrap();
            reasons.send(wait.reason()).unwrap();
        }
    });
    (task, go)
}

/// The reasons of the thread, when it has ended.
fn all(reasons: &Receiver<CancelReason>) -> Vec<CancelReason> {
    reasons.iter().collect()
}

/// Waits until no thread is abandoned any more, which no message shows.
fn until_none_is_left() {
    while !abandoned_threads().is_empty() {
        thread::yield_now();
    }
}

/// Runs `main` on the real clock; gives its value, and the text of every report.
fn on_the_real_clock<T>(builder: Builder, main: impl AsyncFnOnce() -> T) -> (T, Vec<String>) {
    let texts = Rc::new(RefCell::new(Vec::new()));
    let sink = texts.clone();
    let value =
        builder.on_report(move |report| sink.borrow_mut().push(report.to_string())).run(main);
    (value, texts.take())
}

const MS: Duration = Duration::from_millis(1);

/// Records on which thread it is dropped.
struct Drops(Sender<ThreadId>);

impl Drop for Drops {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

/// R2: when its task is aborted, the thread goes on, `here` refuses, and the thread is listed until
/// it ends.
#[test]
fn the_thread_of_an_aborted_task_is_abandoned() {
    testing::run(async || {
        let (send, reasons) = mpsc::channel();
        let line = line!() - 1;
        let (task, go) = stuck(send);
        yield_now().await?;
        assert_eq!(abandoned_threads(), []);
        task.abort();
        assert_eq!(task.end(), Some(TaskEnd::Aborted));
        let [AbandonedThread { name, site, since, .. }] = &*abandoned_threads() else { panic!() };
        assert_eq!((&**name, site.file()), ("stuck", file!()));
        assert!(site.line() < line);
        assert_eq!(*since, kernel::now());
        drop(go);
        assert_eq!(all(&reasons), [CancelReason::Abandoned; 4]);
        until_none_is_left();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2: a thread that waits on the kernel when its task is aborted comes back at once. Its future is
/// dropped on the kernel's thread before the abort returns.
#[test]
fn a_waiting_thread_comes_back_when_its_task_is_aborted() {
    testing::run(async || {
        let (dropped, drops) = mpsc::channel();
        let (send, reasons) = mpsc::channel();
        let task = spawn_thread(move |here| {
            let held = Drops(dropped);
            let waited = here.wait(move || async move {
                let _held = held;
                pending::<()>().await;
            });
            send.send(waited.unwrap_err().reason()).unwrap();
            send.send(here.check().unwrap_err().reason()).unwrap();
        });
        testing::settle().await?;
        task.abort();
        assert_eq!(drops.try_recv(), Ok(thread::current().id()));
        assert_eq!(all(&reasons), [CancelReason::Abandoned; 2]);
        until_none_is_left();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2: a task that is aborted before its first poll starts no thread. Its body is dropped there.
#[test]
fn a_task_that_is_aborted_at_once_starts_no_thread() {
    testing::run(async || {
        let (dropped, drops) = mpsc::channel();
        let held = Drops(dropped);
        let task = spawn_thread(move |_| drop(held));
        task.abort();
        assert_eq!(drops.recv(), Ok(thread::current().id()));
        assert_eq!(abandoned_threads(), []);
    });
}

/// R2: what an abandoned thread returns is dropped on the thread.
#[test]
fn the_late_value_of_an_abandoned_thread_is_dropped_there() {
    testing::run(async || {
        let (dropped, drops) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let task = spawn_thread(move |_| {
            let _ = gate.recv();
            Ok::<_, TaskCancelled>(Drops(dropped))
        });
        yield_now().await?;
        task.abort();
        drop(go);
        assert_ne!(drops.recv(), Ok(thread::current().id()));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, G12: the grace of a group abandons a thread that does not ask, and names its task. On the
/// real clock, because a virtual one waits for a thread that computes.
#[test]
fn a_grace_abandons_a_thread() {
    let (send, reasons) = mpsc::channel();
    let ((go, listed), texts) = on_the_real_clock(Kernel::builder(), async || {
        let (go, gate) = mpsc::channel::<()>();
        let ended = TaskGroup::<Failure>::scope_within(MS, async |g| {
            g.spawn_thread(move |here| {
                let _ = gate.recv();
                send.send(here.check().unwrap_err().reason()).unwrap();
                Ok(())
            });
            yield_now().await?;
            Err::<(), _>(Failure)
        })
        .await;
        ended.expect_err("the body has failed");
        (go, abandoned_threads().len())
    });
    assert_eq!(listed, 1);
    let [grace, left] = &*texts else { panic!("{texts:?}") };
    assert!(grace.starts_with("aborted, its grace is over") && grace.contains("THREAD"), "{grace}");
    assert!(left.contains("a_grace_abandons_a_thread, started at"), "{left}");
    drop(go);
    assert_eq!(all(&reasons), [CancelReason::Abandoned]);
}

#[derive(Debug)]
struct Failure;

impl From<TaskCancelled> for Failure {
    fn from(_: TaskCancelled) -> Self {
        Failure
    }
}

/// R2: the shutdown names the threads that are still abandoned, and does not wait for them.
#[test]
fn the_shutdown_names_abandoned_threads() {
    let (send, reasons) = mpsc::channel();
    let (go, texts) = reports::texts(async || {
        let (task, go) = stuck(send);
        yield_now().await.unwrap();
        task.abort();
        go
    });
    let [text] = &*texts else { panic!("{texts:?}") };
    let expected = "the shutdown leaves 1 abandoned thread running:\n  stuck, started at ";
    assert!(text.starts_with(expected) && text.contains(file!()), "{text}");
    drop(go);
    assert_eq!(all(&reasons), [CancelReason::Abandoned; 4]);
}

/// R2, C10: the grace of the shutdown abandons a thread that does not end, and both reports name
/// it.
#[test]
fn the_grace_of_a_shutdown_abandons_a_thread() {
    let (send, reasons) = mpsc::channel();
    let builder = Kernel::builder().shutdown_grace(MS);
    let (go, texts) = on_the_real_clock(builder, async || {
        let (_, go) = stuck(send);
        yield_now().await.unwrap();
        go
    });
    let [grace, left] = &*texts else { panic!("{texts:?}") };
    assert!(grace.starts_with("aborted, its grace is over") && grace.contains("stuck"), "{grace}");
    assert!(left.contains("stuck, started at"), "{left}");
    drop(go);
    assert_eq!(all(&reasons), [CancelReason::Abandoned; 4]);
}

/// R2, K5: a kernel that is dropped abandons its threads.
#[test]
fn a_dropped_kernel_abandons_its_threads() {
    let (send, reasons) = mpsc::channel();
    let kernel = Kernel::builder().build().unwrap();
    let go = kernel.run(async || {
        let (_, go) = stuck(send);
        yield_now().await.unwrap();
        go
    });
    drop(kernel);
    drop(go);
    assert_eq!(all(&reasons), [CancelReason::Abandoned; 4]);
}

/// R2, K8: a virtual clock does not wait for an abandoned thread.
#[test]
fn the_virtual_clock_does_not_wait_for_an_abandoned_thread() {
    testing::run(async || {
        let (send, reasons) = mpsc::channel();
        let (task, go) = stuck(send);
        yield_now().await?;
        task.abort();
        sleep(secs(3600)).await?;
        drop(go);
        assert_eq!(all(&reasons).len(), 4);
        until_none_is_left();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}
