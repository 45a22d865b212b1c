//! A core that blocks its thread (P1).

use std::process::Command;
use std::thread;
use std::time::Duration;

use curium::kernel::{Cores, TaskCancelled, kernels};

/// Runs the test again, in a process of its own, to read what it writes to standard error.
const INSIDE: &str = "CURIUM_BLOCKED_CORE";

/// P1: a core that blocks its thread while the cores end is named.
#[test]
fn a_core_that_blocks_its_thread_is_named() {
    if std::env::var_os(INSIDE).is_some() {
        let cores = Cores::count(2).grace(Duration::from_millis(10));
        let ended = kernels(cores, async |core| {
            core.stop();
            if core.index() == 1 {
                thread::sleep(Duration::from_millis(900)); // it blocks its kernel
            }
            Ok::<(), TaskCancelled>(())
        });
        return assert!(ended.is_ok());
    }
    let mut this = Command::new(std::env::current_exe().expect("a test knows its binary"));
    this.args(["--exact", "cores::blocked::a_core_that_blocks_its_thread_is_named"]);
    let ended = this.args(["--nocapture"]).env(INSIDE, "1").output().expect("it runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    assert!(told.contains("curium: core 1 blocks its thread, and the cores wait"), "{told}");
}
