//! Loom models of what a thread shares with a kernel: every interleaving with up to four
//! preemptions, and every value that a load may return. `.ci/models` runs them.
//!
//! The kernel is a thread that takes the steps of `thread_task.rs`, and sleeps when its task is
//! parked. A lost notification appears as a deadlock of the model.

use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, Thread};

use super::answer::{Promise, Slot, promise};
use super::exchange::{Exchange, Notify};
use crate::core::jobs::CountedJob;
use crate::parts::mailbox::models::Model;
use crate::task::waker::Message;

impl Notify for Thread {
    fn notify(&self) {
        self.unpark();
    }
}

type Line = Exchange<Ask, Thread>;

/// An exchange with the task that this thread stands for.
fn line() -> [Arc<Line>; 2] {
    let line = Arc::new(Line::new(thread::current(), false));
    [line.clone(), line]
}

/// Runs `model` in every interleaving within the bound.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(4));
    builder.check(model);
}

/// What the thread of a model sends: a number to double, or its end.
enum Ask {
    Double(u32, Promise<u32>),
    Ended,
}

/// The thread's side of a call.
fn double(line: &Line, number: u32) -> Option<u32> {
    let (promise, answer) = promise();
    match line.send(Ask::Double(number, promise)) {
        Ok(()) => answer.wait(),
        Err(refused) => {
            drop(refused);
            None
        }
    }
}

/// The next message of the thread.
fn next(line: &Line) -> Ask {
    loop {
        match line.poll_next() {
            Poll::Ready(ask) => return ask,
            Poll::Pending => thread::park(),
        }
    }
}

/// The kernel's side: serves the thread until it ends, or until that many calls have been served.
fn serve(line: &Line, calls: usize) {
    for _ in 0..calls {
        match next(line) {
            Ask::Double(number, promise) => promise.give(number * 2),
            Ask::Ended => return,
        }
    }
}

/// R2: each call gets its own answer, and the end arrives.
#[test]
fn every_call_is_answered() {
    check(|| {
        let [line, theirs] = line();
        let body = thread::spawn(move || {
            assert_eq!(double(&theirs, 1), Some(2));
            assert_eq!(double(&theirs, 2), Some(4));
            assert!(theirs.send(Ask::Ended).is_ok());
        });
        serve(&line, usize::MAX);
        body.join().unwrap();
    });
}

/// R2: whenever the task is dropped, before a call, with the message in the exchange or while it is
/// served, the thread comes back; and every later call is refused.
#[test]
fn a_thread_comes_back_when_its_task_is_dropped() {
    for served in 0..2 {
        check(move || {
            let [line, theirs] = line();
            let body = thread::spawn(move || {
                let answers = [double(&theirs, 1), double(&theirs, 2)];
                assert!(answers[1].is_none() || answers[0].is_some());
                if answers[1].is_none() {
                    assert!(theirs.is_closed());
                    assert_eq!(double(&theirs, 3), None);
                }
                answers.iter().flatten().count()
            });
            serve(&line, served);
            drop(line.close());
            assert_eq!(body.join().unwrap(), served);
        });
    }
}

/// R2: a task that is dropped while it serves closes the exchange before the thread wakes. So a
/// thread that was refused once is refused from then on.
#[test]
fn a_thread_that_was_refused_finds_its_task_gone() {
    check(|| {
        let [line, theirs] = line();
        let body = thread::spawn(move || {
            assert_eq!(double(&theirs, 1), None);
            assert!(theirs.may_be_pending() && theirs.is_closed());
        });
        let taken = next(&line);
        // The steps of `ThreadTask::drop`.
        let left = line.close();
        line.set_pending(true);
        drop((left, taken));
        body.join().unwrap();
    });
}

/// R2: either the task takes the end of the body, or it finds it when it is dropped, or the thread
/// is refused: never two of them, and never none. So a thread is abandoned only if it still runs.
#[test]
fn the_end_of_a_body_is_seen_once() {
    check(|| {
        let [line, theirs] = line();
        let body = thread::spawn(move || theirs.send(Ask::Ended).is_err());
        let left = line.close();
        let refused = body.join().unwrap();
        assert_ne!(left.is_some(), refused);
    });
}

/// R2: a thread that learns of anything that happened after the request finds the flag set.
#[test]
fn a_request_is_seen_by_what_comes_after_it() {
    check(|| {
        let [line, theirs] = line();
        let said = Arc::new(AtomicBool::new(false));
        let heard = said.clone();
        let body = thread::spawn(move || {
            if heard.load(Ordering::Acquire) {
                assert!(theirs.may_be_pending());
            }
        });
        line.set_pending(true);
        said.store(true, Ordering::Release);
        body.join().unwrap();
    });
}

/// R3: a promise that is dropped lets the thread go, and one that is kept gives its value, which is
/// dropped once.
#[test]
fn an_answer_comes_or_never_will() {
    for given in [true, false] {
        check(move || {
            let (promise, answer) = promise();
            let waits = thread::spawn(move || answer.wait());
            if given {
                promise.give(Arc::new(7));
            } else {
                drop(promise);
            }
            let value = waits.join().unwrap();
            assert_eq!(value.map(|value| Arc::strong_count(&value)), given.then_some(1));
        });
    }
}

/// Waits in a kernel until the answer to the job with that number has come.
fn wait_for_answer(kernel: &mut Model, job: u32) {
    let is_it = |message: &Message| matches!(message, Message::Answered(id) if id.place == job);
    while !kernel.look().iter().any(is_it) {}
}

/// P2: the kernel of a task that waits for the answer to a call is told when it is there, or never
/// will be. Then the task finds it.
#[test]
fn the_task_of_a_call_finds_its_answer() {
    for given in [true, false] {
        check(move || {
            let mut kernel = Model::new();
            let slot = Arc::new(Slot::new());
            let (theirs, job) = (slot.clone(), CountedJob::of_model(kernel.remote.clone(), 1));
            let other = thread::spawn(move || if given { theirs.give(7) } else { theirs.fail() });
            let mut polled = slot.poll_with(job);
            if polled.is_pending() {
                wait_for_answer(&mut kernel, 1);
                polled = slot.poll();
            }
            assert_eq!(polled, Poll::Ready(given.then_some(7)));
            other.join().unwrap();
            kernel.end();
        });
    }
}

/// P2: a call that goes on in another kernel is answered there, unless it was answered before.
#[test]
fn a_call_that_moves_to_another_kernel_finds_its_answer() {
    check(|| {
        let [before, mut kernel] = [Model::new(), Model::new()];
        let slot = Arc::new(Slot::new());
        let theirs = slot.clone();
        let other = thread::spawn(move || theirs.give(7));
        let mut polled = slot.poll_with(CountedJob::of_model(before.remote.clone(), 1));
        if polled.is_pending() {
            polled = slot.poll_with(CountedJob::of_model(kernel.remote.clone(), 2));
        }
        if polled.is_pending() {
            wait_for_answer(&mut kernel, 2);
            polled = slot.poll();
        }
        assert_eq!(polled, Poll::Ready(Some(7)));
        other.join().unwrap();
        before.end();
        kernel.end();
    });
}
