//! How children end: asked, killed after a grace, dropped, detached (O2).

use std::cell::Cell;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use curium::io::ReadExt;
use curium::kernel::{
    self, TaskCancelled, TaskEnd, cancelled, ignore_after, sleep, spawn, yield_now,
};
use curium::process::{Child, Command, SIGKILL, SIGTERM, SIGUSR1, Stdio, Stop};

use crate::process_kit::{from_child, sh, until_up};
use crate::support::children;
use crate::support::process::{state_of, until_closed, until_gone};

/// A shell that prints when it is up, and exits with status 3 when it is asked to end.
const OBEDIENT: &str = "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done";

/// A shell that prints when it is up, and ignores the request to end.
const DEAF: &str = "trap '' TERM; echo up; while :; do sleep 0.01; done";

fn grace(milliseconds: u64) -> Stop {
    Stop { grace: Duration::from_millis(milliseconds), ..Stop::default() }
}

/// Waits for the first output of a child.
async fn up(child: &Child) -> io::Result<()> {
    child.stdout.as_ref().expect("it is piped").read(&mut [0; 8]).await?;
    Ok(())
}

/// O2: a child that is stopped is asked first, and reaped.
#[test]
fn a_child_that_obeys_ends_by_itself() {
    kernel::run(async || {
        let mut child = sh(OBEDIENT).stdout(Stdio::piped()).spawn().await?;
        up(&child).await?;
        assert_eq!(child.stop().await?.code(), Some(3));
        assert_eq!(state_of(child.id()), None, "it is reaped");
        assert_eq!(child.stop().await?.code(), Some(3), "a second stop changes nothing");
        assert_eq!(child.wait().await?.code(), Some(3));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child that ignores the request is killed after the grace, and reaped.
#[test]
fn a_child_that_ignores_the_request_is_killed_after_the_grace() {
    kernel::run(async || {
        for milliseconds in [0, 20] {
            let mut command = sh(DEAF);
            let mut child =
                command.stdout(Stdio::piped()).stop_with(grace(milliseconds)).spawn().await?;
            up(&child).await?;
            assert_eq!(child.stop().await?.signal(), Some(9));
            assert_eq!(state_of(child.id()), None, "it is reaped");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: the signal that asks can be another one.
#[test]
fn a_child_is_asked_by_the_signal_of_its_choice() {
    kernel::run(async || {
        // A shell that was started in the background ignores SIGINT, and cannot change that.
        let mut command = sh("trap 'exit 4' USR1; echo up; while :; do sleep 0.01; done");
        command.stop_with(Stop { signal: SIGUSR1, ..Stop::default() }).stdout(Stdio::piped());
        let mut child = command.spawn().await?;
        up(&child).await?;
        assert_eq!(child.stop().await?.code(), Some(4));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child is stopped when the body of `run` is left: by its end, an error, or a cancellation.
#[test]
fn a_child_is_stopped_when_its_body_is_left() {
    kernel::run(async || {
        let mut command = sh(OBEDIENT);
        command.stdout(Stdio::piped());
        let id = command.run(async |child| {
            up(child).await?;
            Ok::<u32, io::Error>(child.id())
        });
        assert_eq!(state_of(id.await.unwrap()), None);

        let failed = command.run(async |child| {
            up(child).await?;
            Err::<(), io::Error>(io::Error::other(child.id().to_string()))
        });
        let id = failed.await.unwrap_err().to_string().parse().unwrap();
        assert_eq!(state_of(id), None);

        let id = Rc::new(Cell::new(0));
        let seen = id.clone();
        let left = command.run(async move |child| {
            up(child).await?;
            seen.set(child.id());
            let error = sleep(Duration::from_secs(100)).await.unwrap_err();
            assert!(child.try_wait()?.is_none(), "it is not stopped yet");
            Err::<(), io::Error>(error.into())
        });
        let task = spawn(left);
        while id.get() == 0 {
            yield_now().await.unwrap();
        }
        task.cancel().await.unwrap();
        assert_eq!(task.end(), Some(TaskEnd::Cancelled));
        assert_eq!(state_of(id.get()), None);
    });
}

/// O2, K3: a panic of the body goes on when the child is stopped.
#[test]
fn a_child_is_stopped_when_its_body_panics() {
    let (alive, lives) = from_child();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        kernel::run(async || {
            let mut command = sh(OBEDIENT);
            command.stdout(Stdio::piped()).stderr(lives);
            let body = command.run(async |child| -> io::Result<()> {
                up(child).await?;
                panic!("the id is {}", child.id());
            });
            body.await
        })
    }))
    .unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    let id = text.strip_prefix("the id is ").unwrap().parse().unwrap();
    assert_eq!(state_of(id), None, "it was reaped before");
    until_closed(&alive);
}

/// O2: a program that does not start has no body.
#[test]
fn a_body_does_not_run_without_its_child() {
    let error = kernel::run(async || {
        let body = async |_: &mut Child| -> io::Result<()> { unreachable!("there is no child") };
        Command::new("curium-no-such-program").run(body).await.unwrap_err()
    });
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// O2: a child that is dropped is killed at once, also without a kernel, and reaped.
#[test]
fn a_dropped_child_is_killed_and_reaped() {
    let (child, other) = kernel::run(async || {
        let child = sh(DEAF).stdout(Stdio::piped()).spawn().await.unwrap();
        up(&child).await.unwrap();
        let other = Command::new("sleep").arg("100").spawn().await.unwrap();
        let id = other.id();
        drop(other);
        (child, id)
    });
    until_gone(other);
    let id = child.id();
    assert!(state_of(id).is_some());
    drop(child);
    until_gone(id);
}

/// O2: an aborted task cannot wait: its child is killed and reaped in the background.
#[test]
fn the_child_of_an_aborted_task_is_killed_and_reaped() {
    let (up, says_up) = from_child();
    kernel::run(async || {
        let mut command = sh("echo up >&2; exec sleep 100");
        let call = spawn(command.stderr(says_up).output());
        until_up(&up).await;
        call.abort();
    });
    until_closed(&up);
}

/// O2: a call that is cancelled while its child is being started returns at once, and the child is
/// killed and reaped when it has started.
#[test]
fn a_start_that_is_left_starts_nothing_that_stays() {
    let (alive, lives) = from_child();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    kernel::run(async || {
        let mut command = Command::new("sleep");
        command.arg("100").stderr(lives).configure(move |_| {
            wait.lock().unwrap().recv().unwrap();
        });
        let start = spawn(command.spawn());
        yield_now().await.unwrap();
        start.request_cancel();
        let error = start.join().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, kernel::TaskError::Cancelled(error) if cancelled(error).is_some())
        );
        go_on.send(()).unwrap();
    });
    until_closed(&alive);
}

/// O2: `whole_group` asks what the child has started as well, and gives it the grace, too, when the
/// child itself has ended.
#[test]
fn the_whole_group_is_asked_and_has_the_grace() {
    kernel::run(async || {
        let slow = "trap 'sleep 0.05; echo bye; exit' TERM; echo up; while :; do sleep 0.01; done";
        let mut command = sh(&format!("({slow}) & wait"));
        command.stop_with(Stop { whole_group: true, ..grace(100_000) }).stdout(Stdio::piped());
        let mut child = command.spawn().await?;
        up(&child).await?;
        assert_eq!(child.stop().await?.signal(), Some(SIGTERM.as_raw()), "it has no trap");
        assert_eq!(state_of(child.id()), None, "it is reaped");
        let mut rest = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest).await?;
        assert_eq!(rest, "bye\n");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: after the grace what is left of the group is killed.
#[test]
fn the_whole_group_is_killed_after_the_grace() {
    let (alive, lives) = from_child();
    kernel::run(async || {
        let mut command = sh(&format!("({DEAF}) & ({DEAF}) & wait"));
        command
            .stop_with(Stop { whole_group: true, ..grace(20) })
            .stdout(Stdio::piped())
            .stderr(lives);
        let mut child = command.spawn().await?;
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).await?;
        child.stop().await?;
        assert_eq!(state_of(child.id()), None, "it is reaped");
        until_closed(&alive);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: so it is if the child itself ignores the request.
#[test]
fn the_whole_group_of_a_deaf_child_is_killed_after_the_grace() {
    // A hang is a failure: a stop is not cancelled.
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (alive, lives) = from_child();
    kernel::run(async || {
        let mut command = sh(&format!("({DEAF}) & {DEAF}"));
        let stop = Stop { whole_group: true, ..grace(20) };
        command.stop_with(stop).stdout(Stdio::piped()).stderr(lives);
        let mut child = command.spawn().await?;
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).await?;
        assert_eq!(child.stop().await?.signal(), Some(SIGKILL.as_raw()));
        until_closed(&alive);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child of a whole group ends and keeps its status; its drop kills the rest of the group.
#[test]
fn a_dropped_child_takes_its_whole_group_with_it() {
    let (alive, lives) = from_child();
    let id = kernel::run(async || {
        let mut command = sh("sleep 100 & exit 5");
        command.stop_with(Stop { whole_group: true, ..Stop::default() }).stderr(lives);
        let mut child = command.spawn().await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(5));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(5));
        child.id()
    });
    until_closed(&alive);
    until_gone(id);
}

/// O2: a detached child goes on, and is reaped when it ends.
#[test]
fn a_detached_child_goes_on_and_is_reaped() {
    let id = kernel::run(async || {
        let child = sh("read line").stdin(Stdio::piped()).spawn().await.unwrap();
        let id = child.id();
        let mut child = child;
        let input = child.stdin.take().unwrap();
        child.detach();
        let other = Command::new("true").spawn().await.unwrap();
        let short = other.id();
        other.detach();
        until_gone(short);
        assert!(state_of(id).is_some_and(|state| state != "Z"), "it goes on");
        input.write_all(b"line\n").await.unwrap();
        id
    });
    until_gone(id);
}

/// O2: children that are dropped together are all reaped, beside a detached one that goes on.
#[test]
fn dropped_children_are_reaped_beside_one_that_goes_on() {
    let id = kernel::run(async || {
        let mut first = sh("read line").stdin(Stdio::piped()).spawn().await.unwrap();
        let (id, input) = (first.id(), first.stdin.take().unwrap());
        first.detach();
        let mut others = Vec::new();
        for _ in 0..20 {
            others.push(Command::new("sleep").arg("100").spawn().await.unwrap());
        }
        let ids: Vec<u32> = others.iter().map(Child::id).collect();
        drop(others);
        ids.into_iter().for_each(until_gone);
        assert!(state_of(id).is_some_and(|state| state != "Z"), "it goes on");
        drop(input);
        id
    });
    until_gone(id);
}

/// O2: a signal reaches a child that runs. After its end it is nothing, and no error.
#[test]
fn a_child_gets_signals_until_it_has_ended() {
    kernel::run(async || {
        let mut command = sh("trap 'echo got' USR1; echo up; while :; do sleep 0.01; done");
        let mut child = command.stdout(Stdio::piped()).spawn().await?;
        up(&child).await?;
        assert_eq!(child.try_wait()?, None);
        child.signal(SIGUSR1)?;
        up(&child).await?;
        child.kill()?;
        assert_eq!(child.wait().await?.signal(), Some(SIGKILL.as_raw()));
        for signal in [SIGTERM, SIGKILL] {
            child.signal(signal)?;
        }
        assert_eq!(child.try_wait()?.unwrap().signal(), Some(9));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, C1: a wait that is cancelled leaves the child as it is, and the next wait sees its end.
#[test]
fn a_cancelled_wait_leaves_the_child_alone() {
    kernel::run(async || {
        let mut child = sh("read line").stdin(Stdio::piped()).spawn().await?;
        let input = child.stdin.take();
        let waited = ignore_after(Duration::from_millis(1), child.wait()).await?;
        assert!(waited.is_none());
        assert_eq!(child.try_wait()?, None);
        drop(input);
        assert_eq!(child.wait().await?.code(), Some(1));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, K1: a task that waits for a child keeps no other task from running.
#[test]
fn waiting_for_a_child_blocks_no_task() {
    let ticks = kernel::run(async || {
        let mut child = sh("read line").stdin(Stdio::piped()).spawn().await.unwrap();
        let input = child.stdin.take().unwrap();
        let waits = spawn(async move { child.wait().await });
        for _ in 0..10 {
            sleep(Duration::from_millis(1)).await?;
        }
        assert!(!waits.is_done());
        input.write_all(b"line\n").await.unwrap();
        assert!(waits.await.unwrap().success());
        Ok::<u32, TaskCancelled>(10)
    });
    assert_eq!(ticks.unwrap(), 10);
}
