//! Calls of another kernel, swept (P2).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use curium::kernel::{Handle, Result, TaskCancelled, handle, run, testing, yield_now};
use curium::sync::UniversalEvent;

use super::checks::{assert_tried, undisturbed};

/// A kernel on another thread, which is called. `Drop` ends it.
struct Other {
    handle: Handle,
    over: Arc<UniversalEvent>,
    thread: Option<thread::JoinHandle<()>>,
    /// The futures that began, and those that ended or were dropped.
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

/// Counts a future that is gone.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Other {
    fn new() -> Self {
        let (give, take) = mpsc::channel();
        let over = Arc::new(UniversalEvent::new());
        let ends = over.clone();
        let thread = thread::spawn(move || {
            run(async || {
                give.send(handle()).expect("it is awaited");
                ends.wait().await.expect("it is not cancelled");
            });
        });
        let handle = take.recv().expect("a handle");
        Other { handle, over, thread: Some(thread), begun: Arc::default(), ended: Arc::default() }
    }

    /// Calls a future that waits once, and cleans up if it is cancelled.
    async fn call(&self) -> Result<u32> {
        let (begun, gone) = (self.begun.clone(), Gone(self.ended.clone()));
        let called = self.handle.call_async(move || async move {
            let _gone = gone;
            begun.fetch_add(1, Ordering::Relaxed);
            if let Err(cancelled) = yield_now().await {
                yield_now().await?; // a cleanup that waits
                return Err(cancelled);
            }
            Ok::<_, TaskCancelled>(7)
        });
        called.await?
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.over.set();
        let ended = self.thread.take().expect("it is joined once").join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// V1, P2: wherever its caller is cancelled or dropped, a call gives its value once or passes the
/// cancellation on, and its future is gone when the other kernel ends.
#[test]
fn a_call_leaves_nothing_in_the_other_kernel() {
    let taken = Rc::new(Cell::new(0));
    let counted = taken.clone();
    let setup = async || Other::new();
    let subject = move |other: Rc<Other>| {
        let taken = taken.clone();
        async move {
            taken.set(0);
            for _ in 0..2 {
                assert_eq!(other.call().await?, 7);
                taken.set(taken.get() + 1);
            }
            Ok::<_, TaskCancelled>(())
        }
    };
    let swept = testing::sweep().run(setup, subject, async move |other, run| {
        // A second call waits behind what the first has left to the other kernel.
        let began = other.handle.call_async(async || ()).await;
        began.expect("main is not cancelled");
        assert!(!undisturbed(run) || counted.get() == 2);
    });
    assert_tried(&swept, &["CALL"], 2, 10);
}
