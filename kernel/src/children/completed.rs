//! `as_completed`: the results of several futures, in the order in which they end (S5).

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::children::hosting::Hosting;
use crate::children::set::ChildSet;
use crate::core::current;
use crate::error::TaskCancelled;
use crate::group::policy::WaitPolicy;
use crate::group::task_group::TaskGroup;
use crate::wait::point::CancelPoint;

/// Runs several futures at once; [`next`](AsCompleted::next) gives their outputs in the order in
/// which they end.
///
/// The futures may borrow. They are children of this task, as those of a [`scope`](crate::scope),
/// and run while it waits in `next`. A failure cancels none of the others: it is an output.
///
/// ```
/// use curium::prelude::*;
/// use curium::as_completed;
///
/// # curium::testing::run(async || {
/// let words = ["three", "one"];
/// let mut lengths = as_completed(words.iter().map(async |word| {
///     sleep(Duration::from_secs(word.len() as u64)).await?;
///     Ok::<_, TaskCancelled>(word.len())
/// }));
/// let mut seen = Vec::new();
/// while let Some(length) = lengths.next().await? {
///     seen.push(length?);
/// }
/// assert_eq!(seen, [3, 5]);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// It is a [`Stream`] as well, for adapters that take one.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn as_completed<'env, I, T>(futures: I) -> AsCompleted<'env, T>
where
    I: IntoIterator<Item: Future<Output = T> + 'env>,
    T: 'env,
{
    let core = current::with("as_completed", Rc::clone);
    let group = TaskGroup::open(core.clone(), WaitPolicy::All, false, Location::caller());
    let children = ChildSet::new(core, group.state.clone());
    let ended = Outputs::default();
    for future in futures {
        let ended = ended.clone();
        let child = children.start::<_, TaskCancelled>(async move {
            let mut future = pin!(future);
            // A panic belongs to the caller of `next`, and cancels no other future.
            let output =
                poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                    Ok(polled) => polled.map(Ok),
                    Err(payload) => Poll::Ready(Err(payload)),
                });
            let output = output.await;
            ended.borrow_mut().push_back(output);
        });
        children.core.drop_holder(&child.0);
    }
    AsCompleted { children, group, ended, waiting: None, site: Location::caller() }
}

type Outputs<T> = Rc<RefCell<VecDeque<Output<T>>>>;
/// The output of a future, or its panic.
type Output<T> = Result<T, Box<dyn Any + Send>>;

/// Made by [`as_completed`].
///
/// Dropped, it drops the futures that have not ended, without awaiting their cleanup.
///
/// As a [`Stream`] it gives `Result<T, TaskCancelled>`: a cancellation of the task that polls it is
/// an item, after which the stream goes on. The futures run only while a task waits for an item.
pub struct AsCompleted<'env, T> {
    // Declared before the group, so that the children are dropped before it is closed.
    children: ChildSet<'env>,
    group: TaskGroup<TaskCancelled>,
    ended: Outputs<T>,
    /// The wait of the stream, if it was polled and found nothing.
    waiting: Option<CancelPoint>,
    site: &'static Location<'static>,
}

impl<T> AsCompleted<'_, T> {
    /// Waits for the next future to end and gives its output; `None` when all have.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]: this wait was cancelled. The futures are not; drop this to drop them.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the next call gives the output. The futures run only while `next` waits.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a future.
    #[track_caller]
    #[allow(clippy::should_implement_trait, reason = "it is async, as that of a stream")]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<T>, TaskCancelled>> {
        let site = Location::caller();
        self.waiting = None;
        let mut point = CancelPoint::at("AS_COMPLETED", site);
        poll_fn(move |cx| self.poll_output(&mut point, site, cx))
    }

    /// Polls the futures that are ready, and then the wait for an output at `point`.
    fn poll_output(
        &self,
        point: &mut CancelPoint,
        site: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<T>, TaskCancelled>> {
        let AsCompleted { children, group, ended, .. } = self;
        let wait = NextOutput { group, ended, point };
        let hosting = Hosting::new(wait, children, &children.core, children.queue(), site);
        let output = ready!(pin!(hosting).poll(cx))?;
        Poll::Ready(Ok(output.map(|output| output.unwrap_or_else(|it| resume_unwind(it)))))
    }
}

// No future of it is pinned here: each is in a box of its own.
impl<T> Unpin for AsCompleted<'_, T> {}

impl<T> Stream for AsCompleted<'_, T> {
    type Item = Result<T, TaskCancelled>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let at_site = || CancelPoint::at("AS_COMPLETED", this.site);
        let mut point = this.waiting.take().unwrap_or_else(at_site);
        let polled = this.poll_output(&mut point, this.site, cx);
        if polled.is_pending() {
            this.waiting = Some(point);
        }
        polled.map(Result::transpose)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.ended.borrow().len() + self.group.len();
        (left, Some(left))
    }
}

impl<T> fmt::Debug for AsCompleted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.group.len()).finish_non_exhaustive()
    }
}

/// The wait of `next`. Its host polls it again after each end of a child.
struct NextOutput<'a, T> {
    group: &'a TaskGroup<TaskCancelled>,
    ended: &'a Outputs<T>,
    point: &'a mut CancelPoint,
}

impl<T> Future for NextOutput<'_, T> {
    type Output = Result<Option<Output<T>>, TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let NextOutput { group, ended, point } = &mut *self;
        point.poll(cx, |_| {
            let next = ended.borrow_mut().pop_front();
            if next.is_some() || group.is_empty() { Poll::Ready(next) } else { Poll::Pending }
        })
    }
}
