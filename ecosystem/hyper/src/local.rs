//! `local`: a future that is `Send` for one that is not.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use curium::kernel::{self, GroupRef, TaskCancelled};

/// Runs `body`, which need not be `Send`, as a daemon of `group`, and gives a future for its value
/// that is `Send`: for handlers of axum, connectors, and whatever else demands one.
///
/// It begins at once. If the future that this returns is dropped, `body` is cancelled: it gets the
/// error where it waits, cleans up, and may await meanwhile. The end of the group awaits it.
///
/// ```
/// use curium::prelude::*;
/// use curium_hyper::local;
///
/// fn send<T: Send>(value: T) -> T { value }
///
/// # curium::testing::run(async || {
/// TaskGroup::<TaskCancelled>::scope(async |group| {
///     let lock = std::rc::Rc::new(Lock::new(7));
///     let body = async move { Ok::<_, TaskCancelled>(*lock.acquire().await?) };
///     let value = send(local(group, body));
///     assert_eq!(value.await.unwrap(), Ok(7));
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// [`LocalEnded`] if there is no value. The inner errors are those of `body`.
///
/// # Cancellation
///
/// The future is no leaf: put [`cancellable`](curium::cancellable) around it in code of Curium. In
/// code of another crate that is dropped, it is cancelled by that. If the group is cancelled,
/// `body` gets the error, and the value is what it makes of it.
///
/// # Panics
///
/// Outside a kernel. A panic of `body` is reported, and gives [`LocalEnded`].
#[track_caller]
pub fn local<F, E>(group: GroupRef<E>, body: F) -> Local<F::Output>
where
    F: Future + 'static,
    F::Output: Send + 'static,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let shared = Arc::new(Shared::new());
    let member = Member(shared.clone());
    // If the group has ended, `member` is dropped, which ends the wait.
    let _ = group.try_spawn_daemon(async move {
        member.run(body).await;
        Ok(())
    });
    Local(shared)
}

/// The future of [`local`].
#[must_use = "the body is cancelled when this is dropped"]
pub struct Local<T>(Arc<Shared<T>>);

/// There is no value: the group has ended before the body could begin, the body was aborted, or it
/// has panicked, which is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalEnded;

impl fmt::Display for LocalEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task of the body has ended without a value")
    }
}

impl std::error::Error for LocalEnded {}

/// What the future and the member share. The lock is never contended in one kernel.
struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    /// The member has ended, with this value.
    ended: Option<Option<T>>,
    /// The task that awaits the value.
    waiter: Option<Waker>,
    /// The future was dropped.
    dropped: bool,
    /// The task of the member.
    member: Option<Waker>,
}

impl<T> Shared<T> {
    fn new() -> Self {
        Shared(Mutex::new(State { ended: None, waiter: None, dropped: false, member: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a waker of this task.
fn keep(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The end of the member. Its drop is the end without a value.
struct Member<T>(Arc<Shared<T>>);

impl<T> Member<T> {
    async fn run(self, body: impl Future<Output = T>) {
        let mut body = pin!(body);
        let mut requested = false;
        let value = poll_fn(|cx| {
            if !requested && self.is_unwanted(cx) {
                requested = true;
                // The task's own cancellation, so that the end of the group is no second one.
                let own = kernel::current_task_id().expect("a task polls this");
                let _ = kernel::handle().request_cancel(own);
            }
            body.as_mut().poll(cx)
        });
        self.end(Some(value.await));
    }

    /// Whether the future was dropped. If not, its drop wakes this task.
    fn is_unwanted(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        keep(&mut state.member, cx);
        state.dropped
    }

    fn end(&self, value: Option<T>) {
        let mut state = self.0.lock();
        if state.ended.is_some() {
            return;
        }
        // A value that is not awaited is dropped here, by its own kernel, and not under the lock.
        let (kept, unwanted) = if state.dropped { (None, value) } else { (value, None) };
        state.ended = Some(kept);
        let (waiter, member) = (state.waiter.take(), state.member.take());
        drop(state);
        drop((unwanted, member));
        wake(waiter);
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<T> Future for Local<T> {
    type Output = Result<T, LocalEnded>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &mut state.ended {
            Some(value) => Poll::Ready(value.take().ok_or(LocalEnded)),
            None => {
                keep(&mut state.waiter, cx);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dropped = true;
        let (value, waiter, member) =
            (state.ended.take(), state.waiter.take(), state.member.take());
        drop(state);
        drop((value, waiter));
        wake(member);
    }
}

impl<T> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("ended", &self.0.lock().ended.is_some()).finish()
    }
}
