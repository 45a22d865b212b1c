//! The first signal, of which several kernels make their stop.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::{TaskCancelled, sleep, spawn_named};

use super::listener::Listener;
use crate::number::Signal;

/// Listens for the first of these signals, which ends a program that has no one body to cancel, as
/// one on several cores:
///
/// ```
/// use std::time::Duration;
/// use curium::signal::{SIGINT, SIGTERM, first_signal};
/// use curium::{Cores, kernels};
///
/// let signal = first_signal([SIGINT, SIGTERM])?;
/// let cores = Cores::count(2).drain(Duration::from_secs(10)).stop_when(async || {
///     if let Ok(signal) = signal.await {
///         println!("the signal {signal} arrived");
///     }
/// });
/// kernels(cores, async |core| {
///     # // Once: a second one would end the process.
///     # (core.index() == 0).then(|| SIGTERM.raise().unwrap());
///     core.stopping().await // a server would drain now
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It listens from this call on, until it is dropped, or until the kernel in which it is awaited is
/// shut down. Where a single body has to end, use [`until_signal`](super::until_signal).
///
/// A second signal ends the whole process at once, without any cleanup, with the status 128 and the
/// number of the signal, as with `until_signal`: also while the program ends because of the first.
/// A signal that no await has taken has its default action in the end, unless another listener has
/// got it.
///
/// # Errors
///
/// As [`signals`](super::signals).
#[track_caller]
pub fn first_signal(signals: impl IntoIterator<Item = Signal>) -> io::Result<FirstSignal> {
    let listener = Listener::new(signals, Some(&Arc::default()))?;
    Ok(FirstSignal { listener, site: Location::caller() })
}

/// The first of some signals. Made by [`first_signal`]. It may be awaited in another thread than
/// that which has made it.
///
/// # Cancellation
///
/// It listens no more. A signal that has arrived by then has its default action, unless another
/// listener has got it.
///
/// # Panics
///
/// When it is awaited outside a kernel.
#[must_use = "it listens only as long as it exists"]
pub struct FirstSignal {
    listener: Listener,
    site: &'static Location<'static>,
}

impl IntoFuture for FirstSignal {
    type Output = Result<Signal, TaskCancelled>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Signal, TaskCancelled>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let FirstSignal { listener, site } = self;
            let signal = listener.recv(site).await?;
            // While it exists, its handler ends the process.
            spawn_named("the listener for a second signal", async move {
                let _listener = listener;
                sleep(Duration::MAX).await
            });
            Ok(signal)
        })
    }
}

impl fmt::Debug for FirstSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals: Vec<_> = self.listener.signals().collect();
        f.debug_tuple("FirstSignal").field(&signals).finish()
    }
}
