//! A future that a kernel runs for a thread, which sleeps for its output.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Panic;
use crate::threads::answer::Promise;

/// What the thread gets: the output of the future, or its panic.
pub(crate) type Ended<R> = Result<R, Panic>;

/// The future, then its output.
pub(crate) struct Work<F: Future> {
    future: Option<Pin<Box<F>>>,
    ended: Option<Ended<F::Output>>,
    promise: Promise<Ended<F::Output>>,
}

/// [`Work`] of any type.
pub(super) trait AnyWork {
    /// Polls the future. Ready when its output is there, and the future has been dropped.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Gives the output to the thread.
    fn answer(self: Box<Self>);
}

impl<F: Future> Work<F> {
    /// Builds the future, on the thread of the kernel.
    pub(super) fn new(build: impl FnOnce() -> F, promise: Promise<Ended<F::Output>>) -> Self {
        match catch_unwind(AssertUnwindSafe(|| Box::pin(build()))) {
            Ok(future) => Work { future: Some(future), ended: None, promise },
            Err(payload) => Work { future: None, ended: Some(Err(Panic::new(payload))), promise },
        }
    }

    fn poll_future(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(Panic::new(payload)),
        };
        self.ended = Some(ended);
        let future = self.future.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            let first = self.ended.take();
            // As in a task: the first panic goes on, and a value is lost in the panic.
            let panic = first.and_then(Result::err).unwrap_or_else(|| Panic::new(payload));
            self.ended = Some(Err(panic));
        }
        Poll::Ready(())
    }
}

impl<F: Future> AnyWork for Work<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_future(cx)
    }

    fn answer(self: Box<Self>) {
        if let Some(ended) = self.ended {
            self.promise.give(ended);
        }
    }
}
