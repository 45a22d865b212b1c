//! A body that the first signal cancels, and the second signal, which ends the process.

use std::cell::RefCell;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{hint, io, thread};

use curium::kernel::{self, CancelReason, Cores, TaskCancelled, TaskGroup, TaskTimeout, kernels};
use curium::kernel::{cancellable, shield, sleep, spawn, testing, timeout_after, yield_now};
use curium::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signalled};
use curium::signal::{first_signal, signals, until_signal};

use crate::support::{children, reports};

const SECOND: Duration = Duration::from_secs(1);

/// Waits for ever, and then cleans up, which waits as well.
async fn work(log: &RefCell<Vec<CancelReason>>) -> Result<(), TaskCancelled> {
    let cancelled = sleep(Duration::MAX).await.unwrap_err();
    sleep(SECOND).await?;
    log.borrow_mut().push(cancelled.reason());
    Err(cancelled)
}

/// O1, T1: a signal from another process cancels the body, which cleans up. Its tasks are cancelled
/// with it. Then the process goes on without it.
#[test]
fn the_first_signal_cancels_and_the_cleanup_runs() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let log = RefCell::default();
    let ended = kernel::Kernel::builder().virtual_clock().run(async || {
        let body = async {
            let pid = std::process::id().to_string();
            let kill = Command::new("kill").args(["-s", "INT", &pid]).status().unwrap();
            assert!(kill.success());
            kernel::scope(async |s| {
                let kid = s.spawn(work(&log));
                work(&log).await?;
                kid.await
            })
            .await
        };
        until_signal([SIGINT, SIGTERM], body).unwrap().await
    });
    let signalled: Signalled = ended.unwrap_err();
    assert_eq!(signalled.signal(), SIGINT);
    assert_eq!(signalled.to_string(), "the signal SIGINT arrived");
    let by_signal = CancelReason::Signal { number: SIGINT.as_raw() };
    assert_eq!(by_signal.to_string(), "the process received signal 2");
    assert_eq!(log.into_inner(), [by_signal, CancelReason::GroupEnded]);
}

/// Runs this test in a child, and says how that ended.
fn status_of(test: &str, role: &str) -> ExitStatus {
    children::output_of(children::command(test, role)).status
}

/// O1: the second signal ends the process in the handler, even if the kernel is stuck in a loop. It
/// may be another one of those that are listened for.
#[test]
fn the_second_signal_ends_a_process_whose_kernel_is_stuck() {
    let this = children::this_test!();
    let (first, second) = match children::role().as_deref() {
        Some("twice") => (SIGINT, SIGINT),
        Some("another") => (SIGINT, SIGTERM),
        _ => {
            assert_eq!(status_of(this, "twice").code(), Some(130));
            assert_eq!(status_of(this, "another").code(), Some(143));
            return;
        }
    };
    let _ = kernel::run(async || {
        let body = async {
            first.raise().unwrap();
            thread::spawn(move || second.raise());
            // Not for ever, in case the test itself is killed.
            let stuck = Instant::now();
            while stuck.elapsed() < children::DEADLINE {
                hint::spin_loop();
            }
            Ok::<_, TaskCancelled>(())
        };
        until_signal([SIGINT, SIGTERM], body).unwrap().await
    });
}

/// O1: the second signal also ends a cleanup that hangs. One that came before the body began counts
/// as the first.
#[test]
fn the_second_signal_ends_a_cleanup_that_hangs() {
    let this = children::this_test!();
    if children::role().is_none() {
        assert_eq!(status_of(this, children::ALONE).code(), Some(129));
        return;
    }
    let _ = kernel::run(async || {
        let body = async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            thread::spawn(|| SIGHUP.raise());
            shield(sleep(1000 * SECOND)).await?;
            Err::<(), _>(cancelled)
        };
        let running = until_signal([SIGHUP], body).unwrap();
        SIGHUP.raise().unwrap();
        running.await
    });
}

/// O1, P4: the first signal stops all cores, also one that came before they began, and the second
/// ends the process while they drain. When they have ended, a signal has its default action.
#[test]
fn the_second_signal_ends_a_process_whose_cores_drain() {
    use std::os::unix::process::ExitStatusExt;
    let this = children::this_test!();
    let Some(role) = children::role() else {
        assert_eq!(status_of(this, "drains").code(), Some(143));
        assert_eq!(status_of(this, "has drained").signal(), Some(SIGTERM.as_raw()));
        return;
    };
    let signal = first_signal([SIGINT, SIGTERM]).unwrap();
    SIGINT.raise().unwrap();
    let cores = Cores::count(2).drain(1000 * SECOND).stop_when(async || {
        assert_eq!(signal.await.unwrap(), SIGINT);
    });
    let stopped = kernels(cores, async |core| {
        core.stopping().await?;
        if role == "drains" && core.index() == 1 {
            thread::spawn(|| SIGTERM.raise());
            sleep(1000 * SECOND).await?;
        }
        Ok::<_, TaskCancelled>(())
    });
    stopped.unwrap();
    SIGTERM.raise().unwrap();
}

/// O1: a cancelled wait for the first signal listens no more.
#[test]
fn a_cancelled_wait_for_the_first_signal_listens_no_more() {
    use std::os::unix::process::ExitStatusExt;
    let this = children::this_test!();
    if children::role().is_none() {
        assert_eq!(status_of(this, children::ALONE).signal(), Some(SIGUSR2.as_raw()));
        return;
    }
    testing::run(async || {
        let signal = first_signal([SIGUSR2]).unwrap();
        assert_eq!(format!("{signal:?}"), "FirstSignal([SIGUSR2])");
        let late: Result<_, TaskTimeout> = timeout_after(SECOND, signal.into_future()).await;
        late.unwrap_err();
        println!("it listens no more");
        SIGUSR2.raise().unwrap();
    });
}

/// O1: while the body runs, a signal does not have its default action; once it has ended, it has.
#[test]
fn the_default_action_comes_back_when_the_body_has_ended() {
    use std::os::unix::process::ExitStatusExt;
    let this = children::this_test!();
    if children::role().is_none() {
        assert_eq!(status_of(this, children::ALONE).signal(), Some(SIGUSR1.as_raw()));
        return;
    }
    testing::run(async || {
        let mut running =
            Box::pin(until_signal([SIGUSR1], async { Ok::<_, TaskCancelled>(1) }).unwrap());
        assert_eq!(running.as_mut().await.unwrap().unwrap(), 1);
        // Kept, but it does not listen any more.
        SIGUSR1.raise().unwrap();
        drop(running);
    });
}

/// O1: a signal that arrives in the last poll of the body comes too late to cancel it, and is not
/// lost: another listener gets it, or it has its default action.
#[test]
fn a_signal_in_the_last_poll_of_the_body_is_not_lost() {
    use std::os::unix::process::ExitStatusExt;
    let this = children::this_test!();
    let main = async || {
        let body = async {
            SIGUSR1.raise().unwrap();
            Ok::<_, TaskCancelled>(1)
        };
        until_signal([SIGHUP, SIGUSR1], body).unwrap().await.unwrap()
    };
    match children::role().as_deref() {
        Some("dies") => drop(testing::run(main)),
        Some("dropped") => {
            let left = until_signal([SIGUSR1], async { Ok::<_, TaskCancelled>(1) }).unwrap();
            SIGUSR1.raise().unwrap();
            drop(left);
        }
        Some(_) => testing::run(async || {
            let mut other = signals([SIGUSR1]).unwrap();
            assert_eq!(main().await.unwrap(), 1);
            assert_eq!(other.recv().await.unwrap(), SIGUSR1);
        }),
        None => {
            for role in ["dies", "dropped"] {
                assert_eq!(status_of(this, role).signal(), Some(SIGUSR1.as_raw()), "{role}");
            }
            children::run(this, "lives");
        }
    }
}

/// O1, C15, T2: a value of the body wins, a real failure of the cleanup is the body's own, and so
/// is a cancellation from outside.
#[test]
fn the_result_is_that_of_a_cancel_scope() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let value = until_signal([SIGUSR1], async {
            SIGUSR1.raise().unwrap();
            sleep(SECOND).await.unwrap_err();
            Ok::<_, io::Error>("saved")
        });
        assert_eq!(value.unwrap().await.unwrap().unwrap(), "saved");

        let failure = until_signal([SIGUSR1], async {
            SIGUSR1.raise().unwrap();
            sleep(SECOND).await.unwrap_err();
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
        });
        let failure = failure.unwrap().await.unwrap().unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::StorageFull);

        let late = timeout_after(SECOND, async {
            until_signal([SIGUSR1], sleep(2 * SECOND)).unwrap().await.expect("no signal")
        });
        assert!(matches!(late.await, Err(TaskTimeout { .. })));

        let task = spawn(async {
            until_signal([SIGUSR1], sleep(SECOND)).unwrap().await.expect("no signal")
        });
        yield_now().await.unwrap();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await, Ok(Err(kernel::TaskError::Cancelled(_)))));
    });
}

/// O1, C2, C9: a cancellation from outside is for the body, not for the wait for a signal: a body
/// that is in foreign code when it comes gets it at its next leaf.
#[test]
fn a_cancellation_is_for_the_body_alone() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let (go_on, foreign) = futures::channel::oneshot::channel();
        let task = spawn(async {
            let body = async {
                foreign.await.unwrap();
                sleep(SECOND).await
            };
            until_signal([SIGUSR1], body).unwrap().await.expect("no signal")
        });
        yield_now().await.unwrap();
        let info = kernel::tasks().into_iter().find(|info| info.id == task.id()).unwrap();
        assert_eq!(info.state.to_string(), "POLL_READ", "it is no leaf");
        // It waits for the end, so it is left after it has made its request.
        assert!(futures::poll!(Box::pin(task.cancel())).is_pending());
        yield_now().await.unwrap();
        go_on.send(()).unwrap();
        assert!(matches!(task.join().await, Ok(Err(kernel::TaskError::Cancelled(_)))));
    });
}

/// O1, C17: a signal also cancels a body that waits in foreign code behind a door.
#[test]
fn a_signal_cancels_foreign_code_behind_a_door() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let body = cancellable(std::future::pending::<()>());
        let running = until_signal([SIGUSR1, SIGUSR2], body).unwrap();
        let task = spawn(async move { Ok::<_, TaskCancelled>(running.await.unwrap_err()) });
        yield_now().await.unwrap();
        SIGUSR2.raise().unwrap();
        assert_eq!(task.await.unwrap().signal(), SIGUSR2);
    });
}

/// O1: a body and a listener for the same signal both get it, as do bodies of two kernels.
#[test]
fn bodies_and_listeners_get_the_same_signal() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (ready, all_ready) = std::sync::mpsc::channel();
    let kernels: Vec<_> = (0..2)
        .map(|_| {
            let ready = ready.clone();
            thread::spawn(move || {
                kernel::run(async || {
                    TaskGroup::<TaskCancelled>::scope(async |g| {
                        let mut listener = signals([SIGTERM]).unwrap();
                        let heard = g.spawn(async move { listener.recv().await });
                        let body = async {
                            ready.send(()).unwrap();
                            sleep(Duration::MAX).await
                        };
                        let ended = until_signal([SIGTERM], body).unwrap().await;
                        assert_eq!(ended.unwrap_err().signal(), SIGTERM);
                        heard.await
                    })
                    .await
                })
            })
        })
        .collect();
    for _ in &kernels {
        all_ready.recv().unwrap();
    }
    SIGTERM.raise().unwrap();
    for kernel in kernels {
        assert_eq!(kernel.join().unwrap().unwrap(), SIGTERM);
    }
}

/// O1, C9: foreign code that a signal cannot cancel is named in a report, a second later.
#[test]
fn foreign_code_that_a_signal_cannot_cancel_is_reported() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let ((), texts) = reports::texts(async || {
        let (go_on, foreign) = futures::channel::oneshot::channel();
        let task = spawn(async {
            let body = async {
                foreign.await.unwrap();
                sleep(SECOND).await
            };
            let ended = until_signal([SIGUSR1], body).unwrap().await;
            assert_eq!(ended.unwrap_err().signal(), SIGUSR1);
        });
        yield_now().await.unwrap();
        SIGUSR1.raise().unwrap();
        sleep(3 * SECOND).await.unwrap();
        go_on.send(()).unwrap();
        task.await.unwrap();
    });
    assert!(texts.len() == 1 && texts[0].contains("FOREIGN"), "{texts:#?}");
}

/// O1, K8: a body that only a signal can end is in no deadlock, and its task shows where the body
/// waits. If the poll of the kernel refuses the pipe for lack of memory, the call looks for signals
/// ten times a second.
#[test]
fn a_body_that_only_a_signal_ends_waits_for_it() {
    let this = children::this_test!();
    let main = async || {
        let task = spawn(async {
            until_signal([SIGHUP], sleep(Duration::MAX)).unwrap().await.unwrap_err();
        });
        yield_now().await.unwrap();
        let info = kernel::tasks().into_iter().find(|info| info.id == task.id()).unwrap();
        thread::spawn(|| SIGHUP.raise().unwrap());
        task.await.unwrap();
        info.parked.iter().map(|parked| parked.kind).collect::<Vec<_>>()
    };
    match children::role().as_deref() {
        Some("no memory") => drop(kernel::run(main)),
        Some(_) => assert_eq!(kernel::run(main), ["SLEEP"]),
        None => {
            children::run(this, children::ALONE);
            children::without_sources(this, "no memory");
        }
    }
}
