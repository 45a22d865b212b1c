//! Commands that a thread runs.

use curium::kernel::{spawn_thread, testing};
use curium::process::Command;

/// O2, R2: a thread that is a task runs a command, and reads what it prints.
#[test]
fn a_thread_reads_the_output_of_a_child() {
    testing::run(async || {
        let thread =
            spawn_thread(|here| here.wait(|| Command::new("echo").arg("hello").output())?);
        assert_eq!(thread.await?.stdout, b"hello\n");
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
}
