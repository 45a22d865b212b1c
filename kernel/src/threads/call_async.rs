//! Calls of tasks into another kernel.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::jobs::Counted;
use crate::error::{CancelReason, TaskCancelled};
use crate::spawn::spawn;
use crate::task::waker::{Message, Remote};
use crate::threads::answer::{Answer, Promise, promise};
use crate::threads::handover::Waiter;
use crate::threads::remote_scope::{OpenScope, RemoteScope};
use crate::threads::work::{AnyWork, Ended, Work};
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
    /// None: there is no such kernel.
    remote: Option<Arc<Remote>>,
    point: CancelPoint,
    step: Step,
    answer: Answer<Ended<R>>,
    scope: Arc<RemoteScope>,
    /// The caller's cancellations that were passed on.
    passed_on: Vec<TaskCancelled>,
}

enum Step {
    /// With what starts the future in the other kernel.
    New(Box<dyn FnOnce() + Send>),
    Waiting(Option<Counted>),
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
        let (promise, answer) = promise();
        let scope = Arc::new(RemoteScope::default());
        let theirs = scope.clone();
        let start = move || {
            let called = Called::new(build, promise, theirs);
            spawn(called).name_after::<B>();
        };
        let point = CancelPoint::at("CALL", site);
        let step = Step::New(Box::new(start));
        CallAsync { remote, point, step, answer, scope, passed_on: Vec::new() }
    }

    /// The first poll. It parks before the future is sent, so that a cancellation that is due comes
    /// first.
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, TaskCancelled>> {
        let parked = self.point.poll(cx, |_| Poll::Pending);
        let new = mem::replace(&mut self.step, Step::Over);
        let Step::New(start) = new else { unreachable!("this is the first poll") };
        if parked.is_pending() {
            let counted = self.count();
            let _ = self.answer.poll(Waiter::new(cx.waker(), counted.as_ref()));
            self.step = Step::Waiting(counted);
            // A message that is refused is dropped, and with it its promise.
            match &self.remote {
                Some(remote) => drop(remote.post(Message::Spawn(start))),
                None => drop(start),
            }
        }
        parked
    }

    /// Counts the call as a job, but for a call of the own kernel, whose clock goes on.
    fn count(&self) -> Option<Counted> {
        let is_own = |remote: &Arc<Remote>| {
            current::try_with(|core| Arc::ptr_eq(core.remote(), remote)) == Some(true)
        };
        if self.remote.as_ref().is_some_and(is_own) { None } else { Counted::here() }
    }

    /// Passes a cancellation on.
    fn pass_on(&self, cancelled: TaskCancelled) {
        if let Some(remote) = &self.remote {
            self.scope.request(remote, cancelled);
        }
    }

    /// The future has ended with a value, or is gone.
    fn end(&mut self, answer: Option<Ended<R>>) -> Result<R, TaskCancelled> {
        self.step = Step::Over;
        let passed_on = mem::take(&mut self.passed_on);
        let Some(ended) = answer else {
            let mut passed_on = passed_on.into_iter();
            let own = passed_on.next();
            // Only one can be returned.
            passed_on.for_each(TaskCancelled::put_back);
            return Err(own.unwrap_or_else(|| TaskCancelled::new(CancelReason::Abandoned)));
        };
        drop(passed_on);
        // What the future has not seen, the caller still has to see.
        self.scope.undelivered().into_iter().for_each(TaskCancelled::put_back);
        ended.or_else(|panic| panic.resume())
    }
}

impl<R: Send + 'static> Future for CallAsync<R> {
    type Output = Result<R, TaskCancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if current::try_with(|core| core.running_id()).flatten().is_none() {
            current::outside_at("a call of another kernel", this.point.site());
        }
        loop {
            let is_counted = match &this.step {
                Step::New(_) => return this.begin(cx),
                Step::Waiting(counted) => counted.as_ref().is_some_and(Counted::is_here),
                Step::Over => panic!("a call of another kernel was polled after it had ended"),
            };
            if !is_counted {
                this.step = Step::Waiting(this.count());
            }
            let Step::Waiting(counted) = &this.step else { unreachable!("it was just set") };
            let (answer, counted) = (&this.answer, counted.as_ref());
            let poll = |cx: &mut Context<'_>| answer.poll(Waiter::new(cx.waker(), counted));
            match this.point.poll(cx, poll) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(answer)) => return Poll::Ready(this.end(answer)),
                Poll::Ready(Err(cancelled)) => {
                    this.pass_on(cancelled.clone());
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
        if let Step::Waiting(_) = self.step {
            if let Some(remote) = &self.remote {
                let abandoned = TaskCancelled::new(CancelReason::Abandoned);
                self.scope.request(remote, abandoned);
            }
        }
    }
}

/// The task of the future in the other kernel.
struct Called<B, F: Future> {
    // Declared before the scope, so that it is dropped first.
    work: Option<Box<Work<F>>>,
    new: Option<(B, Promise<Ended<F::Output>>)>,
    open: OpenScope,
}

impl<B, F: Future> Called<B, F> {
    fn new(build: B, promise: Promise<Ended<F::Output>>, scope: Arc<RemoteScope>) -> Self {
        Called { work: None, new: Some((build, promise)), open: OpenScope::new(scope) }
    }
}

impl<B: FnOnce() -> F, F: Future> Future for Called<B, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Called { work, new, open } = self.get_mut();
        let polled = open.poll(|| {
            if let Some((build, promise)) = new.take() {
                *work = Some(Box::new(Work::new(build, promise)));
            }
            let work = work.as_mut().expect("it is polled until it has ended");
            work.poll(cx)
        });
        if polled.is_ready() {
            // Before the answer, so that the caller finds what was not delivered.
            open.close(|guard| guard.close(ScopeResult::Any));
            if let Some(work) = work.take() {
                work.answer();
            }
        }
        polled
    }
}

/// Nothing in it is pinned: the future is in a box of its own.
impl<B, F: Future> Unpin for Called<B, F> {}

/// Nothing in it is pinned.
impl<R> Unpin for CallAsync<R> {}

impl<R> fmt::Debug for CallAsync<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAsync").field("site", &self.point.site()).finish_non_exhaustive()
    }
}
