//! Calls of threads without a kernel into one.

use crate::spawn::spawn_as;
use crate::task::waker::{Message, Remote};
use crate::threads::answer::promise;
use crate::threads::here::refuse_in_kernel;
use crate::threads::work::Work;

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
        let called = async move { promise.give(Work::new(|| Box::pin(build())).await) };
        drop(spawn_as::<B, _, ()>(called));
    };
    // A message that is refused is dropped, with its promise.
    drop(remote.post(Message::Spawn(Box::new(start))));
    match answer.wait()? {
        Ok(value) => Some(value),
        Err(panic) => panic.resume(),
    }
}
