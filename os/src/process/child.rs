//! A child that runs, or has ended and is held.

use std::fmt;
use std::io;
use std::panic::Location;
use std::process::ExitStatus;

use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use super::stop::Running;
use crate::number::{SIGKILL, Signal};

/// A child process.
///
/// If it is dropped while the child runs, the child is killed at once (with its group, if
/// [`whole_group`](super::Stop::whole_group) is set), and reaped in the background. To let it end
/// in order, [`stop`](Child::stop) it or use [`Command::run`](super::Command::run); to leave it
/// alive, [`detach`](Child::detach) it. *In `std` and tokio a child goes on when its handle is
/// dropped. In `std` it is a zombie when it has ended.*
///
/// Its pipes can be taken, and moved to other tasks or children:
///
/// ```
/// use curium::process::{Command, Stdio};
/// use std::io;
///
/// curium::run(async || {
///     let mut echo = Command::new("echo").arg("b\na").stdout(Stdio::piped()).spawn().await?;
///     let lines = echo.stdout.take().expect("it is piped");
///     let sorted = Command::new("sort").stdin(lines).output().await?.check()?;
///     assert_eq!(sorted.stdout, b"a\nb\n");
///     assert!(echo.wait().await?.success());
///     Ok::<(), io::Error>(())
/// })
/// # .unwrap();
/// ```
pub struct Child {
    /// Its standard input, if that is [piped](super::Stdio::piped) and was not taken.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is [piped](super::Stdio::piped) and was not taken.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is [piped](super::Stdio::piped) and was not taken.
    pub stderr: Option<ChildStderr>,
    pub(super) running: Running,
}

impl Child {
    /// Its process number. The system may give it to another process once the child is reaped.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Closes [`stdin`](Child::stdin), and waits for the end of the child. After that it is reaped;
    /// with [`whole_group`](super::Stop::whole_group) it is so when it is stopped or dropped, which
    /// ends the rest of its group. To be called again, it gives the same status.
    ///
    /// A child that prints into a pipe that is not read, and is full, does not end.
    ///
    /// # Errors
    ///
    /// A cancellation. Also if another part of the program has reaped the child, or it ignores
    /// `SIGCHLD`.
    ///
    /// # Cancellation
    ///
    /// The child goes on, and the handle with it.
    ///
    /// # Panics
    ///
    /// When it would park outside a kernel.
    #[track_caller]
    pub fn wait(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + '_ {
        let site = Location::caller();
        async move {
            self.stdin = None;
            self.running.ended(site).await
        }
    }

    /// How the child has ended; `None` while it runs.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait), without the cancellation.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self.running.with(|process| process.end()) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal to the child, or to its group if
    /// [`whole_group`](super::Stop::whole_group) is set. Does nothing once it is reaped. The signal
    /// never goes to another process that has the same number.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it runs as another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.running.with(|process| process.signal(signal))
    }

    /// Kills the child (`SIGKILL`), and does not wait for its end.
    ///
    /// # Errors
    ///
    /// As [`signal`](Child::signal).
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(SIGKILL)
    }

    /// Closes [`stdin`](Child::stdin), and stops the child as its command says
    /// ([`Stop`](super::Stop)): it gets a signal, is killed after the grace, and is reaped.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait). `PermissionDenied`, after the grace, if the system does not permit
    /// this process to kill it, because it runs as another user. It goes on then, and the handle
    /// with it; if that is dropped, it is reaped when it ends.
    ///
    /// # Cancellation
    ///
    /// Held back until the child has ended. If the future is dropped, the child has been asked and
    /// goes on, and the handle with it.
    ///
    /// # Panics
    ///
    /// When it would park outside a kernel.
    #[track_caller]
    pub fn stop(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + '_ {
        self.stop_at(Location::caller())
    }

    pub(super) async fn stop_at(
        &mut self,
        site: &'static Location<'static>,
    ) -> io::Result<ExitStatus> {
        self.stdin = None;
        self.running.stop(site).await
    }

    /// Lets the child run without a handle. Nothing stops it. It is reaped when it ends, by a
    /// thread that this process has as long as it has such children, and by the system if it
    /// outlives this process. The pipes that were not taken are closed.
    pub fn detach(self) {
        self.running.let_go();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
