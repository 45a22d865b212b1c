//! What a child prints, collected while its input is written and its end is waited for.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::{TaskCancelled, ignore_after, shield};

use super::child::Child;
use super::pipe::{ChildStdin, ReadPipe};
use super::start::Start;

/// How a child has ended, and what it has printed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How it has ended.
    pub status: ExitStatus,
    /// What it has written to its standard output, if that was not given to something else.
    pub stdout: Vec<u8>,
    /// What it has written to its standard error, if that was not given to something else.
    pub stderr: Vec<u8>,
    /// Whether a process that the child has started kept a pipe open for longer than
    /// [`pipes_within`](super::Command::pipes_within). All that the child itself has printed is
    /// there; what that process prints later is not, unless it is stopped with its group.
    pub pipes_left_open: bool,
    program: String,
}

impl Output {
    /// This output if the child has succeeded, that is, has exited with status 0.
    ///
    /// # Errors
    ///
    /// [`CommandFailed`] holds the output. It converts to `io::Error`.
    pub fn check(self) -> Result<Output, CommandFailed> {
        if self.status.success() { Ok(self) } else { Err(CommandFailed { output: self }) }
    }
}

/// Long streams are cut.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("program", &self.program)
            .field("status", &self.status)
            .field("stdout", &Shown(&self.stdout))
            .field("stderr", &Shown(&self.stderr))
            .field("pipes_left_open", &self.pipes_left_open)
            .finish()
    }
}

/// The beginning of a stream as text.
struct Shown<'a>(&'a [u8]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(1024)];
        write!(f, "{:?}", String::from_utf8_lossy(shown))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}

/// A child has ended, and not with success.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandFailed {
    /// How it has ended, and what it has printed.
    pub output: Output,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output { status, stderr, program, .. } = &self.output;
        write!(f, "`{program}` failed: {status}")?;
        // The last line says most often what is wrong.
        let printed = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(1024)..]);
        match printed.trim().lines().last() {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CommandFailed {}

impl From<CommandFailed> for io::Error {
    fn from(failed: CommandFailed) -> io::Error {
        io::Error::other(failed)
    }
}

/// A child was not started, or was stopped before its end.
#[derive(thiserror::Error)]
#[error("{source}")]
#[non_exhaustive]
pub struct OutputError {
    /// What it had written to its standard output.
    pub stdout: Vec<u8>,
    /// What it had written to its standard error.
    pub stderr: Vec<u8>,
    /// How it has ended; `None` if it was not started, or could not be stopped: see
    /// [`Child::stop`](super::Child::stop).
    pub status: Option<ExitStatus>,
    /// The error that ended the call. `kernel::cancelled` finds a cancellation in it.
    pub source: io::Error,
}

/// Long streams are cut.
impl fmt::Debug for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputError")
            .field("source", &self.source)
            .field("status", &self.status)
            .field("stdout", &Shown(&self.stdout))
            .field("stderr", &Shown(&self.stderr))
            .finish()
    }
}

impl OutputError {
    fn new(source: io::Error) -> OutputError {
        OutputError { stdout: Vec::new(), stderr: Vec::new(), status: None, source }
    }
}

impl From<OutputError> for io::Error {
    fn from(error: OutputError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// A cancellation before the child was started.
impl From<TaskCancelled> for OutputError {
    fn from(cancelled: TaskCancelled) -> OutputError {
        OutputError::new(cancelled.into())
    }
}

/// How the pipes of a child are served.
#[derive(Clone)]
pub(super) struct Capture {
    pub(super) input: Option<Arc<Vec<u8>>>,
    pub(super) timeout: Duration,
    pub(super) pipes_within: Duration,
    pub(super) max_output: usize,
    /// Only the status is wanted: what the child prints into pipes is dropped.
    pub(super) discard: bool,
}

impl Default for Capture {
    fn default() -> Self {
        Capture {
            input: None,
            timeout: Duration::MAX,
            pipes_within: Duration::from_secs(2),
            max_output: 64 << 20,
            discard: false,
        }
    }
}

/// What a child has printed so far.
#[derive(Default)]
struct Printed {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

type Site = &'static Location<'static>;

impl Capture {
    #[track_caller]
    pub(super) fn run(
        self,
        start: Start,
        site: Site,
    ) -> impl Future<Output = Result<Output, OutputError>> {
        let program = start.name();
        let start = start.child();
        async move {
            let mut child = start.await.map_err(OutputError::new)?;
            let mut printed = Printed::default();
            let ended = self.until_end(&mut child, &mut printed, &program, site);
            let ended = match ignore_after(self.timeout, ended).await {
                // If the child has ended in time, only its pipes are still open.
                Ok(None) => child.try_wait().map(|status| Some((status?, true))),
                ended => ended,
            };
            let source = match ended {
                Ok(Some((status, pipes_left_open))) => {
                    // The rest of its group is stopped, if that is watched.
                    let stopped = match child.running.whole_group() {
                        true => shield(self.stop(&mut child, &mut printed, site)).await,
                        false => Ok(status),
                    };
                    let Printed { stdout, stderr } = printed;
                    return match stopped {
                        Ok(_) => Ok(Output { status, stdout, stderr, pipes_left_open, program }),
                        Err(source) => {
                            Err(OutputError { stdout, stderr, status: Some(status), source })
                        }
                    };
                }
                Ok(None) => {
                    let text = format!("`{program}` has not ended within {:?}", self.timeout);
                    io::Error::new(io::ErrorKind::TimedOut, text)
                }
                Err(error) => error,
            };
            let status = shield(self.stop(&mut child, &mut printed, site)).await.ok();
            Err(OutputError { stdout: printed.stdout, stderr: printed.stderr, status, source })
        }
    }

    /// Serves the pipes until the child has ended, and then for at most `pipes_within`. The second
    /// value is whether a pipe is still open.
    async fn until_end(
        &self,
        child: &mut Child,
        printed: &mut Printed,
        program: &str,
        site: Site,
    ) -> io::Result<(ExitStatus, bool)> {
        let Child { stdin, stdout, stderr, running } = child;
        let stdout = stdout.as_ref().map(|pipe| &pipe.0);
        let stderr = stderr.as_ref().map(|pipe| &pipe.0);
        let too_much = |stream| move || too_much(program, stream, self.max_output);
        let what = too_much("standard output");
        let mut stdout = pin!(self.collect(stdout, &mut printed.stdout, what, site));
        let what = too_much("standard error");
        let mut stderr = pin!(self.collect(stderr, &mut printed.stderr, what, site));
        let mut input = pin!(feed(stdin.take(), self.input.clone(), site));
        let mut ended = pin!(running.ended(site));
        let (mut input, mut ended) = (Part::new(input.as_mut()), Part::new(ended.as_mut()));
        let (mut stdout, mut stderr) = (Part::new(stdout.as_mut()), Part::new(stderr.as_mut()));
        let in_time = poll_fn(|cx| {
            let parts = [input.poll(cx), stdout.poll(cx), stderr.poll(cx), ended.poll(cx)];
            done_if(parts, |[.., ended]| ended)
        });
        in_time.await?;
        let pipes = poll_fn(|cx| {
            let parts = [stdout.poll(cx), stderr.poll(cx)];
            done_if(parts, |[stdout, stderr]| stdout && stderr)
        });
        let closed = ignore_after(self.pipes_within, pipes).await?;
        Ok((ended.value.expect("it has ended"), closed.is_none()))
    }

    async fn collect(
        &self,
        pipe: Option<&ReadPipe>,
        into: &mut Vec<u8>,
        too_much: impl FnOnce() -> io::Error,
        site: Site,
    ) -> io::Result<()> {
        let (Some(pipe), most) = (pipe, self.max_output) else { return Ok(()) };
        if self.discard {
            return drain(Some(pipe), into, 0, site).await;
        }
        // One byte more shows that there is too much.
        while pipe.read_into(site, into, (most - into.len()).saturating_add(1)).await? > 0 {
            if into.len() > most {
                into.truncate(most);
                return Err(too_much());
            }
        }
        Ok(())
    }

    /// Stops the child, or what is left of its group. Reads the pipes meanwhile, because a process
    /// that prints its last words into a full pipe does not end.
    async fn stop(
        &self,
        child: &mut Child,
        printed: &mut Printed,
        site: Site,
    ) -> io::Result<ExitStatus> {
        let Child { stdin, stdout, stderr, running } = child;
        *stdin = None;
        let last_words = async |pipe, into: &mut Vec<u8>| {
            // If the pipe cannot be read, the child is stopped all the same.
            let _ = drain(pipe, into, self.max_output, site).await;
            Ok(())
        };
        let stdout = stdout.as_ref().map(|pipe| &pipe.0);
        let stderr = stderr.as_ref().map(|pipe| &pipe.0);
        let mut stdout = pin!(last_words(stdout, &mut printed.stdout));
        let mut stderr = pin!(last_words(stderr, &mut printed.stderr));
        let (mut stdout, mut stderr) = (Part::new(stdout.as_mut()), Part::new(stderr.as_mut()));
        let mut stopped = pin!(async { Ok(running.stop(site).await) });
        let mut stopped = Part::new(stopped.as_mut());
        let stop = poll_fn(|cx| {
            let parts = [stdout.poll(cx), stderr.poll(cx), stopped.poll(cx)];
            done_if(parts, |[.., stopped]| stopped)
        });
        stop.await?;
        let pipes = poll_fn(|cx| {
            let parts = [stdout.poll(cx), stderr.poll(cx)];
            done_if(parts, |[stdout, stderr]| stdout && stderr)
        });
        ignore_after(self.pipes_within, pipes).await?;
        stopped.value.expect("it was stopped")
    }
}

/// A future beside others, polled until it has ended.
struct Part<'a, T> {
    future: Pin<&'a mut dyn Future<Output = io::Result<T>>>,
    value: Option<T>,
}

impl<'a, T> Part<'a, T> {
    fn new(future: Pin<&'a mut dyn Future<Output = io::Result<T>>>) -> Self {
        Part { future, value: None }
    }

    /// Whether it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.value.is_none() {
            if let Poll::Ready(result) = self.future.as_mut().poll(cx) {
                self.value = Some(result?);
            }
        }
        Ok(self.value.is_some())
    }
}

/// Ready with the first error, or if the parts that have ended are enough.
fn done_if<const N: usize>(
    parts: [io::Result<bool>; N],
    enough: impl FnOnce([bool; N]) -> bool,
) -> Poll<io::Result<()>> {
    let mut ended = [false; N];
    for (ended, part) in ended.iter_mut().zip(parts) {
        match part {
            Ok(has) => *ended = has,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    if enough(ended) { Poll::Ready(Ok(())) } else { Poll::Pending }
}

async fn feed(
    stdin: Option<ChildStdin>,
    input: Option<Arc<Vec<u8>>>,
    site: Site,
) -> io::Result<()> {
    let (Some(stdin), Some(input)) = (stdin, input) else { return Ok(()) };
    match stdin.write_all_at(site, &input).await {
        // The child knows best what it wants to read. Its status says whether it was content.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Reads to the end, and keeps the first `most` bytes.
async fn drain(
    pipe: Option<&ReadPipe>,
    into: &mut Vec<u8>,
    most: usize,
    site: Site,
) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    while pipe.read_into(site, into, usize::MAX).await? > 0 {
        into.truncate(most);
    }
    Ok(())
}

fn too_much(program: &str, stream: &str, most: usize) -> io::Error {
    let text = format!("`{program}` has written more than {most} bytes to its {stream}");
    io::Error::new(io::ErrorKind::QuotaExceeded, text)
}
