//! What cannot be started (O2).

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use curium::kernel;
use curium::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process_kit::{from_child, sh};
use crate::support::children;

fn error_of(command: &mut Command) -> io::Error {
    kernel::run(async || command.output().await.unwrap_err().into())
}

/// O2: the error of a program that does not exist has its name and its kind.
#[test]
fn a_program_that_does_not_exist_is_named() {
    for name in ["curium-no-such-program", "/nowhere/program"] {
        let error = error_of(&mut Command::new(name));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = format!("cannot start `{name}`: No such file or directory (os error 2)");
        assert_eq!(error.to_string(), text);
    }
}

/// O2: a working directory that does not exist is named as well, since the error of the system is
/// the same.
#[test]
fn a_directory_that_does_not_exist_is_named() {
    let error = error_of(Command::new("true").current_dir("/nowhere"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = "cannot start `true` in `/nowhere`, which is no directory: \
                No such file or directory (os error 2)";
    assert_eq!(error.to_string(), text);
}

/// O2: without descriptors for the pipes of a child, the error says what to do.
#[test]
fn that_there_is_no_descriptor_for_a_child_is_said() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    kernel::run(async || {
        let old = getrlimit(Resource::Nofile);
        // The lowest free number is the first that is refused.
        let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
        let short = Rlimit { current: Some(next), maximum: old.maximum };
        setrlimit(Resource::Nofile, short).unwrap();
        let error: io::Error = Command::new("true").output().await.unwrap_err().into();
        setrlimit(Resource::Nofile, old).unwrap();
        let text = error.to_string();
        for part in ["cannot start `true`: Too many open files", "; close files, ", "`ulimit -n`"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(format!("{error:?}").contains("`ulimit -n`"), "what a main prints: {error:?}");
    });
}

/// O2: what may not be executed is refused.
#[test]
fn a_file_that_is_no_program_is_refused() {
    let error = error_of(&mut Command::new("/etc/passwd"));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with("cannot start `/etc/passwd`: "), "{error}");
}

/// O2: a descriptor is given to one start. A later one needs another.
#[test]
fn a_descriptor_is_given_to_one_start() {
    kernel::run(async || {
        let (_reader, writer) = from_child();
        let mut command = sh("exit 0");
        command.stderr(writer);
        assert!(command.status().await.unwrap().success());
        let error = command.status().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("was given to an earlier start"), "{error}");
        command.stderr(Stdio::null());
        assert!(command.status().await.unwrap().success());
    });
}

/// O2: input is written by the calls that wait for the end.
#[test]
fn input_needs_a_call_that_writes_it() {
    let error = kernel::run(async || sh("cat").input("text").spawn().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("`input` is for `output` and `status`"), "{error}");
}
