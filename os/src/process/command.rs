//! What is to be started, and how it is treated; with the names of `std::process::Command`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::child::Child;
use super::output::{Capture, Output, OutputError};
use super::start::{Setup, Start};
use super::stdio::Stdio;
use super::stop::Stop;

/// A program to start, with its arguments and its environment, and how its process is treated.
///
/// The methods have the names of [`std::process::Command`], and do the same. A command can be
/// started more than once. The futures of [`output`](Command::output), [`status`](Command::status),
/// [`spawn`](Command::spawn) and [`run`](Command::run) own what they need, so they can outlive it.
///
/// A child that asks for a signal at the death of its parent, as `setpriv --pdeathsig` arranges it,
/// gets that signal too early: the system takes the thread for the parent that has started the
/// child, and that is a thread of a pool, which ends when it was idle for ten seconds. Threads are
/// not kept for this, because every program that starts processes would pay for them. A child that
/// is to end with this process in any case can wait for the end of its standard input, if that is
/// [piped](Stdio::piped).
///
/// ```
/// use curium::process::Command;
/// use std::io;
///
/// curium::run(async || {
///     let output = Command::new("echo").arg("hello").output().await?.check()?;
///     assert_eq!(output.stdout, b"hello\n");
///     Ok::<(), io::Error>(())
/// })
/// # .unwrap();
/// ```
pub struct Command {
    program: OsString,
    setups: Vec<Setup>,
    stdio: [Option<Stdio>; 3],
    stop: Stop,
    capture: Capture,
}

impl Command {
    /// A command that runs `program`, which is looked for in `PATH` unless its name has a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            program: program.as_ref().to_owned(),
            setups: Vec::new(),
            stdio: [None, None, None],
            stop: Stop::default(),
            capture: Capture::default(),
        }
    }

    /// Sets anything else that [`std::process::Command`] can, for example the user by
    /// [`CommandExt::uid`]. `setup` is called at each start, on another thread. What it sets as
    /// standard streams has no effect.
    pub fn configure(
        &mut self,
        setup: impl Fn(&mut std::process::Command) + Send + Sync + 'static,
    ) -> &mut Command {
        self.setups.push(Arc::new(setup));
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        let arg = arg.as_ref().to_owned();
        self.configure(move |command| {
            command.arg(&arg);
        })
    }

    /// Adds several arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        let (key, value) = (key.as_ref().to_owned(), value.as_ref().to_owned());
        self.configure(move |command| {
            command.env(&key, &value);
        })
    }

    /// Sets several variables of the environment.
    pub fn envs(
        &mut self,
        vars: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Command {
        for (key, value) in vars {
            self.env(key, value);
        }
        self
    }

    /// Removes a variable of the environment, so that the child does not inherit it.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        let key = key.as_ref().to_owned();
        self.configure(move |command| {
            command.env_remove(&key);
        })
    }

    /// Removes all variables of the environment, so that the child inherits none.
    pub fn env_clear(&mut self) -> &mut Command {
        self.configure(|command| {
            command.env_clear();
        })
    }

    /// Sets the working directory of the child.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        let directory = directory.as_ref().to_owned();
        self.configure(move |command| {
            command.current_dir(&directory);
        })
    }

    /// Puts the child into this process group; 0 is a new one of its own. See also
    /// [`Stop::whole_group`], which does the latter.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.configure(move |command| {
            command.process_group(group);
        })
    }

    /// Sets the standard input of the child. By default it is that of this process; for
    /// [`output`](Command::output) it is empty.
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Command {
        self.stdio[0] = Some(from.into());
        self
    }

    /// Sets the standard output of the child. By default it is that of this process;
    /// [`output`](Command::output) collects it.
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.stdio[1] = Some(to.into());
        self
    }

    /// Sets the standard error of the child. By default it is that of this process;
    /// [`output`](Command::output) collects it.
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.stdio[2] = Some(to.into());
        self
    }

    /// Sets how the child is stopped, when that is due: see [`Stop`].
    pub fn stop_with(&mut self, stop: Stop) -> &mut Command {
        self.stop = stop;
        self
    }

    /// What [`output`](Command::output) and [`status`](Command::status) write to the standard input
    /// of the child, while they read what it prints. That the child does not read all of it is no
    /// error.
    pub fn input(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Command {
        self.capture.input = Some(Arc::new(bytes.into()));
        self
    }

    /// How long [`output`](Command::output) and [`status`](Command::status) let the child run,
    /// counted from its start. Then it is stopped, and the error has the kind `TimedOut`, with what
    /// the child has printed. Without this there is no limit.
    ///
    /// A [`timeout_after`](kernel::timeout_after) around the call stops the child as well, and
    /// returns its own error, without what was printed.
    pub fn timeout(&mut self, limit: Duration) -> &mut Command {
        self.capture.timeout = limit;
        self
    }

    /// How long [`output`](Command::output) and [`status`](Command::status) still read the pipes
    /// when the child has ended: processes that it has started may keep them open. The default is 2
    /// seconds. See [`Output::pipes_left_open`].
    pub fn pipes_within(&mut self, limit: Duration) -> &mut Command {
        self.capture.pipes_within = limit;
        self
    }

    /// How many bytes [`output`](Command::output) takes of each of the two streams. If there are
    /// more, the child is stopped, and the error has the kind `QuotaExceeded`. The default is 64
    /// MiB.
    pub fn max_output(&mut self, bytes: usize) -> &mut Command {
        self.capture.max_output = bytes;
        self
    }

    /// What a start needs. Descriptors that were given as standard streams are in it.
    fn start(&mut self, default: fn() -> [Stdio; 3]) -> Start {
        let mut stdio = default();
        let stdio = self.stdio.iter_mut().zip(&mut stdio);
        let mut stdio = stdio.map(|(given, default)| given.as_mut().unwrap_or(default).take());
        let mut next = || stdio.next().expect("there are three");
        let (stdin, stdout, stderr) = (next(), next(), next());
        Start {
            program: self.program.clone(),
            setups: self.setups.clone(),
            stdio: stdin.and_then(|stdin| Ok([stdin, stdout?, stderr?])),
            stop: self.stop,
        }
    }

    /// The start of a child whose input is not written here.
    fn start_open(&mut self) -> Start {
        let mut start = self.start(|| [Stdio::inherit(), Stdio::inherit(), Stdio::inherit()]);
        if self.capture.input.is_some() {
            let text = "`input` is for `output` and `status`; write to `Child::stdin` instead";
            start.stdio = Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        start
    }

    /// Starts the child, waits for its end, and collects what it prints: all of it, up to
    /// [`max_output`](Command::max_output). That the child fails is no error here: see
    /// [`Output::check`].
    ///
    /// When this returns, on whatever path, the child has ended and is reaped; see
    /// [`spawn`](Command::spawn) for a future that is dropped, and [`Child::stop`] for a child that
    /// this process may not kill. Processes that it has started may still run, unless
    /// [`Stop::whole_group`] is set.
    ///
    /// # Errors
    ///
    /// [`OutputError`] says why it ended early, and has what was printed. It converts to
    /// `io::Error`. A program that does not exist is `NotFound`, with its name.
    ///
    /// # Cancellation
    ///
    /// The child is stopped: it gets the signal of [`Stop`], and is killed after the grace. The
    /// error holds what it has printed. If the child has not been started yet, the call returns at
    /// once, and a start that is under way is undone.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel.
    #[track_caller]
    pub fn output(&mut self) -> impl Future<Output = Result<Output, OutputError>> + use<> {
        let site = Location::caller();
        let default = match self.capture.input {
            Some(_) => || [Stdio::piped(), Stdio::piped(), Stdio::piped()],
            None => || [Stdio::null(), Stdio::piped(), Stdio::piped()],
        };
        let start = self.start(default);
        self.capture.clone().run(start, site)
    }

    /// Starts the child, and waits for its end. It prints where this process prints, unless its
    /// streams are set; what it prints into a pipe is dropped. If it must succeed, call
    /// [`output`](Command::output) with [`Stdio::inherit`] as its streams, for [`Output::check`].
    ///
    /// When this returns, on whatever path, the child has ended and is reaped, as with
    /// [`output`](Command::output).
    ///
    /// # Errors
    ///
    /// Those of the start, with the name of the program; `TimedOut` after
    /// [`timeout`](Command::timeout); a cancellation.
    ///
    /// # Cancellation
    ///
    /// The child is stopped, as by [`output`](Command::output).
    ///
    /// # Panics
    ///
    /// When polled outside a kernel.
    #[track_caller]
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let site = Location::caller();
        let default = match self.capture.input {
            Some(_) => || [Stdio::piped(), Stdio::inherit(), Stdio::inherit()],
            None => || [Stdio::inherit(), Stdio::inherit(), Stdio::inherit()],
        };
        let start = self.start(default);
        let ended = Capture { discard: true, ..self.capture.clone() }.run(start, site);
        async move { Ok(ended.await?.status) }
    }

    /// Starts the child. A [`Child`] that is dropped is killed: use [`run`](Command::run), which
    /// stops it, where that fits, and [`Child::detach`] for one that is to outlive its handle.
    ///
    /// # Errors
    ///
    /// Those of the system, with the name of the program: `NotFound` if there is no such program,
    /// `PermissionDenied` if it may not be executed. The kind is never `WouldBlock`.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. The child is not started, or is killed and reaped.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel.
    #[track_caller]
    pub fn spawn(&mut self) -> impl Future<Output = io::Result<Child>> + use<> {
        self.start_open().child()
    }

    /// Starts the child, and runs `body` with it. When `body` is left, the child is stopped: it
    /// gets the signal of [`Stop`], is killed after the grace, and is reaped, before this returns.
    /// So a body that wants the child to come to its own end [waits](Child::wait) for it.
    ///
    /// ```
    /// use curium::process::{Command, Stdio};
    /// use std::io;
    ///
    /// curium::run(async || {
    ///     let mut sort = Command::new("sort");
    ///     sort.stdin(Stdio::piped()).stdout(Stdio::null());
    ///     let status = sort.run(async |child| {
    ///         let input = child.stdin.take().expect("it is piped");
    ///         input.write_all(b"b\na\n").await?;
    ///         drop(input);
    ///         child.wait().await
    ///     });
    ///     assert!(status.await?.success());
    ///     Ok::<(), io::Error>(())
    /// })
    /// # .unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Command::spawn), and those of `body`.
    ///
    /// # Cancellation
    ///
    /// It reaches `body`. When that has ended, the child is stopped, in a shield. If the future is
    /// dropped or the task is aborted, the child is killed at once, and reaped.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel. A panic of `body` goes on when the child is stopped.
    #[track_caller]
    pub fn run<B, T, E>(&mut self, body: B) -> impl Future<Output = Result<T, E>> + use<B, T, E>
    where
        B: AsyncFnOnce(&mut Child) -> Result<T, E>,
        E: From<io::Error>,
    {
        let site = Location::caller();
        let start = self.start_open().child();
        async move {
            let mut child = start.await?;
            let result = {
                let mut body = pin!(body(&mut child));
                let caught =
                    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
                        Ok(polled) => polled.map(Ok),
                        Err(payload) => Poll::Ready(Err(payload)),
                    });
                caught.await
            };
            let stopped = child.stop_at(site).await;
            let value = result.unwrap_or_else(|payload| resume_unwind(payload))?;
            stopped?;
            Ok(value)
        }
    }
}

/// The program and its arguments, in quotes.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut command = std::process::Command::new(&self.program);
        self.setups.iter().for_each(|setup| setup(&mut command));
        command.fmt(f)
    }
}
