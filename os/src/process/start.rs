//! The start of a child, on another thread: a program on a disk that does not answer blocks the
//! thread that executes it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::child::Child;
use super::pidfd::Process;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use super::reaper;
use super::stop::{Running, Stop};
use ::io::shortage;

/// The threads that start children. They are not those of other jobs, so that neither wait for the
/// other when all of them hang.
static STARTS: kernel::ThreadPool = kernel::ThreadPool::new("curium-start", 64);

/// Sets a part of a command.
pub(super) type Setup = Arc<dyn Fn(&mut std::process::Command) + Send + Sync>;

/// All that the start of a child needs.
pub(super) struct Start {
    pub(super) program: OsString,
    pub(super) setups: Vec<Setup>,
    pub(super) stdio: io::Result<[std::process::Stdio; 3]>,
    pub(super) stop: Stop,
}

/// A program could not be started.
#[derive(thiserror::Error)]
#[error("cannot start `{program}`{place}: {source}{}", advice(source))]
struct NotStarted {
    program: String,
    place: String,
    source: io::Error,
}

/// The text in quotes, because the `Debug` of an error is what a `main` that returns it prints.
impl fmt::Debug for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What to do about a lack, as the end of a text.
fn advice(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::WouldBlock {
        return String::from(
            "; raise the limit of processes (`ulimit -u`, `pids.max` of the control group)",
        );
    }
    shortage::advice(error, "files")
}

impl Start {
    pub(super) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Starts it on another thread. A child whose future was dropped meanwhile is dropped there.
    #[track_caller]
    pub(super) fn child(self) -> impl Future<Output = io::Result<Child>> {
        let started = STARTS.run_in_thread(move || self.now());
        async move { started.await? }
    }

    fn now(self) -> io::Result<Child> {
        reaper::try_again();
        let name = self.name();
        let mut command = std::process::Command::new(&self.program);
        self.setups.iter().for_each(|setup| setup(&mut command));
        let group = self.stop.whole_group;
        if group {
            command.process_group(0);
        }
        let directory = command.get_current_dir().map(PathBuf::from);
        let started = self.stdio.and_then(|[stdin, stdout, stderr]| {
            let mut child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
            let (stdin, stdout, stderr) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            // From here on an error drops the process, which kills the child.
            let process = Process::of(child, group)?;
            Ok(Child {
                stdin: stdin.map(ChildStdin::new).transpose()?,
                stdout: stdout.map(ChildStdout::new).transpose()?,
                stderr: stderr.map(ChildStderr::new).transpose()?,
                running: Running::new(process, self.stop, name.clone()),
            })
        });
        started.map_err(|source| {
            let kind = match source.kind() {
                // A lack of processes. Callers would take it for "not ready yet".
                io::ErrorKind::WouldBlock => io::ErrorKind::Other,
                kind => kind,
            };
            let place = match directory {
                Some(place) if !place.is_dir() => {
                    format!(" in `{}`, which is no directory", place.display())
                }
                _ => String::new(),
            };
            io::Error::new(kind, NotStarted { program: name, place, source })
        })
    }
}
