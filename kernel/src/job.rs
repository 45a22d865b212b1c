//! A job on a thread of its own, awaited here: for the few system calls that cannot be done
//! otherwise, such as looking a name up.
//!
//! Deliberately not a pool: nothing here bounds how many threads there are.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use crate::core::Core;
use crate::current;
use crate::error::{Panic, TaskCancelled};
use crate::leaf::CancelPoint;
use crate::remote::Message;

/// Where the job leaves its result, and whom it wakes.
struct Shared<T> {
    done: Mutex<Done<T>>,
}

struct Done<T> {
    result: Option<Result<T, Panic>>,
    waker: Option<Waker>,
}

/// Counts a job while it is out: a virtual clock waits for it, and it is no deadlock.
struct Out(Rc<Core>, u64);

impl Out {
    fn new(core: Rc<Core>) -> Self {
        let job = core.next_stamp();
        core.jobs.borrow_mut().insert(job);
        Out(core, job)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.0.jobs.borrow_mut().remove(&self.1);
    }
}

/// Runs `job` on a new thread and waits for its value.
///
/// # Errors
///
/// Outside, that this wait was cancelled; inside, that the system gave no thread.
///
/// # Cancellation
///
/// The caller is free at once. The thread cannot be stopped: it finishes on its own, and its value
/// is dropped there.
///
/// # Panics
///
/// When polled outside a kernel, and with the panic of the job.
#[track_caller]
pub fn on_thread<T, F>(job: F) -> impl Future<Output = Result<io::Result<T>, TaskCancelled>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let site = std::panic::Location::caller();
    async move {
        let Some(core) = current::try_with(Rc::clone) else {
            current::outside_at("a job", site);
        };
        let mut point = CancelPoint::at("THREAD_WAIT", site);
        let shared = Arc::new(Shared { done: Mutex::new(Done { result: None, waker: None }) });
        let theirs = shared.clone();
        let remote = core.remote().clone();
        let out = Out::new(core);
        let job_number = out.1;
        let thread = move || {
            let result = catch_unwind(AssertUnwindSafe(job)).map_err(Panic::new);
            let waker = {
                let mut done = theirs.lock();
                done.result = Some(result);
                done.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            // After the wake; from here on a virtual clock may jump although nobody took the value.
            drop(remote.post(Message::JobDone(job_number)));
        };
        if let Err(error) = thread::Builder::new().name("curium-job".into()).spawn(thread) {
            return Ok(Err(error));
        }
        let result = std::future::poll_fn(|cx| {
            point.poll(cx, |cx| {
                let waker = cx.waker().clone();
                let mut done = shared.lock();
                match done.result.take() {
                    Some(result) => Poll::Ready(result),
                    None => {
                        let old = done.waker.replace(waker);
                        drop(done);
                        drop(old);
                        Poll::Pending
                    }
                }
            })
        })
        .await?;
        drop(out);
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(panic) => panic.resume(),
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Done<T>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
