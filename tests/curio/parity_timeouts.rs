//! What curio's tests of timeouts check and no other file here does: handlers between two timeouts,
//! three nested timeouts, a body that overruns without parking, no limit at all.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, Kernel, Report, TaskCancelled, TaskTimeout, sleep, testing, timeout_after,
};

use crate::support::reports::overruns;
use crate::support::time::secs;

/// T3, T5: a handler round an inner call is part of the outer call's own body. It sees that the
/// outer call expired, not the inner one. If it swallows the expiry, that is not delivered again,
/// and the outer call reports that its body was late.
#[test]
fn a_handler_round_an_inner_call_has_taken_the_outer_expiry() {
    let ((), overran) = overruns(async || {
        let seen = RefCell::new(None);
        let body = async {
            match timeout_after(secs(5), sleep(Duration::MAX)).await {
                Err(TaskTimeout { .. }) => panic!("it was not the inner call's time"),
                Ok(slept) => *seen.borrow_mut() = slept.err().map(|error| error.reason()),
            }
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>("went on")
        };
        assert_eq!(timeout_after(secs(1), body).await, Ok(Ok("went on")));
        assert_eq!(seen.take(), Some(CancelReason::Timeout));
    });
    assert_eq!(overran, [secs(1)]);
}

/// T3: three nested calls, written as blocks and as calls: the outermost expires, both inner ones
/// pass that on as a cancellation, and only the outermost returns its timeout.
#[test]
fn an_outermost_expiry_passes_both_inner_calls() {
    testing::run(async || {
        let reasons = RefCell::new(Vec::new());
        let note = |error: TaskCancelled| {
            reasons.borrow_mut().push(error.reason());
            error
        };
        let blocks = async {
            let middle = async {
                let inner = timeout_after(secs(10), async { sleep(secs(5)).await });
                inner.await.expect("not the innermost's").map_err(note)
            };
            timeout_after(secs(15), middle).await.expect("not the middle one's").map_err(note)
        };
        assert_eq!(timeout_after(secs(1), blocks).await.unwrap_err().limit(), secs(1));
        assert_eq!(reasons.take(), [CancelReason::Timeout; 2]);

        let started = kernel::now();
        let calls = timeout_after(secs(15), timeout_after(secs(10), sleep(secs(5))));
        let calls = async {
            let middle = calls.await.expect("not the middle one's");
            middle.expect("not the innermost's").map_err(note)
        };
        assert_eq!(timeout_after(secs(1), calls).await.unwrap_err().limit(), secs(1));
        assert_eq!(reasons.take(), [CancelReason::Timeout]);
        assert_eq!(kernel::now() - started, secs(1));
    });
}

/// T2, T4: a body that overruns without parking ends well. A report says that it was late, and
/// nothing is delivered afterwards.
#[test]
fn a_body_that_overruns_without_parking_ends_well_with_a_warning() {
    let overran = Rc::new(RefCell::new(0));
    let sink = overran.clone();
    let builder = Kernel::builder().on_report(move |report| match report {
        Report::Overran { by, .. } => {
            assert!(!by.is_zero());
            *sink.borrow_mut() += 1;
        }
        other => panic!("not expected: {other}"),
    });
    builder.run(async || {
        let limit = Duration::from_micros(200);
        let late = timeout_after(limit, async {
            let up = kernel::now() + 2 * limit;
            while kernel::now() < up {
                std::hint::spin_loop();
            }
            Ok::<_, TaskCancelled>("late")
        });
        assert_eq!(late.await, Ok(Ok("late")));
        assert_eq!(sleep(Duration::from_millis(1)).await, Ok(()));
    });
    assert_eq!(overran.take(), 1);
}

/// T4, T7: without a limit a call returns what its body does. Timeouts inside work, and timeouts
/// outside stay in force.
#[test]
fn no_limit_at_all_leaves_inner_and_outer_timeouts_alone() {
    testing::run(async || {
        let unlimited = timeout_after(Duration::MAX, async {
            assert!(timeout_after(secs(1), sleep(secs(9))).await.is_err());
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>("done")
        });
        assert_eq!(unlimited.await, Ok(Ok("done")));

        let started = kernel::now();
        let body = async {
            let inner = timeout_after(Duration::MAX, sleep(secs(2))).await;
            inner.expect("without a limit no time runs out")?;
            sleep(secs(1)).await
        };
        assert!(timeout_after(secs(1), body).await.is_err());
        assert_eq!(kernel::now() - started, secs(1));
    });
}
