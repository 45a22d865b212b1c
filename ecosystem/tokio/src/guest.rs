//! A kernel inside a task of tokio.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::Poll;

use curium::kernel::bounds::Main;
use curium::kernel::{Guest, Kernel};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The polls of a turn. Then other tasks of tokio have theirs.
const POLLS: u32 = 64;

/// Runs `main` in a kernel of its own inside a task of tokio, on the thread of that task: tokio's
/// loop turns the kernel, and no thread is added.
///
/// The future is not `Send`, since a kernel is not: await it in the main task of a runtime, or in a
/// task of a `LocalSet`. Futures of tokio work inside it as in [`run`](crate::run), through
/// [`cancellable`](curium::cancellable).
///
/// ```
/// use curium::prelude::*;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let slept = runtime.block_on(curium_tokio::guest(async || {
///     let task = spawn(sleep(Duration::from_millis(1)));
///     task.await?;
///     Ok::<_, TaskCancelled>("slept")
/// }))?;
/// assert_eq!(slept, Ok("slept"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Code of tokio on the same thread must not wake a task of the kernel through an object of
/// `curium::sync` but the universal ones, because nothing turns the kernel then. Use a channel of
/// tokio, as the example `guest_in_tokio` does.
///
/// # Errors
///
/// The system's error if it cannot provide a descriptor.
///
/// # Cancellation
///
/// Dropping the future drops the kernel with all its tasks, without awaiting any cleanup. To end it
/// in order, have `main` wait for a signal, such as that of a channel, and drop the future after
/// its end only.
///
/// # Panics
///
/// Outside a runtime of tokio whose I/O is enabled, and inside a kernel. A panic of `main` is
/// resumed when the other tasks have ended.
pub async fn guest<T>(main: impl Main<T>) -> io::Result<T> {
    guest_in(Kernel::new()?, main).await
}

/// [`guest`] with a kernel that has its settings.
///
/// # Errors
///
/// As [`guest`].
///
/// # Cancellation
///
/// As [`guest`].
///
/// # Panics
///
/// As [`guest`], and if the clock of the kernel is virtual.
pub async fn guest_in<T>(kernel: Kernel, main: impl Main<T>) -> io::Result<T> {
    let guest = Descriptor(kernel.guest(main)?);
    #[allow(deprecated, reason = "its successor is `unsafe`; the guest keeps this descriptor open")]
    let mut guest = AsyncFd::with_interest(guest, Interest::READABLE)?;
    loop {
        let mut ready = guest.readable_mut().await?;
        // An event that comes after this sets the readiness anew.
        ready.clear_ready();
        if let Poll::Ready(value) = ready.get_inner_mut().0.turn(POLLS) {
            return Ok(value);
        }
    }
}

struct Descriptor<'a, T>(Guest<'a, T>);

impl<T> AsRawFd for Descriptor<'_, T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
