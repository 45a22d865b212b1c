//! A call between two kernels: what both share, and the task in the kernel that is called.
//!
//! One allocation holds all that passes between them: what builds the future, the answer, and the
//! scope that the caller cancels. The caller makes it and, most often, frees it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::core::life::KEEP_BODY;
use crate::error::TaskCancelled;
use crate::spawn::spawn_as;
use crate::task::waker::{Remote, SentCall, Start};
use crate::threads::answer::Slot;
use crate::threads::remote_scope::{InScope, OpenScope, RemoteScope, request_cancel};
use crate::threads::work::{Ended, Work};

/// See the module.
struct Call<B, R> {
    /// None once it was sent and has arrived.
    build: Mutex<Option<B>>,
    answer: Slot<Ended<R>>,
    scope: RemoteScope,
}

/// A call, as its caller sees it.
pub(super) trait Called<R>: InScope {
    fn answer(&self) -> &Slot<Ended<R>>;

    /// The message that starts it.
    fn message(self: Arc<Self>) -> SentCall;

    /// Cancels the future, in the kernel with this mailbox.
    fn cancel(self: Arc<Self>, remote: &Remote, cancelled: TaskCancelled);
}

/// A new call.
pub(super) fn call<B, F>(build: B) -> Arc<dyn Called<F::Output>>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output: Send + 'static> + 'static,
{
    let (build, answer, scope) = (Mutex::new(Some(build)), Slot::new(), RemoteScope::default());
    Arc::new(Call { build, answer, scope })
}

impl<B, R> Call<B, R> {
    fn take_build(&self) -> Option<B> {
        self.build.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<B: Send + 'static, R: Send + 'static> InScope for Call<B, R> {
    fn scope(&self) -> &RemoteScope {
        &self.scope
    }
}

impl<B, F> Called<F::Output> for Call<B, F::Output>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output: Send + 'static> + 'static,
{
    fn answer(&self) -> &Slot<Ended<F::Output>> {
        &self.answer
    }

    fn message(self: Arc<Self>) -> SentCall {
        SentCall::new(self)
    }

    fn cancel(self: Arc<Self>, remote: &Remote, cancelled: TaskCancelled) {
        request_cancel(&self, remote, cancelled);
    }
}

impl<B, F> Start for Call<B, F::Output>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output: Send + 'static> + 'static,
{
    fn start(self: Arc<Self>) {
        let Some(build) = self.take_build() else { return };
        // A large future is not copied: see `by_size`.
        if size_of::<F>() > KEEP_BODY {
            spawn_called::<B, _, _, _>(self, move || Box::pin(build()));
        } else {
            spawn_called::<B, _, _, _>(self, build);
        }
    }

    fn fail(&self) {
        // Dropped last, also if the drop of what builds the future panics: that is on this thread,
        // and before the caller learns of it.
        let _failing = Failing(&self.answer);
        drop(self.take_build());
    }
}

/// An answer that fails when this is dropped.
struct Failing<'a, R>(&'a Slot<R>);

impl<R> Drop for Failing<'_, R> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// Spawns the task, which is named after `N`.
fn spawn_called<N, C, B, F>(call: Arc<C>, build: B)
where
    C: Called<F::Output> + 'static,
    B: FnOnce() -> F + 'static,
    F: Future<Output: 'static> + 'static,
{
    let (work, open) = (Work::new(build), OpenScope::new(call.clone()));
    drop(spawn_as::<N, _, ()>(CalledTask { work, open, promise: Promise(call) }));
}

/// The answer that the task owes. Dropped, it fails.
struct Promise<R>(Arc<dyn Called<R>>);

impl<R> Drop for Promise<R> {
    fn drop(&mut self) {
        self.0.answer().fail();
    }
}

pin_project! {
    /// The task of the future.
    // The fields are dropped in this order: the future inside the scope, and both before the
    // caller learns of it.
    struct CalledTask<C: InScope, B, F: Future> {
        #[pin]
        work: Work<B, F>,
        open: OpenScope<C>,
        promise: Promise<F::Output>,
    }
}

impl<C: InScope, B: FnOnce() -> F, F: Future> Future for CalledTask<C, B, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let work = this.work;
        let Poll::Ready(ended) = this.open.poll(cx, |cx| work.poll(cx)) else {
            return Poll::Pending;
        };
        // Before the answer, so that the caller finds what was not delivered.
        this.open.close(|guard| guard.close(ScopeResult::Any));
        this.promise.0.answer().give(ended);
        Poll::Ready(())
    }
}
