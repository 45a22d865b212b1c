//! Threads that are tasks when the system gives no thread.

use std::sync::mpsc;
use std::thread;

use curium::kernel::{TaskError, TaskGroup, spawn_thread, testing};

use crate::support::children;

/// Says on which thread it is dropped.
struct Drops(mpsc::Sender<thread::ThreadId>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

/// R2, K3: the task panics, and its body is dropped on the kernel's thread and not called. The
/// message names the line of the call and the limits to raise. The kernel goes on, and the next
/// thread is tried again.
#[test]
fn a_task_that_gets_no_thread_panics() {
    let name = children::this_test!();
    if children::role().is_none() {
        let options =
            ["-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN:when=1..3"];
        if let Some(trace) = children::traced(name, "child", &options) {
            assert!(trace.injected("EAGAIN") > 0, "{}", trace.text());
        }
        return;
    }
    testing::run(async || {
        let mut refusals = 0;
        for _ in 0..4 {
            let (dropped, drops) = mpsc::channel();
            let held = Drops(dropped);
            let line = line!() + 1;
            let ended = spawn_thread(move |_| drop(held)).join().await?;
            let Err(TaskError::Panicked(panic)) = ended else { continue };
            for part in [&format!("{}:{line}", file!()), "ulimit -u", "temporarily unavailable"] {
                assert!(panic.message().contains(part), "{}", panic.message());
            }
            assert_eq!(drops.try_iter().collect::<Vec<_>>(), [thread::current().id()]);
            refusals += 1;
        }
        assert!(refusals > 0, "the system has given a thread each time");
        TaskGroup::scope(async |g| g.spawn_thread(|here| here.check()).await).await
    })
    .unwrap();
}
