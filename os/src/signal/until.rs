//! A body that the first signal cancels.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use kernel::{CancelReason, CancelScope};

use super::listener::Listener;
use crate::number::Signal;

/// Runs `body` until it ends, or until the first of these signals arrives, which cancels it.
///
/// The await point where the body is parked returns the cancellation, with the reason
/// [`CancelReason::Signal`]. The body cleans up, and the call returns when it has ended. A second
/// signal ends the whole process at once, without any cleanup, with the status 128 and the number
/// of the signal (130 for `SIGINT`): also if the cleanup hangs, and if the kernel is stuck in a
/// loop, because the handler of the signal does it.
///
/// It listens from this call on, until the body has ended or the future is dropped. A signal that
/// arrives in the last moment, when the body needs no cancellation any more, is not lost: unless
/// another listener has got it, it has its default action, as one that arrives a moment later.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::{self, TaskCancelled, sleep};
/// use curium::signal::{SIGINT, SIGTERM, until_signal};
///
/// async fn serve() -> Result<(), TaskCancelled> {
///     # SIGTERM.raise().unwrap();
///     sleep(Duration::from_secs(1000)).await // cleanup may await here
/// }
///
/// kernel::run(async || {
///     match until_signal([SIGINT, SIGTERM], serve())?.await {
///         Ok(ended) => ended?,
///         Err(signalled) => println!("{signalled}"), // the signal SIGTERM arrived
///     }
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// The future gives two nested results. The outer error, [`Signalled`], says that a signal arrived
/// and that the body ended because of it. The inner result is the body's own. A body that returns a
/// value although it was cancelled has succeeded; the `Ok(Err(..))` of a timeout around a call is
/// such a value, so unwrap it inside the body. Afterwards, [`Signal::die`] ends the process as the
/// signal would have.
///
/// # Errors
///
/// As [`signals`](super::signals).
///
/// # Cancellation
///
/// A cancellation reaches the body as if this call were not there.
///
/// # Panics
///
/// When the future is polled outside a kernel.
#[track_caller]
pub fn until_signal<F, T, E>(
    signals: impl IntoIterator<Item = Signal>,
    body: F,
) -> io::Result<impl Future<Output = Result<Result<T, E>, Signalled>>>
where
    F: IntoFuture<Output = Result<T, E>>,
    E: 'static,
{
    let listener = Listener::new(signals, Some(&Arc::default()))?;
    let scope = CancelScope::new();
    // In a box, because a future that is moved into another takes its size twice.
    let mut running = Box::pin(scope.run(body));
    Ok(async move {
        let mut arrival = None;
        let mut watch = pin!(listener.arrival());
        let ended = poll_fn(|cx| {
            let ended = running.as_mut().poll(cx);
            if ended.is_pending() && arrival.is_none() {
                if let Poll::Ready(signal) = watch.as_mut().poll(cx) {
                    arrival = Some(signal);
                    // It wakes the body.
                    scope.cancel_because(CancelReason::Signal { number: signal.as_raw() });
                }
            }
            ended
        });
        match (ended.await, arrival) {
            (Err(_), Some(signal)) => Err(Signalled { signal }),
            (Err(_), None) => unreachable!("only a signal cancels the scope"),
            (Ok(result), _) => Ok(result),
        }
    })
}

/// A signal arrived and cancelled the body of [`until_signal`], which ended because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signal {signal} arrived")]
pub struct Signalled {
    signal: Signal,
}

impl Signalled {
    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }
}

impl From<Signalled> for io::Error {
    fn from(signalled: Signalled) -> Self {
        io::Error::other(signalled)
    }
}
