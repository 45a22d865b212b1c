//! Calls of threads without a kernel into one (R3).

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{
    self, CancelReason, Handle, Kernel, KernelGone, TaskCancelled, sleep, yield_now,
};
use curium::sync::{UniversalEvent, UniversalQueue};

use crate::support::reports;
use crate::support::time::{SECOND, secs};

/// Records on which thread it is dropped.
struct Drops(Sender<ThreadId>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

/// A thread that makes calls with a handle of this kernel. Its value comes without blocking the
/// kernel.
fn calls<T: Send + 'static>(
    call: impl FnOnce(Handle) -> T + Send + 'static,
) -> (JoinHandle<()>, Arc<UniversalQueue<T>>) {
    let (handle, value) = (kernel::handle(), Arc::new(UniversalQueue::bounded(1)));
    let theirs = value.clone();
    (thread::spawn(move || drop(theirs.try_put(call(handle)))), value)
}

/// R3, C11: the future is built, polled and dropped on the kernel's thread, and need not be `Send`.
/// Its output comes to the caller.
#[test]
fn a_call_runs_a_future_on_the_kernel() {
    testing::run(async || {
        let (dropped, drops) = mpsc::channel();
        let (thread, value) = calls(move |handle| {
            handle.call(move || {
                let not_send = Rc::new(Drops(dropped));
                async move {
                    sleep(secs(3600)).await?;
                    let _not_send = not_send;
                    Ok::<_, TaskCancelled>((thread::current().id(), kernel::current_task().name))
                }
            })
        });
        let (ran, name) = value.get().await?.unwrap()?;
        assert_eq!(ran, thread::current().id());
        assert!(name.ends_with("a_call_runs_a_future_on_the_kernel"), "{name}");
        assert_eq!(drops.try_iter().collect::<Vec<_>>(), [ran]);
        thread.join().unwrap();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R3, K3: the panic of `build` or of the future goes on in the caller. The kernel goes on, and
/// reports nothing.
#[test]
fn the_panic_of_a_future_goes_on_in_its_caller() {
    fn message<T>(run: impl FnOnce() -> T) -> String {
        let panic = catch_unwind(AssertUnwindSafe(run)).err().expect("a panic");
        (*panic.downcast_ref::<&str>().expect("a text")).to_owned()
    }
    let (messages, texts) = reports::texts(async || {
        let (thread, value) = calls(|handle| {
            let build = message(|| handle.call(|| -> std::future::Ready<()> { panic!("build") }));
            let poll = message(|| {
                handle.call(|| async {
                    yield_now().await.unwrap();
                    panic!("poll");
                })
            });
            [build, poll]
        });
        let messages = value.get().await.unwrap();
        thread.join().unwrap();
        messages
    });
    assert_eq!(messages, ["build", "poll"]);
    assert_eq!(texts, Vec::<String>::new());
}

/// R3: many threads call at once, and each gets its own output.
#[test]
fn each_caller_gets_its_own_output() {
    testing::run(async || {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                calls(move |handle| {
                    for turn in 0..50 {
                        let output = handle.call(move || async move {
                            yield_now().await?;
                            Ok::<_, TaskCancelled>((thread, turn))
                        });
                        assert_eq!(output, Ok(Ok((thread, turn))));
                    }
                })
            })
            .collect();
        for (thread, value) in threads {
            value.get().await?;
            thread.join().unwrap();
        }
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R3: a kernel that is gone refuses; `build` is dropped by the caller.
#[test]
fn a_kernel_that_is_gone_refuses_a_call() {
    let handle = testing::run(async || kernel::handle());
    let (dropped, drops) = mpsc::channel();
    let held = Drops(dropped);
    let refused = handle.call(move || {
        drop(held);
        ready(())
    });
    assert_eq!(refused, Err(KernelGone));
    assert_eq!(KernelGone.to_string(), "the kernel is gone");
    assert_eq!(drops.recv(), Ok(thread::current().id()));
}

/// R3: a kernel that goes while the caller waits lets it go, and drops the future on its own
/// thread.
#[test]
fn a_caller_is_let_go_when_the_kernel_goes() {
    let (dropped, drops) = mpsc::channel();
    let (came, comes) = mpsc::channel();
    let kernel = Kernel::builder().build().unwrap();
    let handle = kernel.handle();
    let caller = thread::spawn(move || {
        let held = Drops(dropped);
        handle.call(move || {
            came.send(()).unwrap();
            async move {
                let _held = held;
                pending::<()>().await;
            }
        })
    });
    kernel.run(async || {
        while comes.try_recv().is_err() {
            sleep(Duration::from_micros(100)).await.unwrap();
        }
    });
    drop(kernel);
    assert_eq!(caller.join().unwrap(), Err(KernelGone));
    assert_eq!(drops.recv(), Ok(thread::current().id()));
}

/// R3: the same for a call that the kernel has not come to. Its `build` is dropped and not called.
#[test]
fn a_caller_is_let_go_by_a_kernel_that_never_runs() {
    let (dropped, drops) = mpsc::channel();
    let kernel = Kernel::builder().build().unwrap();
    let handle = kernel.handle();
    let (calls, called) = mpsc::channel();
    let caller = thread::spawn(move || {
        let held = Drops(dropped);
        calls.send(()).unwrap();
        handle.call(move || {
            drop(held);
            async { unreachable!("it is not called") }
        })
    });
    called.recv().unwrap();
    // The call may find the mailbox open or closed. It is refused in both cases.
    drop(kernel);
    assert_eq!(caller.join().unwrap(), Err::<(), _>(KernelGone));
    assert_eq!(drops.iter().count(), 1);
}

/// R3: a kernel that is built and does not run is not gone. The call waits for its next run.
#[test]
fn a_call_waits_for_a_kernel_that_does_not_run() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let (handle, value) = (kernel.handle(), Arc::new(UniversalQueue::bounded(1)));
    let theirs = value.clone();
    let caller = thread::spawn(move || {
        theirs.try_put(handle.call(|| async { sleep(SECOND).await.is_ok() })).unwrap();
    });
    assert_eq!(kernel.run(async || value.get().await.unwrap()), Ok(true));
    caller.join().unwrap();
    kernel.shutdown();
}

/// R3, K5: the shutdown cancels the future of a call, and the caller gets what the future makes of
/// it, after its cleanup.
#[test]
fn a_call_is_cancelled_by_the_shutdown() {
    let (came, comes) = mpsc::channel();
    let caller = testing::run(async || {
        let (handle, come) = (kernel::handle(), Arc::new(UniversalEvent::new()));
        let theirs = come.clone();
        let caller = thread::spawn(move || {
            let output = handle.call(move || async move {
                theirs.set();
                let cancelled = sleep(secs(3600)).await.unwrap_err();
                sleep(SECOND).await.expect("the cleanup is not cancelled");
                cancelled.reason()
            });
            came.send(output).unwrap();
        });
        come.wait().await.unwrap();
        caller
    });
    caller.join().unwrap();
    assert_eq!(comes.recv(), Ok(Ok(CancelReason::Shutdown)));
}

/// R3, C10: when the grace of the shutdown is over, the future is dropped, and for its caller the
/// kernel is gone.
#[test]
fn the_grace_of_a_shutdown_ends_a_call() {
    let builder = Kernel::builder().shutdown_grace(SECOND).report_swallowed(false);
    let aborted = |report: &kernel::Report<'_>| Some(report.to_string());
    let (caller, texts) = reports::picked(builder, aborted, async || {
        let (handle, come) = (kernel::handle(), Arc::new(UniversalEvent::new()));
        let theirs = come.clone();
        let caller = thread::spawn(move || {
            handle.call(move || async move {
                theirs.set();
                loop {
                    sleep(secs(7)).await.ok();
                }
            })
        });
        come.wait().await.unwrap();
        caller
    });
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(caller.join().unwrap(), Err::<(), _>(KernelGone));
}

/// R3: a call on the thread of a kernel, this one or another, is a panic and not a deadlock.
#[test]
fn a_call_on_the_thread_of_a_kernel_is_a_clear_panic() {
    let other = Kernel::builder().build().unwrap();
    let other = other.handle();
    testing::run(async || {
        for handle in [kernel::handle(), other] {
            let refused = catch_unwind(AssertUnwindSafe(|| handle.call(|| ready(()))));
            let panic = refused.expect_err("it is refused");
            let text = panic.downcast_ref::<String>().expect("a message");
            assert!(text.contains("`Handle::call` would block the kernel"), "{text}");
        }
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}
