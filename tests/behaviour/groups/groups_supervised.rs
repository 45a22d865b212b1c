//! Members that are started again when they fail: `supervise` (G11).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::{self, testing};
use curium::{
    CancelReason, Kernel, Report, RestartPolicy, TaskCancelled, TaskError, TaskGroup, sleep,
};

use crate::support::reports;
use crate::support::time::{SECOND, secs};

type Group = TaskGroup<Failed>;

#[derive(Debug, PartialEq, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Cancelled(#[from] TaskCancelled),
    #[error("attempt {0}")]
    Own(usize),
}

/// When each attempt began.
#[derive(Clone, Default)]
struct Attempts(Rc<RefCell<Vec<Instant>>>);

impl Attempts {
    /// The number of this attempt, from 1.
    fn begin(&self) -> usize {
        self.0.borrow_mut().push(kernel::now());
        self.0.borrow().len()
    }

    /// The milliseconds between the attempts.
    fn gaps(&self) -> Vec<u128> {
        let begun = self.0.borrow();
        begun.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect()
    }
}

/// The delays of the restarts, and other reports as text.
fn restarts<T>(main: impl AsyncFnOnce() -> T) -> (T, Vec<String>) {
    let text = |report: &Report<'_>| match report {
        Report::Restarted { failure, delay } => {
            let how = if failure.panicked { "panicked" } else { "failed" };
            Some(format!("{how}: {}, {delay:?}", failure.error))
        }
        other => Some(other.to_string()),
    };
    reports::picked(Kernel::builder(), text, main)
}

/// Fails after `worked`, in each attempt but the last of `attempts`.
async fn fails_until(number: usize, attempts: usize, worked: Duration) -> Result<usize, Failed> {
    sleep(worked).await?;
    if number < attempts { Err(Failed::Own(number)) } else { Ok(number) }
}

/// G11: a member that fails is started again, after a delay that is doubled up to a greatest one,
/// and gives the value of the attempt that succeeds. Each failure is reported.
#[test]
fn a_failed_member_is_started_again_after_growing_delays() {
    let (gaps, reports) = restarts(async || {
        let attempts = Attempts::default();
        let counted = attempts.clone();
        let policy = RestartPolicy::new(10, secs(60)).delays(SECOND, secs(5));
        Group::scope(async |g| {
            let member = g.supervise(policy, async move || {
                fails_until(counted.begin(), 6, Duration::ZERO).await
            });
            assert_eq!(member.await?, 6);
            Ok(())
        })
        .await
        .unwrap();
        attempts.gaps()
    });
    assert_eq!(gaps, [1000, 2000, 4000, 5000, 5000]);
    assert_eq!(reports.len(), 5);
    assert_eq!(reports[0], "failed: Own(1), 1s");
    assert_eq!(reports[4], "failed: Own(5), 5s");
}

/// G11: after as many restarts as the policy allows in a period, the failure is the group's.
#[test]
fn after_too_many_restarts_the_group_fails() {
    let (attempts, reports) = restarts(async || {
        let attempts = Attempts::default();
        let counted = attempts.clone();
        let policy = RestartPolicy::new(3, secs(60));
        let ended = Group::scope(async |g| {
            g.supervise(policy, async move || Err::<(), _>(Failed::Own(counted.begin())));
            Ok(sleep(Duration::MAX).await?)
        });
        assert_eq!(ended.await, Err(Failed::Own(4)));
        attempts.gaps()
    });
    assert_eq!(attempts, [100, 200, 400]);
    assert_eq!(reports.len(), 3, "{reports:?}");
}

/// G11: restarts that are a period ago do not count, neither for the number nor for the delay.
#[test]
fn restarts_of_long_ago_do_not_count() {
    let (gaps, _) = restarts(async || {
        let attempts = Attempts::default();
        let counted = attempts.clone();
        // At most two within ten seconds. Each attempt takes nine seconds, and later two.
        let policy = RestartPolicy::new(2, secs(10)).delays(SECOND, secs(9));
        let ended = Group::scope(async |g| {
            g.supervise(policy, async move || {
                let number = counted.begin();
                fails_until(number, 100, secs(if number < 5 { 9 } else { 2 })).await
            });
            Ok(())
        });
        assert_eq!(ended.await, Err(Failed::Own(6)));
        attempts.gaps()
    });
    assert_eq!(gaps, [10_000, 10_000, 10_000, 10_000, 4_000]);
}

/// G11: a panic is a failure, also of the code before the first await. The last one is the group's.
#[test]
fn a_panic_is_a_failure() {
    let (_, reports) = restarts(async || {
        let attempts = Attempts::default();
        let policy = RestartPolicy::new(2, secs(60)).delays(SECOND, SECOND);
        let group = Group::new();
        let member = group.supervise(policy, move || {
            let number = attempts.begin();
            assert_ne!(number, 1, "before the first await");
            async move {
                sleep(SECOND).await.unwrap();
                assert_eq!(number, 0, "attempt {number}");
            }
        });
        match member.join().await.unwrap() {
            Err(TaskError::Panicked(panic)) => assert!(panic.message().contains("attempt 3")),
            other => panic!("the member ended as {other:?}"),
        }
        group.join().await.unwrap();
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].contains("panicked: ") && reports[0].contains("before the first await"));
    assert!(reports[1].contains("attempt 2") && reports[1].ends_with(", 1s"));
}

/// G11: what an attempt holds is dropped before the next one begins, also if it panics.
#[test]
fn an_attempt_is_dropped_before_the_next() {
    struct Held(Rc<Cell<usize>>);
    impl Held {
        fn one(of: &Rc<Cell<usize>>) -> Self {
            of.set(of.get() + 1);
            assert_eq!(of.get(), 1, "the last attempt still holds it");
            Held(of.clone())
        }
    }
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let _ = restarts(async || {
        let (held, attempts) = (Rc::new(Cell::new(0)), Attempts::default());
        let policy = RestartPolicy::new(2, secs(60));
        Group::scope(async |g| {
            let taken = held.clone();
            g.supervise(policy, async move || {
                let _held = Held::one(&taken);
                match attempts.begin() {
                    1 => panic!("it panics"),
                    2 => Err(Failed::Own(2)),
                    _ => Ok(()),
                }
            });
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(held.get(), 0);
    });
}

/// G11, C6: a member that was cancelled is not started again, also if its cleanup fails or the
/// cancellation finds it in its delay.
#[test]
fn a_cancelled_member_is_not_started_again() {
    let (_, reports) = restarts(async || {
        let attempts = Attempts::default();
        let policy = RestartPolicy::new(10, secs(60)).delays(secs(10), secs(10));
        let group = Group::new();
        let counted = attempts.clone();
        let cleans_up = group.supervise(policy, async move || {
            counted.begin();
            sleep(Duration::MAX).await.ok();
            Err::<(), _>(Failed::Own(0))
        });
        let in_its_delay = group.supervise(policy, async || Err::<(), _>(Failed::Own(1)));
        sleep(SECOND).await.unwrap();
        cleans_up.cancel().await.unwrap();
        in_its_delay.cancel().await.unwrap();
        match cleans_up.join().await.unwrap() {
            Err(TaskError::Cancelled(error)) => assert_eq!(error, Failed::Own(0)),
            other => panic!("the member ended as {other:?}"),
        }
        match in_its_delay.join().await.unwrap() {
            Err(TaskError::Cancelled(Failed::Cancelled(cancelled))) => {
                assert!(matches!(cancelled.reason(), CancelReason::Requested { .. }));
            }
            other => panic!("the member ended as {other:?}"),
        }
        group.join().await.unwrap();
        assert_eq!(attempts.0.borrow().len(), 1);
    });
    assert_eq!(reports, ["failed: Own(1), 10s"]);
}

/// G11, G2: when a sibling fails, a supervised member ends.
#[test]
fn the_failure_of_a_sibling_ends_a_supervised_member() {
    testing::run(async || {
        let policy = RestartPolicy::new(10, secs(60));
        let ended = Group::scope(async |g| {
            g.supervise(policy, async || Ok::<_, Failed>(sleep(Duration::MAX).await?));
            g.spawn(async {
                sleep(SECOND).await?;
                Err::<(), _>(Failed::Own(9))
            });
            Ok(())
        });
        assert_eq!(ended.await, Err(Failed::Own(9)));
    });
}

/// G11: a policy of no restarts makes an ordinary member, and one without a delay does not spin.
#[test]
fn a_policy_may_allow_nothing_or_wait_for_nothing() {
    let (attempts, reports) = restarts(async || {
        let policy = RestartPolicy::new(0, secs(60));
        let ended = Group::scope(async |g| {
            g.supervise(policy, async || Err::<(), _>(Failed::Own(1)));
            Ok(())
        });
        assert_eq!(ended.await, Err(Failed::Own(1)));
        let attempts = Attempts::default();
        let counted = attempts.clone();
        let policy = RestartPolicy::new(usize::MAX, secs(60)).delays(Duration::ZERO, secs(9));
        let ended = Group::scope(async |g| {
            let member = g.supervise(policy, async move || {
                fails_until(counted.begin(), 1000, Duration::ZERO).await
            });
            let turns = kernel::current_task().cycles;
            curium::yield_now().await?;
            assert!(kernel::current_task().cycles > turns && !member.is_done());
            member.await
        });
        ended.await.unwrap()
    });
    assert_eq!((attempts, reports.len()), (1000, 999));
}

/// G11: the member keeps its id over its restarts, and has the name of its closure.
#[test]
fn a_supervised_member_keeps_its_id_and_has_the_name_of_its_closure() {
    let _ = restarts(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        Group::scope(async |g| {
            let member = g.supervise(RestartPolicy::new(1, SECOND), async move || {
                let info = kernel::current_task();
                assert!(info.name.ends_with("has_the_name_of_its_closure"), "{}", info.name);
                noted.borrow_mut().push(info.id);
                if noted.borrow().len() == 1 { Err(Failed::Own(1)) } else { Ok(()) }
            });
            let id = member.id();
            member.await?;
            assert_eq!(*seen.borrow(), [id, id]);
            Ok(())
        })
        .await
        .unwrap();
    });
}
