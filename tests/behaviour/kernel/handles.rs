//! A handle keeps its kernel waiting, and no longer than it lives (K8).

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kernel::{Builder, Handle, Kernel, TaskCancelled, handle, spawn, testing};

/// The final panic of a kernel whose tasks wait for nothing, while `hold` has its handle on another
/// thread. It fails instead of hanging.
fn deadlock_of(
    builder: impl FnOnce() -> Builder + Send + 'static,
    hold: impl FnOnce(Handle) + Send + 'static,
) -> String {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            builder().run(async || {
                let (handle, kernel) = (handle(), this_thread());
                thread::spawn(move || {
                    until_asleep(&kernel);
                    hold(handle);
                });
                pending::<()>().await;
            });
        }));
        let payload = ran.expect_err("nothing ends it");
        done.send(payload.downcast_ref::<String>().expect("a message").clone())
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("it hangs, or has panicked elsewhere")
}

/// Where the system shows the state of this thread.
fn this_thread() -> Option<std::path::PathBuf> {
    let thread = std::fs::read_link("/proc/thread-self").ok()?;
    Some(std::path::Path::new("/proc").join(thread).join("stat"))
}

/// Returns once that thread sleeps, most likely in the poll, where a message must wake it. Returns
/// at once if the system does not show it.
fn until_asleep(thread: &Option<std::path::PathBuf>) {
    let Some(stat) = thread else { return };
    while std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") S ")) {
        thread::yield_now();
    }
}

/// K8: a kernel that sleeps because a handle is alive is notified when the handle is dropped, and
/// then nothing is left that could wake a task.
#[test]
fn the_end_of_the_last_handle_is_heard() {
    let real = deadlock_of(Kernel::builder, drop);
    assert!(real.contains("deadlock") && real.contains("main"), "{real}");
    let on_virtual_clock = deadlock_of(|| Kernel::builder().virtual_clock(), drop);
    assert!(on_virtual_clock.contains("deadlock"), "{on_virtual_clock}");
}

/// K8: of several handles, the last one that is dropped notifies it, and no earlier one.
#[test]
fn the_end_of_one_of_several_handles_is_no_deadlock() {
    let (sender, heard) = mpsc::channel();
    let message = deadlock_of(Kernel::builder, move |first| {
        let second = first.clone();
        drop(first);
        // It still serves.
        let spawned = second.spawn(move || async move {
            sender.send(()).unwrap();
            Ok::<(), TaskCancelled>(())
        });
        assert_eq!(spawned, Ok(()));
        heard.recv().unwrap();
    });
    assert!(message.contains("deadlock"), "{message}");
}

/// K8: handles that come and go in the kernel's own tasks post no messages: nothing piles up, and
/// the virtual clock goes on.
#[test]
fn handles_that_come_and_go_at_home_change_nothing() {
    testing::run(async || {
        let before = kernel::now();
        let hour = spawn(kernel::sleep(Duration::from_secs(3600)));
        for _ in 0..1_000 {
            drop(handle());
        }
        hour.wait().await.unwrap();
        assert_eq!(kernel::now() - before, Duration::from_secs(3600));
    });
}
