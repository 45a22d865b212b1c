//! What the tests of processes share.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use curium::kernel::yield_now;
use curium::process::{Command, Stdio};

/// A shell that runs `script`.
pub(crate) fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// What is read from a child here, and what the child is to have as its standard error, for
/// example. The end is read when no process has the other end any more.
pub(crate) fn from_child() -> (UnixStream, Stdio) {
    let (reader, writer) = UnixStream::pair().unwrap();
    (reader, Stdio::from(OwnedFd::from(writer)))
}

/// Waits until the child writes. The task is never parked meanwhile, so a virtual clock stands
/// still.
pub(crate) async fn until_up(mut up: &UnixStream) {
    up.set_nonblocking(true).unwrap();
    loop {
        match up.read(&mut [0; 64]) {
            Ok(0) => panic!("the child has ended"),
            Ok(_) => break,
            Err(_) => yield_now().await.unwrap(),
        }
    }
    up.set_nonblocking(false).unwrap();
}
