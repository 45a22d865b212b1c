//! The end of a scope on every path, and its errors, as those of a group (S3: G1 to G3, G5, G12).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use curium::prelude::*;
use curium::{
    CancelReason, Scope, TaskEnd, WaitPolicy, gather, now, race, scope, scope_all, scope_with,
    scope_within, tasks, testing,
};
use futures::FutureExt;

use crate::support::log::Log;
use crate::support::reports;
use crate::support::time::secs;

const TOGETHER: [&str; 4] = ["young asked", "old asked", "young clean", "old clean"];

fn oops(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

/// Parked until it is cancelled; then it cleans up for ten seconds.
async fn tidy(log: &Log, name: &'static str) -> io::Result<()> {
    let Err(cancelled) = sleep(Duration::MAX).await else {
        return Ok(());
    };
    log.push(format!("{name} asked"));
    sleep(secs(10)).await?;
    log.push(format!("{name} clean"));
    Err(cancelled.into())
}

fn two<'env>(s: &Scope<'env, io::Error>, log: &'env Log) {
    s.spawn(tidy(log, "old"));
    s.spawn(tidy(log, "young"));
}

/// S3, G1: an error of the body cancels the children together, the youngest first, and awaits their
/// cleanup.
#[test]
fn an_error_of_the_body_cancels_the_children_together() {
    testing::run(async || {
        let (log, started) = (Log::default(), now());
        let ended: io::Result<()> = scope(async |s| {
            two(&s, &log);
            sleep(secs(1)).await?;
            Err(oops("the body"))
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the body");
        assert_eq!(log.take(), TOGETHER);
        assert_eq!(now() - started, secs(11));
        assert_eq!(tasks().len(), 1);
    });
}

/// S3, G1, T6: so does a timeout round the scope, in its body and while it waits for its children.
#[test]
fn a_timeout_round_a_scope_cancels_its_children() {
    testing::run(async || {
        for in_body in [true, false] {
            let log = Log::default();
            let ended = timeout_after(
                secs(1),
                scope(async |s| {
                    two(&s, &log);
                    if in_body {
                        sleep(Duration::MAX).await?;
                    }
                    Ok(())
                }),
            );
            assert!(ended.await.is_err());
            assert_eq!(log.take(), TOGETHER);
            assert_eq!(tasks().len(), 1);
        }
    });
}

/// S3, G1: a second cancellation during the tear-down leaves no child behind.
#[test]
fn a_second_cancellation_waits_for_the_tear_down() {
    testing::run(async || {
        let log = Log::default();
        let shared = log.clone();
        let owner = spawn(async move {
            let ended = timeout_after(
                secs(2),
                scope(async |s| {
                    two(&s, &shared);
                    Ok(sleep(Duration::MAX).await?)
                }),
            );
            ended.await.expect("the owner was cancelled before")
        });
        sleep(secs(1)).await.unwrap();
        owner.cancel().await.unwrap();
        assert_eq!(log.take(), TOGETHER);
        assert_eq!(owner.end(), Some(TaskEnd::Cancelled));
    });
}

/// S3, G2: the first child to fail cancels its siblings and the body, with the reason.
#[test]
fn the_first_failure_cancels_the_siblings_and_the_body() {
    testing::run(async || {
        let (log, reason) = (Log::default(), Cell::new(None));
        let ended: io::Result<()> = scope(async |s| {
            two(&s, &log);
            s.spawn(async {
                sleep(secs(1)).await?;
                Err::<(), _>(oops("first"))
            });
            s.spawn(async {
                sleep(secs(2)).await?;
                Err::<(), _>(oops("too late"))
            });
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            reason.set(Some(cancelled.reason()));
            Err(cancelled.into())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "first");
        assert_eq!(reason.get(), Some(CancelReason::GroupFailed));
        assert_eq!(log.take(), TOGETHER);
    });
}

/// S3, G2: a failure goes to the join that waits for it, and not to the scope.
#[test]
fn a_failure_goes_to_the_join_that_waits_for_it() {
    testing::run(async || {
        let ended = scope(async |s| {
            let fails = s.spawn(async {
                sleep(secs(1)).await?;
                Err::<(), _>(oops("joined"))
            });
            let other = s.spawn(async { Ok(sleep(secs(2)).await?) });
            match fails.join().await? {
                Err(TaskError::Failed(error)) => assert_eq!(error.to_string(), "joined"),
                other => panic!("{other:?}"),
            }
            other.await?;
            Ok::<_, io::Error>("went on")
        });
        assert_eq!(ended.await.unwrap(), "went on");
    });
}

/// S3, G3: every error is in `scope_all`, in order; an echo is not.
#[test]
fn every_error_is_kept_in_order() {
    testing::run(async || {
        let log = Log::default();
        let ended = scope_all::<(), io::Error, _>(async |s| {
            s.spawn(tidy(&log, "tidy"));
            s.spawn(async {
                sleep(Duration::MAX).await.ok();
                Err::<(), _>(oops("the cleanup"))
            });
            s.spawn(async { Err::<(), _>(oops("first")) });
            s.spawn(async { Err::<(), _>(oops("second")) });
            Ok(())
        });
        let errors = ended.await.unwrap_err();
        let mut all = vec![errors.first.to_string()];
        all.extend(errors.others.iter().map(ToString::to_string));
        assert_eq!(all, ["first", "second", "the cleanup"]);
    });
}

/// S3, G3, K6: the errors that `scope` does not return are reported.
#[test]
fn further_errors_are_reported() {
    let ((), reports) = reports::failures(async || {
        let ended = scope(async |s| {
            s.spawn(async { Err::<(), _>(oops("first")) });
            s.spawn(async { Err::<(), _>(oops("second")) });
            Ok(())
        });
        assert_eq!(ended.await.unwrap_err().to_string(), "first");
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("second"), "{reports:?}");
}

/// S3, G3, K3: a panic of a child ends it alone; it cancels the siblings, and is resumed after all
/// have ended.
#[test]
fn a_panic_of_a_child_is_resumed_after_the_others_have_ended() {
    testing::run(async || {
        let log = Log::default();
        let ended = scope(async |s| {
            two(&s, &log);
            s.spawn(async {
                sleep(secs(1)).await?;
                if true {
                    panic!("a child");
                }
                Ok(())
            });
            Ok(())
        });
        let payload = AssertUnwindSafe(ended).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a child"));
        assert_eq!(log.take(), TOGETHER);
        assert_eq!(tasks().len(), 1);
    });
}

/// S3, G3: a panic that is joined is the joiner's.
#[test]
fn a_joined_panic_is_no_failure_of_the_scope() {
    testing::run(async || {
        let ended = scope(async |s| {
            let panics = s.spawn(async {
                yield_now().await?;
                if true {
                    panic!("a child");
                }
                Ok(())
            });
            match panics.join().await? {
                Err(TaskError::Panicked(panic)) => {
                    Ok::<_, TaskCancelled>(panic.message().to_owned())
                }
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(ended.await.unwrap(), "a child");
    });
}

/// S3, G5: which children a scope waits for.
#[test]
fn a_scope_waits_as_its_policy_says() {
    testing::run(async || {
        for (policy, takes, well) in [
            (WaitPolicy::All, 3, 2),
            (WaitPolicy::Any, 1, 1),
            (WaitPolicy::FirstOk, 1, 1),
            (WaitPolicy::None, 0, 0),
        ] {
            let (started, ended) = (now(), Cell::new(0));
            scope_with(policy, async |s| {
                for time in [3, 1] {
                    let ended = &ended;
                    s.spawn(async move {
                        sleep(secs(time)).await?;
                        ended.set(ended.get() + 1);
                        Ok(())
                    });
                }
                Ok::<_, TaskCancelled>(())
            })
            .await
            .unwrap();
            assert_eq!((now() - started, ended.get()), (secs(takes), well), "{policy:?}");
        }
        let first_ok = scope_with(WaitPolicy::FirstOk, async |s| {
            s.spawn(async { Err::<u8, _>(oops("spared")) });
            let good = s.spawn(async {
                sleep(secs(1)).await?;
                Ok(7)
            });
            Ok(good)
        });
        assert_eq!(first_ok.await.unwrap().await.unwrap(), 7);
    });
}

/// S3, G12: children that do not end within the grace are aborted and reported, and what they hold
/// is dropped before the scope returns.
#[test]
fn a_grace_bounds_the_tear_down() {
    let ((), reports) = reports::texts(async || {
        let (log, started) = (Log::default(), now());
        let ended: io::Result<()> = scope_within(secs(5), async |s| {
            s.spawn(tidy(&log, "too slow"));
            s.spawn(stubborn(&log));
            sleep(secs(1)).await?;
            Err(oops("the body"))
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the body");
        assert_eq!(now() - started, secs(6));
        assert_eq!(log.take(), ["too slow asked", "dropped"]);
        assert_eq!(tasks().len(), 1);
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|text| text.contains("its grace is over")), "{reports:?}");
}

/// Swallows its cancel and every other error for ever.
async fn stubborn(log: &Log) -> io::Result<()> {
    let _guard = guard(log);
    loop {
        sleep(secs(1)).await.ok();
    }
}

/// Writes to the log when it is dropped.
fn guard(log: &Log) -> impl Drop {
    struct Guard<'a>(&'a Log);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.push("dropped");
        }
    }
    Guard(log)
}

/// S3, C7: a shield round a scope holds back the cancellation, and the children go on.
#[test]
fn a_shield_round_a_scope_lets_the_children_go_on() {
    testing::run(async || {
        let log = Log::default();
        let shared = log.clone();
        let owner = spawn(async move {
            shield(scope(async |s| {
                s.spawn(async {
                    sleep(secs(3)).await?;
                    shared.push("done");
                    Ok(())
                });
                Ok::<_, TaskCancelled>(())
            }))
            .await?;
            sleep(secs(1)).await
        });
        sleep(secs(1)).await.unwrap();
        owner.cancel().await.unwrap();
        assert_eq!(log.take(), ["done"]);
        assert_eq!(owner.end(), Some(TaskEnd::Cancelled));
    });
}

/// S3, G7: a child that is started during the tear-down starts cancelled, and is awaited.
#[test]
fn a_child_that_is_started_late_starts_cancelled() {
    testing::run(async || {
        let log = Log::default();
        let ended: io::Result<()> = scope(async |s| {
            let (own, log) = (s.clone(), &log);
            s.spawn(async move {
                let ended = sleep(Duration::MAX).await;
                own.spawn(tidy(log, "late"));
                Ok(ended?)
            });
            sleep(secs(1)).await?;
            Err(oops("the body"))
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the body");
        assert_eq!(log.take(), ["late asked", "late clean"]);
    });
}

/// S5, K3: a future that panics at its first poll is not polled again, and is dropped before the
/// others clean up.
#[test]
fn a_future_that_panics_at_once_is_polled_once() {
    let ((), reported) = reports::texts(async || {
        for raced in [false, true] {
            let (log, owned) = (Log::default(), Rc::new(()));
            let (mut polls, held) = (0, Rc::downgrade(&owned));
            let panics = poll_fn(move |_| {
                let _ = &owned;
                polls += 1;
                panic!("poll {polls}");
            });
            let tidy = async {
                let Err(cancelled) = sleep(Duration::MAX).await else { return Ok(0) };
                log.push(if held.upgrade().is_none() { "dropped" } else { "held" });
                Err(io::Error::from(cancelled))
            };
            let panicked = if raced {
                let raced = AssertUnwindSafe(race((tidy, panics))).catch_unwind().await;
                raced.unwrap_err()
            } else {
                let gathered = AssertUnwindSafe(gather((tidy, panics))).catch_unwind().await;
                gathered.unwrap_err()
            };
            assert_eq!(panicked.downcast_ref::<String>().unwrap(), "poll 1");
            assert_eq!(log.take(), ["dropped"]);
        }
    });
    assert_eq!(reported, [""; 0]);
}
