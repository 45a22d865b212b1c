//! Calls of threads without a kernel into one.

use std::future::poll_fn;

use crate::spawn::spawn;
use crate::task::waker::{Message, Remote};
use crate::threads::answer::promise;
use crate::threads::here::refuse_in_kernel;
use crate::threads::work::{AnyWork, Work};

/// Runs a future as a task of the kernel with this mailbox, and blocks until it has ended. `None`:
/// the kernel is gone, and has dropped the future.
#[track_caller]
pub(crate) fn call<B, F>(remote: &Remote, build: B) -> Option<F::Output>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    refuse_in_kernel("Handle::call");
    let (promise, answer) = promise();
    let start = move || {
        let task = spawn(async move {
            let mut work = Box::new(Work::new(build, promise));
            poll_fn(|cx| work.poll(cx)).await;
            work.answer();
        });
        task.name_after::<B>();
    };
    // A message that is refused is dropped, with its promise.
    drop(remote.post(Message::Spawn(Box::new(start))));
    match answer.wait()? {
        Ok(value) => Some(value),
        Err(panic) => panic.resume(),
    }
}
