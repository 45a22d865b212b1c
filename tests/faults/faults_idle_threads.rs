//! The system calls of a pool of threads that has nothing to do: none. `strace` counts them.

#![cfg(target_os = "linux")]

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use kernel::{TaskCancelled, run_in_thread, sleep, spawn, yield_now};

use super::faults_universal::say;
use crate::support::children;

/// How many jobs run at one time.
const JOBS: usize = 4;

/// R1: a thread without a job goes to sleep once, and neither polls nor wakes up by itself. The
/// kernel does not look at it either.
#[test]
fn idle_threads_make_no_system_call() {
    let name = children::this_test!();
    if children::role().is_some() {
        kernel::run(async || {
            let meet = Arc::new(Barrier::new(JOBS));
            let jobs: Vec<_> = (0..JOBS)
                .map(|_| {
                    let meet = meet.clone();
                    spawn(run_in_thread(move || meet.wait().is_leader()))
                })
                .collect();
            for job in jobs {
                job.await?;
            }
            say("<begin>");
            // Long enough for a thread that polls to show.
            thread::sleep(Duration::from_millis(200));
            say("<end>");
            Ok::<_, TaskCancelled>(())
        })
        .unwrap();
        return;
    }
    let Some(trace) = children::traced(name, "child", &["-e", "trace=all"]) else { return };
    let from_begin = trace.lines().skip_while(|call| !call.contains("<begin>"));
    let calls: Vec<_> = from_begin.take_while(|call| !call.contains("<end>")).collect();
    assert!(!calls.is_empty());
    let of_threads =
        |call: &&&str| !["/dev/null", "clock_nanosleep"].iter().any(|c| call.contains(c));
    let calls: Vec<_> = calls.iter().filter(of_threads).collect();
    // What is left of the way to sleep: the end of the job, the lock of the pool, the sleep.
    let most = 4 * JOBS;
    assert!(calls.len() <= most, "{} calls: {calls:#?}", calls.len());
}

/// R1: a program that uses no pool starts no thread.
#[test]
fn a_program_without_jobs_starts_no_thread() {
    let name = children::this_test!();
    if children::role().is_some() {
        say("<begin>");
        kernel::run(async || {
            let task = spawn(sleep(Duration::from_millis(1)));
            yield_now().await?;
            task.await
        })
        .unwrap();
        say("<end>");
        return;
    }
    let options = ["-e", "trace=write,?clone,?clone3,?fork,?vfork"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let mut calls = trace.between("<begin>", "<end>");
    calls.retain(|call| !call.starts_with("write("));
    assert!(calls.is_empty(), "{calls:#?}");
}
