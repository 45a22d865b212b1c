//! Commands that are run to their end, and what they print (O2).

use std::io::{self, ErrorKind};
use std::time::Duration;

use curium::kernel::{
    self, TaskCancelled, TaskError, cancelled, sleep, spawn, testing, timeout_after, yield_now,
};
use curium::process::{Command, OutputError, Stdio, Stop};

use crate::process_kit::{from_child, sh, until_up};
use crate::support::process::until_closed;

const SECOND: Duration = Duration::from_secs(1);

/// O2: the output of a command.
#[test]
fn the_output_of_a_command_is_collected() {
    let output = kernel::run(async || sh("echo out; echo err >&2").output().await).unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert!(!output.pipes_left_open);
}

/// O2: a command that fails is no error of the call, and one of `check`, which says what is wrong.
#[test]
fn a_command_that_fails_is_an_error_when_it_is_checked() {
    let failed = kernel::run(async || {
        let output = sh("echo out; echo too bad >&2; exit 3").output().await.unwrap();
        output.check().unwrap_err()
    });
    assert_eq!(failed.to_string(), "`sh` failed: exit status: 3: too bad");
    assert_eq!(failed.output.status.code(), Some(3));
    assert_eq!(failed.output.stdout, b"out\n");
    let shown = format!("{failed:?}");
    assert!(shown.contains("stdout: \"out\\n\""), "{shown}");
    let error = io::Error::from(failed);
    assert!(error.get_ref().is_some_and(|error| error.is::<curium::process::CommandFailed>()));
}

/// O2: the status of a command, whose streams are those of this process unless they are set.
#[test]
fn the_status_of_a_command_is_waited_for() {
    kernel::run(async || {
        let mut command = sh("cat; exit 7");
        assert_eq!(command.stdin(Stdio::null()).status().await?.code(), Some(7));
        let mut command = sh("read line; test \"$line\" = word");
        assert!(command.input("word\n").status().await?.success());
        // What goes into a pipe is read and dropped, however much it is.
        let mut command = sh("head -c 1000000 /dev/zero");
        assert!(command.stdout(Stdio::piped()).max_output(1).status().await?.success());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a command is described as in `std`: arguments, environment, working directory.
#[test]
fn a_command_has_arguments_an_environment_and_a_directory() {
    kernel::run(async || {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $0 $ONE $TWO $THREE $HOME; pwd", "zero"]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ONE", "1");
        command.envs([("TWO", "2"), ("THREE", "3")]).env_remove("THREE").current_dir("/");
        for _ in 0..2 {
            let output = command.output().await?.check()?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), "zero 1 2\n/\n");
        }
        assert!(format!("{command:?}").ends_with("\"zero\""), "{command:?}");
        let mut named = Command::new("sh");
        named.configure(|command| {
            use std::os::unix::process::CommandExt;
            command.arg0("other");
        });
        assert_eq!(named.args(["-c", "echo $0"]).output().await?.check()?.stdout, b"other\n");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: the input is written while the output is read, so neither pipe fills up.
#[test]
fn input_is_written_while_output_is_read() {
    let text = vec![b'x'; 1 << 20];
    let mut command = sh("tee /dev/stderr");
    command.input(text.clone());
    let output = kernel::run(async || command.output().await).unwrap();
    assert!(output.stdout == text && output.stderr == text);
}

/// O2: that a child does not read its input is no error, and holds up neither its end nor a stop.
#[test]
fn a_child_that_never_reads_its_input_ends_and_is_stopped() {
    let text = vec![b'x'; 1 << 20];
    kernel::run(async || {
        let output = sh("echo done").input(text.clone()).output().await.unwrap();
        assert_eq!(output.stdout, b"done\n");
        let mut sleeper = Command::new("sleep");
        sleeper.arg("100").input(text.clone()).timeout(Duration::from_millis(10));
        let error = sleeper.output().await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::TimedOut);
        assert_eq!(error.status.and_then(|status| status.code()), None);
    });
}

/// O2: a child that floods its output is stopped at the limit, and the error has what fits.
#[test]
fn a_flood_is_stopped_at_the_limit() {
    kernel::run(async || {
        for (redirect, stream) in [("", "output"), (" >&2", "error")] {
            let error = sh(&format!("exec yes{redirect}")).max_output(10_000).output().await;
            let error = error.unwrap_err();
            assert_eq!(error.source.kind(), ErrorKind::QuotaExceeded);
            let text = format!("`sh` has written more than 10000 bytes to its standard {stream}");
            assert_eq!(error.to_string(), text);
            assert_eq!(error.stdout.len() + error.stderr.len(), 10_000);
            assert!(error.status.is_some());
            let shown = format!("{error:?}");
            assert!(shown.contains("and 8976 bytes more"), "{shown}");
        }
        let output = sh("printf 0123456789").max_output(10).output().await.unwrap();
        assert_eq!(output.stdout, b"0123456789");
    });
}

/// O2, K2: a flood does not keep other tasks from running.
#[test]
fn a_flood_leaves_other_tasks_their_turn() {
    kernel::run(async || {
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().await.unwrap();
        let output = child.stdout.take().unwrap();
        let flood = spawn(async move {
            let mut buf = vec![0; 64 * 1024];
            while output.read(&mut buf).await? > 0 {}
            Ok::<(), io::Error>(())
        });
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await.unwrap();
        }
        assert!(!flood.is_done());
        flood.cancel().await.unwrap();
    });
}

/// O2, C1: a cancelled call stops its child before it returns, and its error has what the child
/// has printed, also while it was stopped.
#[test]
fn a_cancelled_call_gives_what_the_child_has_printed() {
    let (up, says_up) = from_child();
    kernel::run(async || {
        let mut command = sh("trap 'echo bye; exit 3' TERM; echo first; echo up >&2; while :; do \
                              sleep 0.01; done");
        let call = spawn(command.stderr(says_up).output());
        until_up(&up).await;
        // The child may be up before its start is done here.
        while call.state().to_string() == "THREAD_WAIT" {
            yield_now().await.unwrap();
        }
        call.request_cancel();
        let Err(TaskError::Cancelled(error)) = call.join().await.unwrap() else {
            panic!("it was cancelled")
        };
        assert!(cancelled(&error).is_some());
        assert_eq!(error.stdout, b"first\nbye\n");
        assert_eq!(error.status.unwrap().code(), Some(3));
    });
}

/// O2: a time limit stops the child, and the error has what it has printed. The clock stands still
/// while the other task waits for the child.
#[test]
fn a_time_limit_gives_what_the_child_has_printed() {
    let (up, says_up) = from_child();
    let error = testing::run(async || {
        let mut command = sh("echo first; echo up >&2; exec sleep 100");
        let call = spawn(command.stderr(says_up).timeout(SECOND).output());
        until_up(&up).await;
        match call.join().await.unwrap() {
            Err(TaskError::Failed(error)) => error,
            other => panic!("it has timed out: {other:?}"),
        }
    });
    assert_eq!(error.source.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "`sh` has not ended within 1s");
    assert_eq!(error.stdout, b"first\n");
    assert!(error.status.is_some_and(|status| !status.success()));
}

/// O2, T1: a timeout around the call stops the child as well, before it returns.
#[test]
fn a_timeout_around_the_call_stops_the_child() {
    let (alive, lives) = from_child();
    kernel::run(async || {
        let mut command = Command::new("sleep");
        let call = command.arg("100").stderr(lives).output();
        timeout_after(Duration::from_millis(10), call).await.unwrap_err();
    });
    until_closed(&alive);
}

/// O2: a process that the child has started keeps the pipe open. The call ends after
/// `pipes_within`, with what was printed, and leaves that process alone.
#[test]
fn a_grandchild_that_keeps_the_pipe_holds_up_no_output() {
    let (up, says_up) = from_child();
    let output = testing::run(async || {
        let mut command = sh("sleep 100 & echo $!; echo up >&2; kill -9 $$");
        let call = spawn(command.pipes_within(SECOND).stderr(says_up).output());
        until_up(&up).await;
        call.await
    });
    let output: curium::process::Output = output.unwrap_or_else(|error: OutputError| {
        panic!("{error}");
    });
    assert!(output.pipes_left_open);
    let grandchild = String::from_utf8(output.stdout).unwrap();
    let kill = std::process::Command::new("kill").arg(grandchild.trim()).status().unwrap();
    assert!(kill.success(), "it was alive");
}

/// O2: nor does it make a child late that has ended in time.
#[test]
fn a_grandchild_that_keeps_the_pipe_makes_no_child_late() {
    let output = kernel::run(async || {
        let mut command = sh("sleep 3 & echo done");
        command.timeout(SECOND).pipes_within(100 * SECOND).output().await
    });
    let output: curium::process::Output = output.unwrap_or_else(|error: OutputError| {
        panic!("{error}");
    });
    assert!(output.status.success() && output.pipes_left_open);
    assert_eq!(output.stdout, b"done\n");
}

/// O2: with `whole_group` that process is stopped, too, when the call ends.
#[test]
fn a_call_ends_the_whole_group_on_request() {
    let (alive, lives) = from_child();
    let stop = Stop { whole_group: true, ..Stop::default() };
    kernel::run(async || {
        let mut command = sh("sleep 100 & sleep 100 & exit 0");
        command.stop_with(stop).stdout(Stdio::null()).stderr(lives);
        assert!(command.status().await.unwrap().success());
    });
    until_closed(&alive);
}

/// O2: its last words are read meanwhile, so that a full pipe does not keep it from its end.
#[test]
fn the_last_words_of_a_group_are_read_while_it_is_stopped() {
    let words = 200_000;
    let member = format!("trap 'head -c {words} /dev/zero; exit' TERM; kill -USR1 $$");
    let mut command =
        sh(&format!("trap 'exit 0' USR1; ({member}; while :; do sleep 0.01; done) & wait"));
    let stop = Stop { grace: 20 * SECOND, whole_group: true, ..Stop::default() };
    command.stop_with(stop).pipes_within(Duration::from_millis(1));
    let output = kernel::run(async || command.output().await).unwrap();
    assert!(output.status.success() && output.pipes_left_open);
    assert_eq!(output.stdout.len(), words, "it was killed in the middle");
}

/// C12, O2: outside a kernel the call is a panic.
#[test]
#[should_panic(expected = "outside")]
fn a_command_needs_a_kernel() {
    let _ = futures::executor::block_on(Command::new("true").output());
}

/// O2, C16: the error of the call holds a cancellation, and passes for one in a timeout.
#[test]
fn a_cancellation_is_found_in_the_error_of_the_call() {
    let error = kernel::run(async || {
        let call = spawn(async {
            sh("exec sleep 100").output().await?;
            Ok::<(), io::Error>(())
        });
        yield_now().await.unwrap();
        call.request_cancel();
        call.join().await.unwrap().unwrap_err()
    });
    let TaskError::Cancelled(error) = error else { panic!("{error:?}") };
    assert!(cancelled(&error).is_some());
    let bare: OutputError = kernel::run(async || {
        let call =
            spawn(async { Err::<(), TaskCancelled>(sleep(1000 * SECOND).await.unwrap_err()) });
        yield_now().await.unwrap();
        call.request_cancel();
        match call.join().await.unwrap() {
            Err(TaskError::Cancelled(cancelled)) => cancelled.into(),
            other => panic!("{other:?}"),
        }
    });
    assert!(bare.status.is_none() && cancelled(&bare).is_some());
}

/// O2: the errors of a command become the one error of a program.
#[test]
fn the_errors_of_a_command_are_errors_of_a_program() {
    async fn run(script: &str) -> Result<(), curium::Error> {
        sh(script).max_output(1).output().await?.check()?;
        Ok(())
    }
    kernel::run(async || {
        assert!(matches!(run("echo word").await, Err(curium::Error::Io(_))));
        assert!(matches!(run("exit 1").await, Err(curium::Error::Io(_))));
        let call = spawn(run("exec sleep 100"));
        yield_now().await.unwrap();
        call.request_cancel();
        assert!(matches!(call.await, Err(curium::Error::Cancelled(_))));
    });
}

/// O2: a child, its pipes and its output move between threads, and so do the errors.
#[test]
fn children_move_between_threads() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<curium::process::Child>();
    is_send::<curium::process::ChildStdin>();
    is_send::<curium::process::ChildStdout>();
    is_shared::<curium::process::Output>();
    is_shared::<OutputError>();
    is_shared::<curium::process::CommandFailed>();
    is_shared::<Stdio>();
    is_send::<Command>();
    let mut child = kernel::run(async || sh("exit 4").spawn().await.unwrap());
    let there = std::thread::spawn(move || kernel::run(async || child.wait().await));
    assert_eq!(there.join().unwrap().unwrap().code(), Some(4));
}
