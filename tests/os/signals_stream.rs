//! Signals as they come. A signal is for the whole process, so each test runs alone in a child.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use curium::kernel::{
    self, TaskCancelled, cancelled, ignore_after, sleep, spawn, testing, timeout_after, yield_now,
};
use curium::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals, ctrl_c, signals};
use futures::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::children;
use crate::support::process::open_descriptors;

/// The signals that have arrived and not been taken. The clock of the test is virtual, so the wait
/// for the first that does not come costs 10 ms.
async fn waiting(signals: &mut Signals) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(signal) = ignore_after(Duration::from_secs(1), signals.recv()).await.unwrap() {
        found.push(signal.to_string());
    }
    found
}

/// O1: signals of one kind that arrive before the listener takes them are one. Kinds take turns, so
/// that a storm of one does not hide another.
#[test]
fn signals_of_one_kind_are_one_and_kinds_take_turns() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let mut listener = signals([SIGUSR2, SIGUSR1, SIGUSR2, SIGHUP]).unwrap();
        assert_eq!(format!("{listener:?}"), "Signals([SIGHUP, SIGUSR1, SIGUSR2])");
        assert_eq!(waiting(&mut listener).await, [""; 0], "none has arrived");
        for signal in [SIGUSR2, SIGUSR1, SIGUSR1] {
            signal.raise().unwrap();
        }
        assert_eq!(listener.recv().await.unwrap(), SIGUSR1);
        SIGUSR1.raise().unwrap();
        SIGHUP.raise().unwrap();
        assert_eq!(waiting(&mut listener).await, ["SIGUSR2", "SIGHUP", "SIGUSR1"]);
    });
}

/// O1: a hundred thousand signals that no task takes are one, in bounded memory, and the listener
/// goes on.
#[test]
fn a_storm_that_is_not_listened_to_is_one_signal() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let mut listener = signals([SIGUSR1]).unwrap();
        // More than the pipe holds.
        for _ in 0..100_000 {
            SIGUSR1.raise().unwrap();
        }
        assert_eq!(waiting(&mut listener).await, ["SIGUSR1"]);
        SIGUSR1.raise().unwrap();
        assert_eq!(waiting(&mut listener).await, ["SIGUSR1"]);
    });
}

/// O1: in a storm of ten thousand signals the listener sees some, and the last is not lost.
#[test]
fn the_last_signal_of_a_storm_arrives() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let last = Arc::new(AtomicBool::new(false));
    let mut listener = signals([SIGUSR1]).unwrap();
    let storm = {
        let last = last.clone();
        thread::spawn(move || {
            for _ in 1..10_000 {
                SIGUSR1.raise().unwrap();
            }
            last.store(true, Ordering::SeqCst);
            SIGUSR1.raise().unwrap();
        })
    };
    let taken = kernel::run(async || {
        for taken in 1.. {
            listener.recv().await?;
            if last.load(Ordering::SeqCst) {
                return Ok::<_, TaskCancelled>(taken);
            }
        }
        unreachable!()
    });
    storm.join().unwrap();
    assert!((1..=10_000).contains(&taken.unwrap()), "more signals than were sent");
}

/// O1: every listener gets a signal, in whatever kernel it is, and none after it is dropped.
#[test]
fn each_listener_of_each_kernel_gets_a_signal() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (ready, all_ready) = std::sync::mpsc::channel();
    let kernels: Vec<_> = (0..2)
        .map(|_| {
            let ready = ready.clone();
            thread::spawn(move || {
                kernel::run(async || {
                    let mut listeners = [signals([SIGTERM]).unwrap(), signals([SIGTERM]).unwrap()];
                    drop(signals([SIGTERM]).unwrap());
                    ready.send(()).unwrap();
                    for listener in &mut listeners {
                        assert_eq!(listener.recv().await?, SIGTERM);
                    }
                    Ok::<_, TaskCancelled>(())
                })
            })
        })
        .collect();
    for _ in &kernels {
        all_ready.recv().unwrap();
    }
    SIGTERM.raise().unwrap();
    for kernel in kernels {
        kernel.join().unwrap().unwrap();
    }
}

/// O1, C1, C4: a cancelled listener has lost no signal, and goes on.
#[test]
fn a_cancelled_wait_loses_no_signal() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let task = spawn(async {
            let mut listener = signals([SIGUSR1]).unwrap();
            listener.recv().await.expect_err("none has arrived");
            SIGUSR1.raise().unwrap();
            listener.recv().await
        });
        yield_now().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), SIGUSR1);
    });
}

/// O1: a listener is a stream of results, and a wait of the stream ends when `recv` is called.
#[test]
fn a_listener_is_a_stream() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let mut listener = signals([SIGUSR1, SIGUSR2]).unwrap();
        SIGUSR1.raise().unwrap();
        assert_eq!(listener.next().await.unwrap().unwrap(), SIGUSR1);
        // A wait that was begun and left.
        assert!(futures::poll!(listener.next()).is_pending());
        SIGUSR2.raise().unwrap();
        assert_eq!(listener.recv().await.unwrap(), SIGUSR2);
        assert!(futures::poll!(listener.next()).is_pending());
        SIGUSR1.raise().unwrap();
        assert_eq!(listener.next().await.unwrap().unwrap(), SIGUSR1);
        let task = spawn(async move {
            let cancelled = listener.next().await.unwrap().unwrap_err();
            SIGUSR2.raise().unwrap();
            assert_eq!(listener.next().await.unwrap().unwrap(), SIGUSR2);
            Err::<(), _>(cancelled)
        });
        yield_now().await.unwrap();
        task.cancel().await.unwrap();
    });
}

/// O1, C2: `ctrl_c` listens from the call on, and is cancelled like any leaf.
#[test]
fn ctrl_c_is_listened_for_from_the_call_on() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let pressed = ctrl_c();
        SIGINT.raise().unwrap();
        pressed.await.unwrap();
        let task = spawn(ctrl_c());
        yield_now().await.unwrap();
        let parked = kernel::tasks().into_iter().find(|info| info.id == task.id()).unwrap().parked;
        assert_eq!(parked[0].kind, "SIGNAL_RECV");
        assert!(parked[0].site.file().ends_with("signals_stream.rs"), "{parked:?}");
        task.cancel().await.unwrap();
        assert!(cancelled(&task.await.unwrap_err()).is_some());
    });
}

/// O1: listeners that come and go leave no descriptor behind.
#[test]
fn listeners_leave_no_descriptor_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let before = open_descriptors();
        for _ in 0..100 {
            let mut listener = signals([SIGUSR1, SIGUSR2]).unwrap();
            SIGUSR2.raise().unwrap();
            assert_eq!(listener.recv().await.unwrap(), SIGUSR2);
            assert!(futures::poll!(listener.next()).is_pending());
            assert_eq!(open_descriptors(), before + 3);
        }
        assert_eq!(open_descriptors(), before);
    });
}

/// O1: without descriptors, a listener is an error that says what could not be done.
#[test]
fn a_listener_without_descriptors_says_so() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let old = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: old.maximum }).unwrap();
        let refused = signals([SIGUSR1]).map(drop);
        setrlimit(Resource::Nofile, old).unwrap();
        let text = refused.unwrap_err().to_string();
        assert!(text.starts_with("cannot listen for signals: Too many open files"), "{text}");
    });
}

/// O1: a listener that the poll of the kernel does not take, for lack of memory, looks ten times a
/// second.
#[test]
fn a_listener_outlives_a_lack_of_memory() {
    let this = children::this_test!();
    if children::role().is_none() {
        children::without_sources(this, children::ALONE);
        return;
    }
    testing::run(async || {
        let mut listener = signals([SIGUSR1]).unwrap();
        let task = spawn(async move { listener.recv().await });
        sleep(Duration::from_millis(950)).await.unwrap();
        let parked = kernel::tasks().into_iter().find(|info| info.id == task.id()).unwrap().parked;
        assert_eq!(parked[0].kind, "SLEEP", "the poll has taken it");
        SIGUSR1.raise().unwrap();
        let late = timeout_after(Duration::from_millis(50), task);
        assert_eq!(late.await.unwrap().unwrap(), SIGUSR1);
    });
}

/// O1, N2: a listener goes on in the next kernel of its thread, also after a wait that was left.
#[test]
fn a_listener_goes_on_in_the_next_kernel() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let mut listener = signals([SIGUSR1]).unwrap();
    for _ in 0..3 {
        kernel::run(async || {
            SIGUSR1.raise().unwrap();
            assert_eq!(listener.next().await.unwrap().unwrap(), SIGUSR1);
            assert!(futures::poll!(listener.next()).is_pending());
        });
    }
}
