//! For tests that hang if they fail.

use std::sync::mpsc;
use std::time::Duration;

/// Runs a function that may hang on its own thread, and panics if it does.
pub(crate) fn within<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(run()));
    ended.recv_timeout(Duration::from_secs(20)).expect("it hangs, or has panicked")
}
