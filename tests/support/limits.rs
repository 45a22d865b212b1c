//! For tests that would hang if they failed.

use std::sync::mpsc;
use std::time::Duration;

/// Runs what may hang in a thread of its own, and says so if it does.
pub(crate) fn within<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(run()));
    ended.recv_timeout(Duration::from_secs(20)).expect("it hangs, or has panicked")
}
