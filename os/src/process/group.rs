//! The processes of a group beside its first one. They are not children of this process, so their
//! ends are seen by descriptors of their own.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::Location;
use std::time::Duration;

use ::io::{Direction, FdSource, Registration, is_ready};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The threads that look for the members of groups, which takes long if there are many processes.
/// They wait for nothing, so a few are enough, and a stop does not wait for jobs that hang.
static LOOKS: kernel::ThreadPool = kernel::ThreadPool::new("curium-group", 4);

/// How long a look is waited for when it is cancelled. It takes a few milliseconds.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// Waits until no process of the group is left but its first one.
pub(super) async fn others_end(group: Pid, site: &'static Location<'static>) -> io::Result<()> {
    loop {
        // The shutdown would name a look that is left to its thread.
        let members = LOOKS.run_in_thread(move || members(group));
        let members = kernel::shield_for(LONGEST_LOOK, members).await??;
        if members.is_empty() {
            return Ok(());
        }
        for member in members {
            let member = Registration::new(FdSource(member));
            let ended = |member: &FdSource<_>| is_ready(member.as_fd(), Direction::Read);
            member.io_at(Direction::Read, "PROCESS_WAIT", site, ended).await?;
        }
        // They may have started others meanwhile.
    }
}

fn members(group: Pid) -> io::Result<Vec<OwnedFd>> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        if pid == group || !runs_in(group, pid) {
            continue;
        }
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Looked at again, because the number may have been given to another process.
            Ok(fd) if runs_in(group, pid) => members.push(fd),
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(members)
}

/// Whether a process is in this group and has not ended.
fn runs_in(group: Pid, pid: Pid) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else {
        return false;
    };
    // After the name in parentheses, which may contain anything: the state, the parent, the group.
    let mut words = line.rsplit(')').next().unwrap_or_default().split_whitespace();
    let state = words.next().unwrap_or_default();
    // -1 while the process is being reaped.
    let its_group = words.nth(1).and_then(|group| group.parse().ok());
    !matches!(state, "Z" | "X") && its_group == Some(group.as_raw_nonzero().get())
}
