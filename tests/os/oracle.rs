//! The oracle of this suite sees what a test leaves.

use std::fs::File;
use std::os::fd::IntoRawFd;
use std::process::{Command, Stdio};

use crate::support::process::state_of;
use crate::support::{children, leftovers};

/// Leaves something.
#[allow(clippy::zombie_processes, reason = "one of these is left")]
fn leave(what: &str) {
    match what {
        "descriptor" => {
            let _ = File::open("/dev/null").unwrap().into_raw_fd();
        }
        "thread" => drop(std::thread::spawn(|| std::thread::sleep(children::DEADLINE))),
        "zombie" => {
            let child = Command::new("true").spawn().unwrap();
            while state_of(child.id()).as_deref() != Some("Z") {
                std::thread::yield_now();
            }
        }
        "orphan" => {
            // Until it has executed its program it is called as the shell is.
            let script = "sleep 100 & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done";
            // Its output would keep open the pipe that this test is read by.
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
            assert!(shell.status().unwrap().success());
        }
        other => panic!("what is {other}?"),
    }
}

/// O1, O2, O3: what is left is found: a descriptor, a thread, a child that is not reaped, and a
/// process that has lost its parent.
#[test]
fn what_is_left_is_found() {
    if let Some(what) = leftovers::leaving().filter(|what| !what.is_empty()) {
        return leave(&what);
    }
    let this = children::this_test!();
    for (leaving, found) in [
        ("descriptor", "the descriptor of /dev/null"),
        ("thread", "the thread oracle::what_is"),
        ("zombie", "(Z): "),
        ("orphan", ": sleep 100"),
    ] {
        let output = leftovers::run_again(this, leaving);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains(found), "{leaving}: {text}");
        if leaving == "orphan" {
            let pid = text.split("the process ").nth(1).and_then(|rest| rest.split(' ').next());
            assert!(Command::new("kill").arg(pid.unwrap()).status().unwrap().success());
        }
    }
}
