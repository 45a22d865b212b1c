//! A child process whose standard streams a test holds, for the tests of those.
//!
//! The child says [`next`] on its output for errors when the test is to go on. The test types,
//! reads, or looks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::support::children;

/// What the child says.
const NEXT: &str = "the test goes on";

/// Lets the test go on, which waits in [`Typist::next`].
pub(crate) fn next() {
    eprintln!("{NEXT}");
}

/// What the child has as its standard input.
pub(crate) enum Input {
    Pipe,
    Terminal,
    File(File),
}

pub(crate) struct Typist {
    child: Child,
    keys: Option<Box<dyn Write + Send>>,
    pub(crate) output: ChildStdout,
    errors: Option<BufReader<ChildStderr>>,
    said: String,
    /// Dropped when the child has ended in time.
    in_time: Sender<()>,
    deadline: JoinHandle<()>,
}

impl Typist {
    /// Starts `test` in that role.
    pub(crate) fn start(test: &str, role: &str, input: Input) -> Typist {
        Typist::of(children::command(test, role), input)
    }

    /// Starts a command, which must run a child of a test.
    pub(crate) fn of(mut command: Command, input: Input) -> Typist {
        let mut keys: Option<Box<dyn Write + Send>> = None;
        match input {
            Input::Pipe => drop(command.stdin(Stdio::piped())),
            Input::File(file) => drop(command.stdin(file)),
            Input::Terminal => {
                let (ours, theirs) = terminal();
                keys = Some(Box::new(ours));
                command.stdin(theirs);
            }
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("a child can be started");
        // Or else this process holds the terminal of the child open.
        drop(command);
        if let Some(pipe) = child.stdin.take() {
            keys = Some(Box::new(pipe));
        }
        let output = child.stdout.take().expect("it is piped");
        let errors = child.stderr.take().map(BufReader::new);
        let pid = Pid::from_child(&child);
        let (in_time, ended) = mpsc::channel::<()>();
        let deadline = thread::spawn(move || {
            if ended.recv_timeout(children::DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // It may have ended at this very moment.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        });
        Typist { child, keys, output, errors, said: String::new(), in_time, deadline }
    }

    /// Waits until the child says that the test is to go on.
    pub(crate) fn next(&mut self) {
        let mut line = String::new();
        while line.trim_end() != NEXT {
            line.clear();
            let errors = self.errors.as_mut().expect("it is listened to");
            let read = errors.read_line(&mut line).expect("it says text");
            self.said.push_str(&line);
            assert_ne!(read, 0, "the child has ended:\n{}", self.said);
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.as_mut().expect("the input is open").write_all(keys.as_bytes()).unwrap();
    }

    /// Closes the input.
    pub(crate) fn closes(&mut self) {
        self.keys = None;
    }

    /// Closes the other end of the output for errors.
    pub(crate) fn listens_no_more(&mut self) {
        self.errors = None;
    }

    /// Waits until the child has ended well. Gives what it wrote to its output.
    pub(crate) fn ends(mut self) -> Vec<u8> {
        let errors = self.errors.take();
        let listens = thread::spawn(move || {
            let mut said = String::new();
            if let Some(mut errors) = errors {
                errors.read_to_string(&mut said).expect("it says text");
            }
            said
        });
        let mut written = Vec::new();
        self.output.read_to_end(&mut written).expect("it can be read");
        let status = self.child.wait().expect("it can be waited for");
        drop(self.in_time);
        self.deadline.join().expect("it does not fail");
        let said = self.said + &listens.join().expect("it does not fail");
        let text = String::from_utf8_lossy(&written);
        assert!(status.success(), "{status}:\n{text}{said}");
        assert!(text.contains("2 passed"), "there is no such test:\n{text}{said}");
        written
    }
}

/// Both ends of a terminal: the one of its user, and the one of a program.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
    (ours.into(), theirs.into())
}
