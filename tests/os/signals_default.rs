//! What a signal does while no program listens for it.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use curium::signal::{self, Signal, signals};
use curium::signal::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGSEGV, SIGTERM, SIGUSR1, SIGWINCH};

use crate::support::children;

/// Raises the signal while there are listeners, and again when the last is dropped.
fn raise_after_the_last_listener(signal: Signal) {
    let first = signals([signal]).unwrap();
    let second = signals([SIGUSR1, signal]).unwrap();
    signal.raise().unwrap();
    drop(first);
    signal.raise().unwrap();
    drop(second);
    // Once more, because the first listener is a special case.
    drop(signals([signal]).unwrap());
    println!("alive");
    signal.raise().unwrap();
    println!("still alive");
}

/// O1: when the last listener is gone, the signal does again what it does by default: one kind ends
/// the process, another nothing.
#[test]
fn the_default_action_comes_back_after_the_last_listener() {
    let this = children::this_test!();
    match children::role().as_deref() {
        Some("dies") => return raise_after_the_last_listener(SIGTERM),
        Some("lives") => return raise_after_the_last_listener(SIGWINCH),
        _ => {}
    }
    let output = children::output_of(children::command(this, "dies"));
    assert_eq!(output.status.signal(), Some(SIGTERM.as_raw()), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("alive") && !text.contains("still alive"), "{text}");
    assert!(children::run(this, "lives").contains("still alive"));
}

/// O1: a signal that was ignored before the first listener, as `nohup` arranges it, is ignored
/// again after the last.
#[test]
fn an_ignored_signal_is_ignored_again_after_the_last_listener() {
    if children::role().is_some() {
        return raise_after_the_last_listener(SIGHUP);
    }
    let test = children::command(children::this_test!(), children::ALONE);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(test.get_program());
    shell.args(test.get_args());
    shell.envs(test.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = children::output_of(shell);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("still alive"), "{output:?}");
}

/// O1: a handler that another library has installed is called while there are listeners and
/// afterwards, and the default action does not take its place.
#[test]
fn a_handler_of_another_library_goes_on() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    for signal in [SIGCHLD, SIGINT] {
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal.as_raw(), seen.clone()).unwrap();
        let is_seen = || {
            signal.raise().unwrap();
            seen.swap(false, Ordering::SeqCst)
        };
        let listener = signals([signal]).unwrap();
        assert!(is_seen(), "{signal} while there is a listener");
        drop(listener);
        assert!(is_seen(), "{signal} after the last listener");
    }
    // A child that ends sends the signal, and is waited for as ever.
    assert!(Command::new("true").status().unwrap().success());
}

/// O1: a signal for which no program can listen is an error that says why, and nothing is kept of
/// the others.
#[test]
fn what_cannot_be_listened_for_is_an_error() {
    if children::role().is_some() {
        let error = signals([SIGTERM, SIGKILL]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        SIGTERM.raise().unwrap();
    }
    for (refused, why) in [(SIGKILL, "SIGKILL: the system acts"), (SIGSEGV, "reports a fault")] {
        let body = std::future::ready(Ok::<_, ()>(()));
        for error in [
            signals([refused]).map(drop).unwrap_err(),
            signal::until_signal([refused], body).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    let output = children::output_of(children::command(children::this_test!(), children::ALONE));
    assert_eq!(output.status.signal(), Some(SIGTERM.as_raw()), "{output:?}");
}

/// O1: a process that dies by a signal says so to its parent, with all that it has printed. A shell
/// shows that as 128 and the number.
#[test]
fn a_shell_sees_the_death_by_a_signal() {
    let this = children::this_test!();
    match children::role().as_deref() {
        Some("dies") => {
            print!("the last words");
            SIGINT.die();
        }
        Some("cannot die") => SIGCHLD.die(),
        _ => {}
    }
    let output = children::output_of(children::command(this, "dies"));
    assert_eq!(output.status.signal(), Some(SIGINT.as_raw()), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("the last words"), "{output:?}");
    let output = children::output_of(children::command(this, "cannot die"));
    assert_eq!(output.status.code(), Some(128 + SIGCHLD.as_raw()), "{output:?}");

    let test = children::command(this, "dies");
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" >&2; echo $?", "sh"]).arg(test.get_program()).args(test.get_args());
    shell.envs(test.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(String::from_utf8_lossy(&children::output_of(shell).stdout), "130\n");
}
