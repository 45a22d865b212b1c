//! The side thread.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

/// How long [`run`](crate::run) waits at its end for calls of `spawn_blocking` that still run, and
/// for a task of tokio that does not return: 5 seconds.
pub const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A point in time that is later by this can be had.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A thread that drives a runtime of tokio, for a program that makes its [`Kernel`] itself.
///
/// Dropped, it is stopped with [`STOP_LIMIT`].
///
/// ```
/// use curium::kernel::Kernel;
/// use curium_tokio::{STOP_LIMIT, TokioThread};
///
/// let tokio = TokioThread::start()?;
/// {
///     let _context = tokio.enter(); // around the whole life of the kernel
///     let kernel = Kernel::new()?;
///     kernel.run(async || tokio::task::yield_now().await);
/// }
/// tokio.stop(STOP_LIMIT).expect("no blocking call runs");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// [`Kernel`]: curium::kernel::Kernel
#[derive(Debug)]
pub struct TokioThread {
    handle: Handle,
    running: Option<Running>,
}

/// What stopping needs, once.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<Duration>,
    stopped: mpsc::Receiver<bool>,
    thread: JoinHandle<()>,
}

/// The side thread did not end in time, and is left behind: a call of `spawn_blocking` or a task of
/// tokio has not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillRunning;

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the side thread of tokio did not end in time: what it runs does not return")
    }
}

impl std::error::Error for StillRunning {}

impl TokioThread {
    /// Starts a thread named `tokio` with a current-thread runtime, with its timers and sockets if
    /// tokio's features `time` and `net` are on.
    ///
    /// # Errors
    ///
    /// That of the system if there is no thread or no descriptor left.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopping) = oneshot::channel::<Duration>();
        let (ended, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("tokio".to_owned()).spawn(move || {
            let Ok(limit) = runtime.block_on(stopping) else { return };
            let until = Instant::now() + limit;
            // It does not say whether it has left something behind.
            runtime.shutdown_timeout(limit);
            // Nothing listens if the limit is over.
            let _ = ended.send(Instant::now() < until);
        })?;
        Ok(TokioThread { handle, running: Some(Running { stop, stopped, thread }) })
    }

    /// Makes the runtime the context of the calling thread until the guard is dropped.
    ///
    /// Hold it outside the run of a kernel and not in a task of it, so that what is cleaned up when
    /// the kernel shuts down has it too.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// The handle of the runtime, for other threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops the runtime and joins its thread.
    ///
    /// The tasks of tokio are dropped where they wait. Calls of `spawn_blocking` that run are
    /// waited for, and so is a task that is being polled, both for at most `limit`; calls that have
    /// not begun are dropped.
    ///
    /// # Errors
    ///
    /// If the limit is over. A call of `spawn_blocking` is then left to itself, and so is the side
    /// thread if a task holds it.
    pub fn stop(mut self, limit: Duration) -> Result<(), StillRunning> {
        self.running.take().map_or(Ok(()), |running| running.stop(limit))
    }
}

impl Running {
    fn stop(self, limit: Duration) -> Result<(), StillRunning> {
        let limit = limit.min(LONGEST);
        // Refused if the thread has ended by a panic, which the system has printed.
        let _ = self.stop.send(limit);
        let in_time = match self.stopped.recv_timeout(limit) {
            Ok(in_time) => in_time,
            Err(RecvTimeoutError::Timeout) => return Err(StillRunning),
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let _ = self.thread.join();
        if in_time { Ok(()) } else { Err(StillRunning) }
    }
}

impl Drop for TokioThread {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if let Err(left) = running.stop(STOP_LIMIT) {
            tracing::warn!("{left}");
        }
    }
}
