//! Signals as they come, as a stream.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use kernel::TaskCancelled;

use super::listener::Listener;
use crate::number::{SIGINT, Signal};

/// Listens for signals, from this call until the listener is dropped.
///
/// ```
/// use curium::kernel;
/// use curium::signal::{SIGHUP, SIGUSR1, signals};
///
/// kernel::run(async || {
///     let mut signals = signals([SIGHUP, SIGUSR1])?;
///     # SIGHUP.raise()?;
///     // For example by `kill -HUP`.
///     assert_eq!(signals.recv().await?, SIGHUP);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a signal for which a program cannot listen. Those are
/// `SIGKILL` and `SIGSTOP`, on which the system acts by itself, and those that report a fault of
/// the program: `SIGABRT`, `SIGBUS`, `SIGFPE`, `SIGILL`, `SIGSEGV`, `SIGSYS` and `SIGTRAP`.
/// Otherwise that of the system, such as a lack of descriptors: a listener takes one, and one more
/// for each signal.
#[track_caller]
pub fn signals(wanted: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
    let listener = Rc::new(Listener::new(wanted, None)?);
    Ok(Signals { listener, waiting: None, site: Location::caller() })
}

/// Waits for Ctrl-C (`SIGINT`). It listens from this call until the future is dropped. Until then
/// Ctrl-C does not end the process; afterwards it does.
///
/// ```no_run
/// use curium::{kernel, signal};
///
/// kernel::run(async || {
///     println!("press Ctrl-C");
///     signal::ctrl_c().await
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
///
/// That of the system, as for [`signals`]. A cancellation, as an `io::Error`.
///
/// # Cancellation
///
/// Nothing is lost but the listener. To listen on, use [`signals`].
///
/// # Panics
///
/// When it is polled outside a kernel.
#[track_caller]
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> {
    let listener = Listener::new([SIGINT], None);
    let site = Location::caller();
    async move {
        listener?.recv(site).await?;
        Ok(())
    }
}

/// A listener for signals. Made by [`signals`]. It stays on its thread; other kernels make their
/// own.
///
/// Each listener gets every signal that arrives while it exists, in whatever kernel of the process
/// it is. Signals of one kind that arrive before the listener has taken the last are one, so the
/// memory for them is bounded, and after a burst there is always one to take. Signals of different
/// kinds come in no particular order. A signal that the listener has not taken is dropped with it.
///
/// It is a [`Stream`] of `Result<Signal, TaskCancelled>` without an end: a cancellation is an item,
/// after which the stream goes on.
///
/// While a listener exists, its signals do not have their default action. When the last is dropped,
/// they have it again. A handler that was there before the first listener is called all the time,
/// and a signal that was ignored before is ignored again.
pub struct Signals {
    listener: Rc<Listener>,
    /// The leaf of the stream, if it was polled and found nothing.
    waiting: Option<Leaf>,
    site: &'static Location<'static>,
}

type Leaf = Pin<Box<dyn Future<Output = Result<Signal, TaskCancelled>>>>;

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// No signal is lost: the next call returns it.
    ///
    /// # Panics
    ///
    /// When it is polled outside a kernel.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Result<Signal, TaskCancelled>> + '_ {
        // The wait of the stream, if it has one, would take the signal.
        self.waiting = None;
        self.listener.recv(Location::caller())
    }
}

impl Stream for Signals {
    type Item = Result<Signal, TaskCancelled>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Signals { listener, waiting, site } = &mut *self;
        let leaf = waiting.get_or_insert_with(|| {
            let (listener, site) = (listener.clone(), *site);
            Box::pin(async move { listener.recv(site).await })
        });
        let signal = ready!(leaf.as_mut().poll(cx));
        *waiting = None;
        Poll::Ready(Some(signal))
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.listener.signals().collect::<Vec<_>>()).finish()
    }
}
