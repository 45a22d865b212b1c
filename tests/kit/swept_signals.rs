//! Listeners for signals, swept (V4). A signal is for the whole process, so each test here has one
//! of its own. Waiting for signals costs real time when the virtual clock jumps, so the other ends
//! here count yields instead of sleeping.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use curium::kernel::testing::{self, Injection};
use curium::kernel::{CancelReason, TaskCancelled, TaskEnd, ignore_after, sleep, spawn, yield_now};
use curium::signal::{SIGINT, SIGUSR1, SIGUSR2, Signal, Signals};
use curium::signal::{ctrl_c, signals, until_signal};
use futures::StreamExt;

use crate::checks::{AtTheEnd, assert_tried, undisturbed};
use crate::support::children;
use crate::swept_net::{has, suspended, until};

/// Keeps the signal from ending this process while there is no listener.
fn keep_alive(signal: Signal) {
    signal_hook::flag::register(signal.as_raw(), Arc::default()).unwrap();
}

struct Listening {
    listener: RefCell<Signals>,
    sent: Cell<u32>,
    got: Cell<u32>,
    /// The subject has ended, and no further signal is sent.
    over: Cell<bool>,
}

impl Listening {
    /// The next signal comes when the last one was taken and the subject is parked.
    async fn new() -> Rc<Listening> {
        let listener = RefCell::new(signals([SIGUSR1]).unwrap());
        let (sent, got, over) = Default::default();
        let state = Rc::new(Listening { listener, sent, got, over });
        let sends = state.clone();
        spawn(async move {
            for number in 0..3 {
                until(|| sends.over.get() || sends.got.get() >= number).await?;
                if sends.over.get() {
                    break;
                }
                SIGUSR1.raise().unwrap();
                sends.sent.set(number + 1);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    /// Takes one signal by the stream and two by `recv`.
    #[allow(clippy::await_holding_refcell_ref, reason = "the check borrows it after the subject")]
    async fn listen(&self) -> Result<(), TaskCancelled> {
        let mut listener = self.listener.borrow_mut();
        let signal = listener.next().await.expect("it has no end")?;
        assert_eq!(signal, SIGUSR1);
        self.got.set(1);
        for number in 2..=3 {
            assert_eq!(listener.recv().await?, SIGUSR1);
            self.got.set(number);
        }
        Ok(())
    }

    /// The signals that no task has taken.
    #[allow(clippy::await_holding_refcell_ref, reason = "the subject has ended")]
    async fn left(&self) -> u32 {
        let mut listener = self.listener.borrow_mut();
        let mut left = 0;
        while let Ok(Some(_)) = ignore_after(Duration::from_secs(1), listener.recv()).await {
            left += 1;
        }
        left
    }
}

/// V4, O1: whatever happens to its task, a listener loses no signal and sees none twice.
#[test]
fn the_signals_of_a_listener_are_conserved() {
    keep_alive(SIGUSR1);
    let swept = testing::sweep().run(
        Listening::new,
        |state: Rc<Rc<Listening>>| async move { state.listen().await },
        async |state, run| {
            state.over.set(true);
            let (sent, got) = (state.sent.get(), state.got.get());
            assert!(sent - got <= 1, "{sent} were sent and {got} taken");
            assert_eq!(state.left().await, sent - got, "{:?}", run.end);
        },
    );
    assert_eq!(swept.suspensions, 3, "{:?}", swept.sites);
    assert!(suspended(&swept, "SIGNAL_RECV") > 0 && swept.sites.len() == 2, "{:?}", swept.sites);
}

struct Body {
    parked: Cell<bool>,
    sent: Cell<bool>,
    stopped: Cell<bool>,
    reasons: RefCell<Vec<CancelReason>>,
}

impl Body {
    /// A signal comes when the body is parked. A second one would end the process.
    async fn new() -> Rc<Body> {
        let body = Rc::new(Body {
            parked: Cell::new(false),
            sent: Cell::new(false),
            stopped: Cell::new(false),
            reasons: RefCell::default(),
        });
        let state = body.clone();
        spawn(async move {
            until(|| state.parked.get()).await?;
            SIGUSR2.raise().unwrap();
            state.sent.set(true);
            Ok::<_, TaskCancelled>(())
        });
        body
    }

    fn note(&self, cancelled: &TaskCancelled) {
        self.reasons.borrow_mut().push(cancelled.reason());
    }

    async fn work(&self) -> Result<(), TaskCancelled> {
        yield_now().await?;
        self.parked.set(true);
        let Err(cancelled) = sleep(Duration::MAX).await else { unreachable!() };
        self.note(&cancelled);
        // The cleanup may be cancelled as well: by the other of the two.
        yield_now().await.inspect_err(|again| self.note(again))?;
        Err(cancelled)
    }
}

/// V4, O1, C15: whatever happens to its task, a body is cancelled at most once by a signal, and the
/// signal never passes for a cancellation of the task.
#[test]
fn a_signal_ends_its_body_and_nothing_else() {
    keep_alive(SIGUSR2);
    let by_signal = CancelReason::Signal { number: SIGUSR2.as_raw() };
    let swept = testing::sweep().run(
        Body::new,
        |body: Rc<Rc<Body>>| async move {
            match until_signal([SIGUSR2], body.work()).unwrap().await {
                Ok(own) => own?,
                Err(signalled) => {
                    assert_eq!(signalled.signal(), SIGUSR2);
                    body.stopped.set(true);
                }
            }
            yield_now().await
        },
        async |body, run| {
            // The helper sends its signal in any case, unless it was cancelled as well. Now nothing
            // listens for it.
            body.parked.set(true);
            until(|| body.sent.get() || has(run, Injection::ShutDown)).await.unwrap();
            let reasons = body.reasons.take();
            if run.injected.is_empty() {
                assert!(body.stopped.get() && run.end == TaskEnd::Ok);
                assert_eq!(reasons, [by_signal]);
            } else if !has(run, Injection::Abort) {
                assert_ne!(run.end, TaskEnd::Failed, "{:?}", run.error);
                assert!(body.stopped.get() <= reasons.contains(&by_signal), "{reasons:?}");
                let (signals, others): (Vec<_>, Vec<_>) =
                    reasons.into_iter().partition(|reason| *reason == by_signal);
                assert!(signals.len() <= 1 && others.len() <= 1, "{signals:?} {others:?}");
            }
        },
    );
    assert!(swept.suspensions >= 4 && swept.runs >= 30, "{swept:?}");
}

/// V4, O1: whatever happens to its task, Ctrl-C is waited for, and a wait that is left only loses
/// its listener.
#[test]
fn a_wait_for_ctrl_c_is_left_at_any_time() {
    // It takes SIGINT from the whole process.
    if children::ran_alone(children::this_test!()) {
        return;
    }
    keep_alive(SIGINT);
    let swept = testing::sweep().run(
        async || {
            let seen = Rc::new((Cell::new(0), Cell::new(false)));
            let sends = seen.clone();
            spawn(async move {
                for number in 0..2 {
                    until(|| sends.1.get() || sends.0.get() >= number).await?;
                    SIGINT.raise().unwrap();
                }
                Ok::<_, TaskCancelled>(())
            });
            seen
        },
        |seen: Rc<Rc<(Cell<u32>, Cell<bool>)>>| async move {
            let _end = AtTheEnd(&seen.1);
            for number in 1..=2 {
                ctrl_c().await?;
                seen.0.set(number);
            }
            Ok::<_, std::io::Error>(())
        },
        async |seen, run| assert!(!undisturbed(run) || seen.0.get() == 2),
    );
    assert_tried(&swept, &["SIGNAL_RECV"], 2, 25);
}
