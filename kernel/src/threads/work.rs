//! A future that a kernel runs for another thread, and its output.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::Panic;
use crate::threads::answer::Promise;

/// What the thread gets: the output of the future, or its panic.
pub(crate) type Ended<R> = Result<R, Panic>;

pin_project! {
    /// What builds the future, then the future. Ready when its output is there, and the future has
    /// been dropped.
    #[project = WorkProjection]
    pub(super) enum Work<B, F> {
        New { build: Option<B> },
        Running { #[pin] future: F },
        Over,
    }
}

impl<B: FnOnce() -> F, F: Future> Work<B, F> {
    pub(super) fn new(build: B) -> Self {
        Work::New { build: Some(build) }
    }
}

impl<B: FnOnce() -> F, F: Future> Future for Work<B, F> {
    type Output = Ended<F::Output>;

    /// The first poll builds the future.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let WorkProjection::New { build } = self.as_mut().project() {
            let build = build.take().expect("it is built at the first poll");
            match catch_unwind(AssertUnwindSafe(build)) {
                Ok(future) => self.set(Work::Running { future }),
                Err(payload) => {
                    self.set(Work::Over);
                    return Poll::Ready(Err(Panic::new(payload)));
                }
            }
        }
        let WorkProjection::Running { future } = self.as_mut().project() else {
            unreachable!("it is polled until it has ended");
        };
        let ended = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(Panic::new(payload)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| self.set(Work::Over)));
        Poll::Ready(match (ended, dropped) {
            // As in a task: the first panic goes on, and a value is lost in the panic.
            (Ok(_), Err(payload)) => Err(Panic::new(payload)),
            (ended, _) => ended,
        })
    }
}

/// A [`Work`] of any type. Its output gives that of the future to the thread.
pub(super) type AnyWork = Pin<Box<dyn Future<Output = Box<dyn FnOnce()>>>>;

/// The work for a thread that waits for the answer to this promise.
pub(super) fn promised<B, F>(build: B, promise: Promise<Ended<F::Output>>) -> AnyWork
where
    B: FnOnce() -> F + 'static,
    F: Future<Output: 'static> + 'static,
{
    Box::pin(async move {
        let ended = Work::new(|| Box::pin(build())).await;
        Box::new(move || promise.give(ended)) as Box<dyn FnOnce()>
    })
}
