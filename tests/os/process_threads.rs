//! Children and threads: commands that a thread runs, and the threads that start children.

use std::io;

use curium::kernel::{self, spawn_thread, testing};
use curium::process::{Command, Stop};

use crate::process_kit::{from_child, sh};
use crate::support::children;
use crate::support::pool::Occupied;
use crate::support::process::until_closed;

/// O2, R2: a thread that is a task runs a command, and reads what it prints.
#[test]
fn a_thread_reads_the_output_of_a_child() {
    testing::run(async || {
        let thread =
            spawn_thread(|here| here.wait(|| Command::new("echo").arg("hello").output())?);
        assert_eq!(thread.await?.stdout, b"hello\n");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// O2, R1: jobs that hang delay neither the start of a child nor its stop with its whole group.
#[test]
fn jobs_that_hang_delay_no_child() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (alive, lives) = from_child();
    kernel::run(async || {
        let occupied = Occupied::new().await;
        let mut command = sh("sleep 100 & exit 0");
        let stop = Stop { whole_group: true, ..Stop::default() };
        assert!(command.stop_with(stop).stderr(lives).status().await?.success());
        until_closed(&alive);
        occupied.release().await;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
