//! `gather`: several futures at once, all of their values (S5).
//!
//! Each future is polled once in the caller before anything is opened. If all are ready, that is
//! the whole work. Otherwise those that are left become children of a scope, at the next poll: a
//! future is not polled twice in one poll of the task, which would end a yield at once.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::children::child::Child;
use crate::children::scope::{Scope, run};
use crate::core::current;
use crate::core::report::ProgramCode;
use crate::error::TaskCancelled;
use crate::group::policy::WaitPolicy;
use crate::wait::in_kernel::InKernel;

/// Runs several futures at once and gives their values, in the order of the tuple.
///
/// The first that fails cancels the others, which are awaited. The futures may borrow. They run in
/// this task as the children of a [`scope`](crate::scope) do; a tuple has up to twelve.
///
/// ```
/// use curium::prelude::*;
/// use curium::gather;
///
/// async fn length(text: &str) -> Result<usize> {
///     sleep(Duration::from_millis(1)).await?;
///     Ok(text.len())
/// }
///
/// # curium::run(async || {
/// let name = String::from("Ann");
/// let (length, ()) = gather((length(&name), sleep(Duration::from_millis(2)))).await?;
/// assert_eq!(length, 3);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The first error. Further errors are reported. Values of futures that have ended before are
/// dropped.
///
/// # Cancellation
///
/// The futures are cancelled together and awaited. Dropped, it drops them.
///
/// # Panics
///
/// When polled outside a kernel. The panic of a future is resumed after the others have ended.
#[doc(alias("join", "try_join"))]
#[track_caller]
pub fn gather<G, E>(futures: G) -> impl Future<Output = Result<G::Values, E>>
where
    G: GatherTuple<E>,
{
    let site = Location::caller();
    InKernel::new("gather", site, futures.gather(site))
}

/// [`gather`] for any number of futures of one type: the values, in order.
///
/// ```
/// use curium::prelude::*;
/// use curium::gather_all;
///
/// # curium::run(async || {
/// let words = [String::from("one"), String::from("three")];
/// let lengths = gather_all(words.iter().map(async |word| {
///     yield_now().await?;
///     Ok::<_, TaskCancelled>(word.len())
/// }));
/// assert_eq!(lengths.await?, [3, 5]);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// As [`gather`].
///
/// # Cancellation
///
/// As [`gather`].
///
/// # Panics
///
/// As [`gather`].
#[track_caller]
pub fn gather_all<'env, I, T, E>(futures: I) -> impl Future<Output = Result<Vec<T>, E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>> + 'env>,
    T: 'env,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let site = Location::caller();
    InKernel::new("gather_all", site, async move {
        let body = async |s: Scope<'env, E>| {
            let children = futures.into_iter().map(|future| s.spawn(future));
            Ok(children.collect::<Vec<_>>())
        };
        let ended = run(WaitPolicy::All, Duration::MAX, body, site, false).await;
        let children = ended.map_err(|errors| errors.first)?;
        children.iter().map(Child::take).collect()
    })
}

/// What [`gather`] takes: a tuple of futures that give `Result<_, E>`.
pub trait GatherTuple<E> {
    /// The values of the futures.
    type Values;

    #[doc(hidden)]
    fn gather(
        self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = Result<Self::Values, E>>;
}

pin_project! {
    /// One future of a `gather`, and its value once it has ended.
    struct Arm<F, T> {
        #[pin]
        future: Option<F>,
        value: Option<T>,
        begun: bool,
    }
}

impl<F, T> Arm<F, T> {
    fn new(future: F) -> Self {
        Arm { future: Some(future), value: None, begun: false }
    }

    fn take(self: Pin<&mut Self>) -> T {
        self.project().value.take().expect("all have ended well")
    }
}

impl<F, T, E> Future for Arm<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<(), E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        *this.begun = true;
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(Ok(())) };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        this.future.set(None);
        Poll::Ready(output.map(|value| *this.value = Some(value)))
    }
}

impl<F, T> PolledFirst for Arm<F, T> {
    fn give_up(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

/// An arm of any type.
trait AnyArm<E>: Future<Output = Result<(), E>> {
    fn has_ended(&self) -> bool;

    fn has_begun(&self) -> bool;
}

impl<F, T, E> AnyArm<E> for Arm<F, T>
where
    F: Future<Output = Result<T, E>>,
{
    fn has_ended(&self) -> bool {
        self.future.is_none()
    }

    fn has_begun(&self) -> bool {
        self.begun
    }
}

/// A future that the caller polls once before it becomes a child.
pub(super) trait PolledFirst {
    /// Drops what has panicked, because no future may be polled after a panic.
    fn give_up(self: Pin<&mut Self>);
}

/// How a first poll went on that does not leave the others alone.
pub(super) enum Early<E> {
    Failed(E),
    Panicked(Box<dyn Any + Send>),
}

impl<E> Early<E> {
    /// What the body of the scope makes of it.
    pub(super) fn raise(self) -> Result<(), E> {
        match self {
            Early::Failed(error) => Err(error),
            Early::Panicked(payload) => resume_unwind(payload),
        }
    }
}

/// Whether a cancellation of the caller is pending. Then no future is polled in the caller: its
/// leaves would get that cancellation, which belongs to the combinator.
#[inline]
pub(super) fn is_cancelled() -> bool {
    current::ambient().pending
}

/// The first poll of an arm.
#[inline]
pub(super) fn first_poll<F, E>(
    mut arm: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Early<E>>>
where
    F: Future<Output = Result<(), E>> + PolledFirst + ?Sized,
{
    match catch_unwind(AssertUnwindSafe(|| arm.as_mut().poll(cx))) {
        Ok(polled) => polled.map_err(Early::Failed),
        Err(payload) => {
            let core = current::with("the first poll of a combinator", Rc::clone);
            core.guarded(ProgramCode::Destructor, || arm.give_up());
            Poll::Ready(Err(Early::Panicked(payload)))
        }
    }
}

/// Awaits the arms that are left, as children of a scope.
async fn rest<'env, E>(
    arms: &'env mut [Pin<&mut (dyn AnyArm<E> + 'env)>],
    early: Option<Early<E>>,
    site: &'static Location<'static>,
) -> Result<(), E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let body = async |s: Scope<'env, E>| {
        let mut children = Vec::new();
        for arm in arms {
            // After an early failure, those that were not begun are dropped.
            if !arm.has_ended() && (arm.has_begun() || early.is_none()) {
                children.push(s.spawn(arm.as_mut()));
            }
        }
        early.map_or(Ok(()), Early::raise)?;
        Ok(children)
    };
    let ended = run(WaitPolicy::All, Duration::MAX, body, site, false).await;
    let children = ended.map_err(|errors| errors.first)?;
    children.iter().try_for_each(Child::take)
}

macro_rules! gather_tuple {
    ($($arm:ident $future:ident $value:ident),+) => {
        impl<E, $($future, $value),+> GatherTuple<E> for ($($future,)+)
        where
            E: From<TaskCancelled> + fmt::Debug + 'static,
            $($future: Future<Output = Result<$value, E>>,)+
        {
            type Values = ($($value,)+);

            async fn gather(self, site: &'static Location<'static>) -> Result<Self::Values, E> {
                let ($($arm,)+) = self;
                $(let mut $arm = pin!(Arm::new($arm));)+
                let mut polled = false;
                let first = poll_fn(|cx| {
                    if std::mem::replace(&mut polled, true) || is_cancelled() {
                        return Poll::Ready(Ok(false));
                    }
                    let mut ended = true;
                    $(match first_poll($arm.as_mut(), cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(early)) => return Poll::Ready(Err(early)),
                        Poll::Pending => ended = false,
                    })+
                    if ended { Poll::Ready(Ok(true)) } else { Poll::Pending }
                });
                let early = match first.await {
                    Ok(true) => return Ok(($($arm.take(),)+)),
                    Ok(false) => None,
                    Err(early) => Some(early),
                };
                rest(&mut [$($arm.as_mut()),+], early, site).await?;
                Ok(($($arm.take(),)+))
            }
        }
    };
}

gather_tuple!(a A T, b B U);
gather_tuple!(a A T, b B U, c C V);
gather_tuple!(a A T, b B U, c C V, d D W);
gather_tuple!(a A T, b B U, c C V, d D W, e F X);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z, h I S);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z, h I S, i J R);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z, h I S, i J R, j K Q);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z, h I S, i J R, j K Q, k L P);
gather_tuple!(a A T, b B U, c C V, d D W, e F X, f G Y, g H Z, h I S, i J R, j K Q, k L P, l M O);
