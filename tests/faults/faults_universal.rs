//! The system calls of the universal objects: none while nothing sleeps. `strace` counts them.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::thread;
use std::time::Duration;

use curium::kernel::{self, TaskCancelled, TaskGroup};
use curium::sync::{UniversalEvent, UniversalQueue, UniversalResult};

use crate::support::children;

const MAX: Duration = Duration::MAX;
const ROUNDS: u32 = 20_000;

/// Writes a word that the trace shows.
pub(crate) fn say(word: &str) {
    let mut nowhere = std::fs::OpenOptions::new().append(true).open("/dev/null").unwrap();
    nowhere.write_all(word.as_bytes()).unwrap();
}

/// Puts, gets, sets and waits that need not sleep, in a plain thread.
fn use_alone(queue: &UniversalQueue<u32>) {
    for item in 0..ROUNDS {
        queue.put_blocking(item, MAX).unwrap();
        queue.try_put(item).unwrap();
        assert_eq!(queue.get_blocking(MAX), Ok(item));
        assert_eq!(queue.get_blocking(Duration::ZERO), Ok(item));
        assert!(queue.get_blocking(Duration::ZERO).is_err());
        let (event, result) = (UniversalEvent::new(), UniversalResult::<u32, ()>::new());
        event.set();
        event.wait_blocking(MAX).unwrap();
        result.set(Ok(item)).unwrap();
        assert_eq!(result.get_blocking(MAX), Ok(Ok(&item)));
    }
}

/// Two tasks that wait for each other at each item, so that each wakes the other.
async fn use_in_tasks() -> Result<(), TaskCancelled> {
    let (there, back) = (UniversalQueue::bounded(1), UniversalQueue::bounded(1));
    let (there, back) = (std::rc::Rc::new(there), std::rc::Rc::new(back));
    TaskGroup::<TaskCancelled>::scope(async |group| {
        let (theirs, mine) = (there.clone(), back.clone());
        group.spawn(async move {
            for _ in 0..ROUNDS {
                mine.put(theirs.get().await?).await?;
            }
            Ok(())
        });
        for item in 0..ROUNDS {
            there.put(item).await?;
            assert_eq!(back.get().await?, item);
        }
        Ok(())
    })
    .await
}

/// U4: tens of thousands of operations make no system call while nothing sleeps, in a plain thread
/// and between tasks.
#[test]
fn universal_objects_make_no_system_call_while_nothing_sleeps() {
    let name = children::this_test!();
    if children::role().is_some() {
        let queue = UniversalQueue::bounded(2);
        say("<begin>");
        use_alone(&queue);
        kernel::run(async || {
            say("<middle>");
            let used = use_in_tasks().await;
            say("<end>");
            used
        })
        .unwrap();
        return;
    }
    // Reading the clock is a system call on some machines.
    let options = ["-e", "trace=!clock_gettime"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    // Between the first two words a kernel is made, which opens its poll; a futex would be ours.
    let mut calls = trace.between("<begin>", "<middle>");
    calls.retain(|call| call.starts_with("futex") || call.starts_with("sched_yield"));
    calls.extend(trace.between("<middle>", "<end>"));
    // The end of the one word and the beginning of the other.
    calls.retain(|call| !call.contains("/dev/null"));
    assert!(calls.is_empty(), "{calls:#?}");
}

/// U4: a thread that waits sleeps once until it is woken: it neither polls nor wakes up by itself.
/// Before that it looks again a few times.
#[test]
fn a_thread_that_waits_sleeps_once() {
    let name = children::this_test!();
    if children::role().is_some() {
        let queue = UniversalQueue::<u32>::bounded(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                say("<begin>");
                assert_eq!(queue.get_blocking(MAX), Ok(1));
                say("<end>");
            });
            while !format!("{queue:?}").contains("getters: 1") {
                thread::yield_now();
            }
            // Time in which a thread that polls would be seen.
            thread::sleep(Duration::from_millis(50));
            queue.try_put(1).unwrap();
        });
        return;
    }
    let options = ["-e", "trace=!clock_gettime"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let mut calls = trace.between("<begin>", "<end>");
    calls.retain(|call| !call.contains("/dev/null"));
    let all = calls.len();
    calls.retain(|call| !call.contains("sched_yield"));
    assert!(all - calls.len() <= 16, "it looked {} times", all - calls.len());
    let sleeps = calls.iter().filter(|call| call.contains("FUTEX_WAIT")).count();
    // One for the item. The lock may be contended by the thread that looks at the waiters.
    assert!((1..=3).contains(&sleeps) && calls.len() <= 6, "{calls:#?}");
}
