//! How a child is stopped: asked, after a grace killed, always reaped.

use std::io;
use std::panic::Location;
use std::process::ExitStatus;
use std::time::Duration;

use ::io::{Direction, FdSource, Registration};
use kernel::{cancelled, ignore_after, shield, sleep};

use rustix::process::Pid;

use super::group;
use super::pidfd::Process;
use crate::number::{SIGTERM, Signal};

/// How a child is stopped: it gets a signal, and if it has not ended after the grace, it is killed.
///
/// ```
/// use curium::process::{Command, Stop};
/// use std::time::Duration;
///
/// let mut command = Command::new("sh");
/// command.stop_with(Stop { grace: Duration::from_secs(1), whole_group: true, ..Stop::default() });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// What asks it to end. The default is `SIGTERM`.
    pub signal: Signal,
    /// How long it has to end before it is killed. The default is 5 seconds. Zero kills it unless
    /// it has ended already, `Duration::MAX` never.
    pub grace: Duration,
    /// Whether the child and all the processes that it starts are stopped together. The default is
    /// `false`: only the child is, and what it has started goes on, as after a shell that is
    /// killed.
    ///
    /// The child is then the first of a process group of its own, in which its descendants are as
    /// well unless they leave it. When the child has ended, also by itself, the rest of the group
    /// is asked, has the rest of the grace, and is killed. So a Ctrl-C at the terminal, which goes
    /// to the group in the foreground, no longer reaches the child, and a read from the terminal
    /// stops it (`SIGTTIN`).
    pub whole_group: bool,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { signal: SIGTERM, grace: Duration::from_secs(5), whole_group: false }
    }
}

/// How long the killed processes of a group are waited for.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The pause between two looks at a child whose end the system does not report.
const RETRY: Duration = Duration::from_millis(10);

type Site = &'static Location<'static>;

/// The system does not permit this process to kill a child.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` cannot be killed: {source}; it goes on, and is reaped when it ends")]
struct NotStopped {
    program: String,
    source: io::Error,
}

/// A child, and how it is to be stopped.
pub(super) struct Running {
    process: Box<Registration<FdSource<Process>>>,
    stop: Stop,
    /// The program, for warnings.
    program: String,
}

impl Running {
    pub(super) fn new(process: Process, stop: Stop, program: String) -> Running {
        let process = Box::new(Registration::new(FdSource(process)));
        // The reaper keeps the descriptor of a child that is dropped, so it must be deregistered.
        process.may_be_duplicated();
        Running { process, stop, program }
    }

    /// Whether its group is stopped with it.
    pub(super) fn whole_group(&self) -> bool {
        self.stop.whole_group
    }

    pub(super) fn id(&self) -> u32 {
        self.with(|process| Ok(process.id())).expect("it is never closed")
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&Process) -> io::Result<R>) -> io::Result<R> {
        self.process.with(|process| look(&process.0))
    }

    /// Waits until it has ended.
    pub(super) fn ended(&self, site: Site) -> impl Future<Output = io::Result<ExitStatus>> + '_ {
        self.process.io_at(Direction::Read, "PROCESS_WAIT", site, |process| process.0.end())
    }

    /// Stops it, unless it has ended. It has ended and is reaped when this returns.
    pub(super) async fn stop(&self, site: Site) -> io::Result<ExitStatus> {
        shield(self.stop_in_shield(site)).await
    }

    async fn stop_in_shield(&self, site: Site) -> io::Result<ExitStatus> {
        let (mut ended, group) = self.with(|process| Ok((process.end(), process.group())))?;
        if would_block(&ended) || group.is_some() {
            ended = self.ask_and_kill(group, site).await;
        }
        self.with(|process| {
            process.reap();
            Ok(())
        })?;
        ended
    }

    async fn ask_and_kill(&self, group: Option<Pid>, site: Site) -> io::Result<ExitStatus> {
        // If that is not permitted, it has the grace all the same: the end of its input may end it.
        let _ = self.with(|process| process.signal(self.stop.signal));
        let in_time = async {
            let ended = self.ended_in_any_case(site).await;
            // Not after the grace: the expiry has come out of the wait for the child.
            if let (Some(group), Ok(_)) = (group, &ended) {
                group::others_end(group, site).await?;
            }
            ended
        };
        let late = match ignore_after(self.stop.grace, in_time).await {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => true,
            // The end was lost, or the group cannot be looked at.
            Err(_) => false,
        };
        let has_ended = self.with(Process::end).is_ok();
        let killed = self.with(Process::kill);
        if late {
            self.warn(has_ended, killed.is_ok());
        }
        killed.map_err(|source| {
            let program = self.program.clone();
            io::Error::new(source.kind(), NotStopped { program, source })
        })?;
        let ended = self.ended_in_any_case(site).await;
        if let Some(group) = group {
            // They are killed as well, and end unless the system is stuck.
            let _ = ignore_after(LAST_LOOK, group::others_end(group, site)).await;
        }
        ended
    }

    /// Waits until it has ended, also while the poll of the kernel takes no further source, for
    /// lack of memory.
    async fn ended_in_any_case(&self, site: Site) -> io::Result<ExitStatus> {
        loop {
            match self.ended(site).await {
                Err(error)
                    if cancelled(&error).is_none() && would_block(&self.with(Process::end)) =>
                {
                    sleep(RETRY).await?;
                }
                ended => return ended,
            }
        }
    }

    fn warn(&self, has_ended: bool, is_killed: bool) {
        let Running { program, stop: Stop { grace, signal, .. }, .. } = self;
        let late = match has_ended {
            true => format!("what `{program}` has started"),
            false => format!("`{program}`"),
        };
        let killed = if is_killed { "is killed" } else { "cannot be killed" };
        kernel::warn(&format!(
            "{late} has not ended within {grace:?} after {signal}, and {killed}"
        ));
    }

    /// Lets it run.
    pub(super) fn let_go(self) {
        if let Some(process) = self.process.into_source() {
            process.0.let_go();
        }
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
