//! Children when the system fails, or another part of the program does (O2).

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use curium::kernel;
use curium::process::{Command, SIGWINCH, Stop};

use crate::process_kit::{from_child, sh, until_up};
use crate::support::children;
use crate::support::process::{state_of, until_closed, until_gone};
use crate::support::traces::Listener;

/// O2: that a child had to be killed is a warning with its name.
#[test]
fn a_child_that_has_to_be_killed_is_named_in_a_warning() {
    // What listens to `tracing` is for the whole process.
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        kernel::run(async || {
            for (trap, grace) in [("exit", 100_000), ("", 10)] {
                let (up, says_up) = from_child();
                let mut command =
                    sh(&format!("trap '{trap}' TERM; echo up >&2; while :; do sleep 0.01; done"));
                let grace = Duration::from_millis(grace);
                command.stop_with(Stop { grace, ..Stop::default() }).stderr(says_up);
                let mut child = command.spawn().await?;
                until_up(&up).await;
                child.stop().await?;
            }
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
    let warning = "WARN: `sh` has not ended within 10ms after SIGTERM, and is killed";
    assert_eq!(listener.heard(), [warning]);
}

/// O2: so is what the child has started, if that is stopped with it.
#[test]
fn what_is_left_of_a_group_is_named_in_a_warning() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let listener = Listener::default();
    let ended = tracing::subscriber::with_default(listener.clone(), || {
        kernel::run(async || {
            let mut command = sh("(trap '' TERM; echo up; while :; do sleep 0.01; done) & read up");
            let grace = Duration::from_millis(10);
            command.stop_with(Stop { grace, whole_group: true, ..Stop::default() });
            let (up, says_up) = UnixStream::pair()?;
            command.stdin(OwnedFd::from(up)).stdout(OwnedFd::from(says_up)).status().await
        })
    });
    assert!(ended.unwrap().success());
    let warning = "WARN: what `sh` has started has not ended within 10ms after SIGTERM, and is \
                   killed";
    assert_eq!(listener.heard(), [warning]);
}

/// O2: a child that this process may not kill is an error that says so, after the grace. The
/// handle goes on with it, and without a handle it is reaped when it ends.
#[test]
fn a_child_that_may_not_be_killed_is_reaped_when_it_ends() {
    if children::role().is_none() {
        let options = ["-e", "inject=pidfd_send_signal,kill:error=EPERM"];
        let trace = children::traced(children::this_test!(), "no permission", &options);
        assert!(trace.is_none_or(|trace| trace.injected("EPERM") >= 6));
        return;
    }
    kernel::run(async || {
        for whole_group in [false, true] {
            let (go, waits) = from_child();
            let mut command = sh("read go <&2; exit 3");
            let grace = Duration::from_millis(10);
            let stop = Stop { grace, whole_group, ..Stop::default() };
            let mut child = command.stop_with(stop).stderr(waits).spawn().await?;
            let error = child.stop().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let text = "`sh` cannot be killed: Operation not permitted (os error 1); it goes on, \
                        and is reaped when it ends";
            assert_eq!(error.to_string(), text);
            assert_eq!(child.try_wait()?, None);
            drop(go);
            assert_eq!(child.wait().await?.code(), Some(3));
            drop(child);

            let (go, waits) = from_child();
            let id = Cell::new(0);
            let left = command.stderr(waits).run(async |child| {
                id.set(child.id());
                Ok::<(), io::Error>(())
            });
            assert_eq!(left.await.unwrap_err().to_string(), text);
            assert!(state_of(id.get()).is_some_and(|state| state != "Z"), "it goes on");
            drop(go);
            until_gone(id.get());
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child is asked and has the grace, also if its pipes cannot be read: here the poll of the
/// kernel takes no further source, for lack of memory.
#[test]
fn a_child_is_stopped_in_order_when_its_pipes_cannot_be_read() {
    let this = children::this_test!();
    if children::role().is_none() {
        children::without_sources(this, children::ALONE);
        return;
    }
    let error = kernel::run(async || {
        // It ends with its input.
        let mut command = sh("read line; sleep 0.05; exit 3");
        command.input("").stop_with(Stop { signal: SIGWINCH, ..Stop::default() });
        command.output().await.unwrap_err()
    });
    assert_eq!(error.source.kind(), ErrorKind::OutOfMemory);
    assert_eq!(error.status.and_then(|status| status.code()), Some(3));
}

/// O2: a child for which the system has no descriptor is killed, and the error says so.
#[test]
fn a_child_without_a_descriptor_is_killed() {
    match children::role().as_deref() {
        None => {
            let options = ["-e", "trace=pidfd_open", "-e", "inject=pidfd_open:error=EMFILE"];
            let trace = children::traced(children::this_test!(), "no descriptor", &options);
            assert!(trace.is_none_or(|trace| trace.injected("EMFILE") == 2));
        }
        Some(_) => {
            for whole_group in [false, true] {
                let (alive, lives) = from_child();
                let error = kernel::run(async || {
                    let mut command = Command::new("sleep");
                    command.stop_with(Stop { whole_group, ..Default::default() });
                    command.arg("100").stderr(lives).spawn().await.unwrap_err()
                });
                assert!(error.to_string().starts_with("cannot start `sleep`: Too many open files"));
                until_closed(&alive);
            }
        }
    }
}

/// O2: a program that ignores `SIGCHLD` has its children reaped by the system, which keeps no
/// status. That is an error, and no hang.
#[test]
fn a_child_that_the_system_has_reaped_is_a_clear_error() {
    if children::role().is_some() {
        let error = kernel::run(async || {
            let mut command = Command::new("sleep");
            command.arg("0.05").status().await.unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().contains("the end of a child was lost"), "{error}");
        return;
    }
    let this = children::command(children::this_test!(), children::ALONE);
    // What is ignored stays ignored in the program that a process becomes.
    let mut ignoring = std::process::Command::new("env");
    ignoring.arg("--ignore-signal=CHLD").arg(this.get_program()).args(this.get_args());
    for (key, value) in this.get_envs() {
        ignoring.env(key, value.unwrap());
    }
    let output = ignoring.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("2 passed"), "{text}");
}

/// O2: what another part of the program reaps behind the back of a child is an error of the wait,
/// and the drop of the child harms no other process.
#[test]
fn a_child_that_other_code_has_reaped_is_a_clear_error() {
    kernel::run(async || {
        let mut child = Command::new("true").spawn().await?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap());
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())?;
        for _ in 0..2 {
            let error = child.wait().await.unwrap_err();
            assert!(error.to_string().contains("the end of a child was lost"), "{error}");
        }
        child.signal(curium::process::SIGTERM)?;
        assert!(child.stop().await.is_err());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
