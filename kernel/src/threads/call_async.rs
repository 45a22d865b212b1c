//! Calls of tasks into another kernel.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::jobs::Counted;
use crate::core::state::Core;
use crate::error::{CancelReason, TaskCancelled};
use crate::parts::waiter::LocalWaiter;
use crate::task::waker::{Message, Remote};
use crate::threads::called::{Called, call};
use crate::threads::work::Ended;
use crate::wait::point::CancelPoint;

/// The future of [`Handle::call_async`](crate::Handle::call_async) and of
/// [`Core::call`](crate::Core::call).
///
/// # Cancellation
///
/// Passed on to the future in the other kernel, whose end is awaited. Dropped, it cancels that
/// future and does not wait.
#[must_use = "a call does nothing unless it is awaited"]
pub struct CallAsync<R> {
    point: CancelPoint,
    wait: Wait<R>,
    /// The caller's cancellations that were passed on.
    passed_on: Vec<TaskCancelled>,
}

/// What the cancel point waits for.
struct Wait<R> {
    /// None: there is no such kernel.
    remote: Option<Arc<Remote>>,
    call: Arc<dyn Called<R>>,
    step: Step,
}

enum Step {
    New,
    Waiting(Counted),
    Over,
}

impl<R: Send + 'static> CallAsync<R> {
    pub(crate) fn new<B, F>(
        remote: Option<Arc<Remote>>,
        build: B,
        site: &'static Location<'static>,
    ) -> Self
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = R> + 'static,
    {
        let wait = Wait { remote, call: call(build), step: Step::New };
        CallAsync { point: CancelPoint::at("CALL", site), wait, passed_on: Vec::new() }
    }

    /// The first poll. It parks before the future is sent, so that a cancellation that is due comes
    /// first.
    fn begin(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<Result<R, TaskCancelled>> {
        let parked = self.point.poll(cx, |_| Poll::Pending);
        self.wait.step = Step::Over;
        if parked.is_pending() {
            self.wait.send(core, cx);
        }
        parked
    }

    /// The future has ended with a value, or is gone.
    fn end(&mut self, answer: Option<Ended<R>>) -> Result<R, TaskCancelled> {
        self.wait.step = Step::Over;
        let passed_on = mem::take(&mut self.passed_on);
        let undelivered =
            if passed_on.is_empty() { Vec::new() } else { self.wait.call.scope().undelivered() };
        let Some(ended) = answer else {
            drop(undelivered);
            let mut passed_on = passed_on.into_iter();
            let own = passed_on.next();
            // Only one can be returned.
            passed_on.for_each(TaskCancelled::put_back);
            return Err(own.unwrap_or_else(|| TaskCancelled::new(CancelReason::Abandoned)));
        };
        drop(passed_on);
        // What the future has not seen, the caller still has to see.
        undelivered.into_iter().for_each(TaskCancelled::put_back);
        ended.or_else(|panic| panic.resume())
    }
}

impl<R> Wait<R> {
    /// Sends the future.
    fn send(&mut self, core: &Core, cx: &Context<'_>) {
        let counted = self.count(core, cx);
        let _ = self.call.answer().poll_with(counted.job());
        self.step = Step::Waiting(counted);
        let message = self.call.clone().message();
        // A message that is refused is dropped, and fails.
        match &self.remote {
            Some(remote) => drop(remote.post(Message::Call(message))),
            None => drop(message),
        }
    }

    /// Notes in this kernel what waits. It counts as a job, but for a call of the own kernel, whose
    /// clock goes on.
    fn count(&self, core: &Core, cx: &Context<'_>) -> Counted {
        let is_own = self.remote.as_ref().is_some_and(|it| Arc::ptr_eq(core.remote(), it));
        Counted::waiting(core, !is_own, Some(LocalWaiter::of(cx)))
    }

    /// The answer, or a wait for it.
    fn poll(&mut self, core: &Core, cx: &Context<'_>) -> Poll<Option<Ended<R>>> {
        let polled = self.call.answer().poll();
        if polled.is_ready() {
            return polled;
        }
        if matches!(&self.step, Step::Waiting(it) if it.retarget(core, cx)) {
            return Poll::Pending;
        }
        // It was polled in another kernel before.
        let counted = self.count(core, cx);
        let polled = self.call.answer().poll_with(counted.job());
        self.step = Step::Waiting(counted);
        polled
    }

    /// Passes a cancellation on.
    fn cancel(&self, cancelled: TaskCancelled) {
        if let Some(remote) = &self.remote {
            self.call.clone().cancel(remote, cancelled);
        }
    }
}

impl<R: Send + 'static> Future for CallAsync<R> {
    type Output = Result<R, TaskCancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let core = current::try_with(|core| core.running_id().map(|_| core.clone())).flatten();
        let Some(core) = core else {
            current::outside_at("a call of another kernel", this.point.site());
        };
        loop {
            match this.wait.step {
                Step::New => return this.begin(&core, cx),
                Step::Waiting(_) => {}
                Step::Over => panic!("a call of another kernel was polled after it had ended"),
            }
            match this.point.poll(cx, |cx| this.wait.poll(&core, cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(answer)) => return Poll::Ready(this.end(answer)),
                Poll::Ready(Err(cancelled)) => {
                    this.wait.cancel(cancelled.clone());
                    this.passed_on.push(cancelled);
                    // A later cancellation is passed on as well.
                    this.point = CancelPoint::at("CALL", this.point.site());
                }
            }
        }
    }
}

impl<R> Drop for CallAsync<R> {
    fn drop(&mut self) {
        if let Step::Waiting(_) = self.wait.step {
            self.wait.cancel(TaskCancelled::new(CancelReason::Abandoned));
        }
    }
}

/// Nothing in it is pinned.
impl<R> Unpin for CallAsync<R> {}

impl<R> fmt::Debug for CallAsync<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAsync").field("site", &self.point.site()).finish_non_exhaustive()
    }
}
