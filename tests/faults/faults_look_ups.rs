//! Look-ups of names that hang. They have threads of their own, which belong to a process, so each
//! test runs in its own child.

use std::fs::OpenOptions;
use std::io;
use std::process::Command;

use curium::kernel::{self, run_in_thread, spawn, testing, yield_now};
use curium::net::{TcpListener, TcpStream};

use crate::support::pool::{Gate, Occupied};
use crate::support::{children, dirs::TempDir, limits};

/// More than the threads for look-ups.
const LOOK_UPS: usize = 100;

/// A name without a dot. The system looks for it in the file that `HOSTALIASES` names.
const STUCK: &str = "curium-stuck";

/// Runs the test `name` in a child whose look-ups of [`STUCK`] hang: the file of aliases is a pipe
/// that nothing writes into.
fn with_stuck_look_ups(name: &str) {
    let dir = TempDir::new();
    let pipe = dir.of("aliases");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let output = children::command(name, "child").env("HOSTALIASES", &pipe).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

/// R1: look-ups that hang delay no job. They can be cancelled, those that have no thread too, and
/// are listed where they were called.
#[test]
fn look_ups_that_hang_delay_no_job() {
    let name = children::this_test!();
    if children::role().is_none() {
        return with_stuck_look_ups(name);
    }
    limits::within(|| {
        testing::run(async || {
            let connects: Vec<_> =
                (0..LOOK_UPS).map(|_| spawn(TcpStream::connect((STUCK, 1)))).collect();
            yield_now().await?;
            // It opens when a look-up has begun to read.
            let aliases = std::env::var_os("HOSTALIASES").expect("the pipe");
            let _aliases = OpenOptions::new().write(true).open(aliases)?;
            assert_eq!(run_in_thread(|| 7).await?, 7);
            for connect in &connects {
                let info = kernel::tasks().into_iter().find(|info| info.id == connect.id());
                assert!(format!("{info:?}").contains("THREAD_WAIT"), "{info:?}");
                connect.request_cancel();
            }
            for connect in connects {
                connect.cancel().await?;
            }
            let left = kernel::abandoned_threads();
            assert!(!left.is_empty() && left.len() <= 64, "{} threads", left.len());
            assert!(left.iter().all(|thread| thread.name == "curium-look-up"), "{left:?}");
            assert_eq!(run_in_thread(|| 8).await?, 8);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
}

/// R1: jobs that hang delay no look-up.
#[test]
fn jobs_that_hang_delay_no_look_up() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    limits::within(|| {
        testing::run(async || {
            let occupied = Occupied::new().await;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let port = listener.local_addr()?.port();
            drop(TcpStream::connect(("localhost", port)).await?);
            let gate: Gate = occupied.leave();
            gate.open();
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
}
