//! What a cancellation runs of a program, wakers and conversions of errors, may use other kernels.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use curium::sync::Event;
use kernel::{Kernel, TaskCancelled, race, sleep, spawn, testing, unless_cancelled};

type Ended = Result<(), TaskCancelled>;

thread_local! {
    /// A kernel with a sleeping task, that some code drops.
    static OTHER: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    /// How many of its tasks were dropped.
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

fn set_other() {
    let other = Kernel::builder().virtual_clock().build().unwrap();
    other.run(async || {
        spawn(async {
            let _counted = Counted;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
    });
    OTHER.set(Some(other));
}

/// Drops the other kernel. False: that was done before.
fn drop_other() -> bool {
    OTHER.take().is_some()
}

struct DropsOther(AtomicUsize);

impl Wake for DropsOther {
    fn wake(self: Arc<Self>) {
        drop_other();
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// C15, K5: a cancellation that is put back wakes a leaf whose waker drops another kernel.
#[test]
fn a_waker_may_drop_a_kernel_when_a_cancellation_is_put_back() {
    set_other();
    let waker = Arc::new(DropsOther(AtomicUsize::new(0)));
    let kept = waker.clone();
    testing::run(async || {
        let task = spawn(async move {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            let mut leaf = pin!(sleep(Duration::MAX));
            let foreign = Waker::from(kept);
            assert!(leaf.as_mut().poll(&mut Context::from_waker(&foreign)).is_pending());
            cancelled.put_back();
            leaf.await
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
    });
    assert_eq!(waker.0.load(Ordering::Relaxed), 1);
    assert_eq!(DROPPED.take(), 1);
}

/// C10, K5: a leaf that another waker has parked is cancelled, and the drop of that waker drops
/// another kernel.
#[test]
fn a_waker_may_drop_a_kernel_when_its_leaf_is_cancelled() {
    struct DropsOther;

    impl Wake for DropsOther {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for DropsOther {
        fn drop(&mut self) {
            assert!(drop_other());
        }
    }

    set_other();
    testing::run(async || {
        let leaf: Pin<Box<dyn Future<Output = Ended>>> =
            Box::pin(async { Event::new().wait().await });
        let leaf = Rc::new(RefCell::new(leaf));
        let foreign = Waker::from(Arc::new(DropsOther));
        let first = leaf.borrow_mut().as_mut().poll(&mut Context::from_waker(&foreign));
        assert!(first.is_pending());
        drop(foreign);
        let task = spawn(std::future::poll_fn(move |cx| leaf.borrow_mut().as_mut().poll(cx)));
        task.request_cancel();
        assert!(task.join().await.unwrap().is_err());
    });
    assert_eq!(DROPPED.take(), 1);
}

/// An error that shows nothing of the cancellation that it was made of.
struct Opaque;

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque")
    }
}

impl From<TaskCancelled> for Opaque {
    fn from(_: TaskCancelled) -> Self {
        drop_other();
        Opaque
    }
}

/// C16, K5: the conversion by which an error is compared with a cancellation drops another kernel.
#[test]
fn a_conversion_may_drop_a_kernel() {
    let look: [fn(); 2] = [
        || drop(unless_cancelled::<(), Opaque>(Err(Opaque))),
        || {
            let failing = async { Err::<(), Opaque>(Opaque) };
            let mut raced = pin!(race((failing, std::future::pending::<Result<(), Opaque>>())));
            let polled = raced.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(_) | Poll::Pending));
        },
    ];
    for look in look {
        set_other();
        testing::run(async || {
            let task = spawn(async move {
                // No copy is kept, so only a conversion can tell.
                assert!(sleep(Duration::MAX).await.is_err());
                look();
                Ended::Ok(())
            });
            testing::settle().await.unwrap();
            task.cancel().await.unwrap();
        });
        assert_eq!(DROPPED.take(), 1);
    }
}
