//! The side thread: its context, its end, and what it leaves.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use curium::kernel::{self, Kernel, cancellable};
use curium::prelude::*;
use curium_tokio::{StillRunning, TokioThread, run, run_with};

const LONG: Duration = Duration::from_secs(1000);

/// Says where it is dropped.
struct Dropped(mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

/// E3: timers, tasks and blocking calls of tokio work in a task that need not be `Send`.
#[test]
fn what_needs_tokio_runs_inside_a_task() {
    let here = thread::current().id();
    let sum = run(async || {
        let count = Rc::new(Cell::new(0));
        let theirs = count.clone();
        let task = spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            theirs.set(theirs.get() + 1);
            let ran = tokio::spawn(async { thread::current().id() }).await.unwrap();
            assert_ne!(ran, here);
            assert_eq!(thread::current().id(), here);
            theirs.set(theirs.get() + tokio::task::spawn_blocking(|| 1).await.unwrap());
        });
        task.await.unwrap();
        count.get()
    });
    assert_eq!(sum, 2);
}

/// E2, E3: a cancel arrives in a wait for a timer, a channel and a task of tokio.
#[test]
fn a_cancel_arrives_in_each_wait_of_tokio() {
    run(async || {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let endless = tokio::spawn(std::future::pending::<()>());
        let waits = [
            spawn(async { cancellable(tokio::time::sleep(LONG)).await }),
            spawn(async { cancellable(receiver).await.map(drop) }),
            spawn(async { cancellable(endless).await.map(drop) }),
        ];
        yield_now().await?;
        for wait in &waits {
            wait.cancel().await?;
            assert!(matches!(wait.join().await?, Err(TaskError::Cancelled(_))));
        }
        assert!(sender.is_closed());
        assert_eq!(kernel::tasks().len(), 1);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// E3: what a task does in its cleanup may use tokio, also when the kernel shuts down.
#[test]
fn cleanup_at_shutdown_may_use_tokio() {
    let cleaned = Rc::new(Cell::new(false));
    let theirs = cleaned.clone();
    run(async || {
        spawn(async move {
            let Err(cancelled) = sleep(LONG).await else { return Ok(()) };
            tokio::time::sleep(Duration::from_millis(1)).await;
            theirs.set(tokio::spawn(async { true }).await.unwrap());
            Err(cancelled)
        });
        yield_now().await
    })
    .unwrap();
    assert!(cleaned.get());
}

/// E3: when `run` returns, the tasks of tokio are dropped on the side thread, which has ended.
#[test]
fn nothing_of_tokio_outlives_the_run() {
    let (dropped, drops) = mpsc::channel();
    run(async || {
        let dropped = Dropped(dropped);
        tokio::spawn(async move {
            let _dropped = dropped;
            tokio::time::sleep(LONG).await;
        });
    });
    assert_eq!(drops.try_iter().collect::<Vec<_>>(), [Some("tokio".to_owned())]);
    assert!(tokio::runtime::Handle::try_current().is_err());
}

/// E3: a panic of main goes on when the runtime has stopped.
#[test]
fn a_panic_of_main_stops_tokio_and_goes_on() {
    let (dropped, drops) = mpsc::channel();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        run(async || {
            let dropped = Dropped(dropped);
            tokio::spawn(async move {
                let _dropped = dropped;
                std::future::pending::<()>().await;
            });
            panic!("main");
        });
    }));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "main");
    assert_eq!(drops.try_iter().count(), 1);
    assert!(tokio::runtime::Handle::try_current().is_err());
}

/// E3: the panic of a task of tokio is an error of its handle, and the side thread goes on.
#[test]
fn a_panic_on_the_side_thread_stays_in_its_task() {
    run(async || {
        let error = tokio::spawn(async { panic!("there") }).await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(tokio::spawn(async { 1 }).await.unwrap(), 1);
    });
}

/// E3: a blocking call that runs is waited for.
#[test]
fn a_blocking_call_is_waited_for() {
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = ended.clone();
    run(async move || {
        let (begin, begun) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            begin.send(()).unwrap();
            thread::yield_now();
            theirs.store(true, Ordering::SeqCst);
        });
        begun.await.unwrap();
    });
    assert!(ended.load(Ordering::SeqCst));
}

/// E3: what does not return is left behind when the limit is over, and that is said.
#[test]
fn what_does_not_return_is_left_behind() {
    for blocking in [true, false] {
        let tokio = TokioThread::start().unwrap();
        let (release, released) = mpsc::channel::<()>();
        {
            let _context = tokio.enter();
            Kernel::new().unwrap().run(async || {
                let (begin, begun) = tokio::sync::oneshot::channel();
                let wait = move || {
                    begin.send(()).unwrap();
                    let _ = released.recv();
                };
                if blocking {
                    tokio::task::spawn_blocking(wait);
                } else {
                    tokio::spawn(async { wait() });
                }
                begun.await.unwrap();
            });
        }
        assert_eq!(tokio.stop(Duration::from_millis(10)), Err(StillRunning));
        drop(release);
    }
    let idle = TokioThread::start().unwrap();
    assert_eq!(idle.stop(Duration::MAX), Ok(()));
}

/// E3: the kernel has the settings that it is given; tokio keeps the real time beside a virtual
/// clock.
#[test]
fn a_kernel_with_a_virtual_clock_runs_beside_tokio() {
    run_with(Kernel::builder().virtual_clock(), async || {
        let begun = kernel::now();
        sleep(LONG).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(kernel::now() - begun, LONG);
    });
}
