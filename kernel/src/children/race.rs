//! `race` and `first_ok`: several futures at once, the first of them (S5).

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::children::gather::{Early, PolledFirst, first_poll, is_cancelled};
use crate::children::scope::{Scope, run};
use crate::error::{GroupError, HoldsCancellation, TaskCancelled};
use crate::group::policy::WaitPolicy;
use crate::scope::shield::echo_of;
use crate::wait::in_kernel::InKernel;

/// The result of a [`race`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Raced<T> {
    /// What the first future to end has given.
    pub first: T,
    /// Its position, counted from 0.
    pub winner: usize,
    /// What others have given although they were cancelled, in the order in which they ended. The
    /// error of one that only passes its cancellation on is not among it.
    pub late: Vec<T>,
}

/// Runs several futures at once until the first has ended. The others are cancelled and awaited.
///
/// A future that completes although it was cancelled, for example because it had received an item
/// already, is not lost: its result is in [`late`](Raced::late). The futures may borrow. They run
/// in this task as the children of a [`scope`](crate::scope) do. They are begun in order; those
/// that are not begun when one has ended are dropped.
///
/// `race` takes a tuple of up to eight futures, or a vector. To wait at single await points, such
/// as a receive or a sleep, `select!` is cheaper.
///
/// ```
/// use curium::prelude::*;
/// use curium::race;
///
/// async fn mirror(name: &str, millis: u64) -> Result<String> {
///     sleep(Duration::from_millis(millis)).await?;
///     Ok(name.to_owned())
/// }
///
/// # curium::testing::run(async || {
/// let raced = race((mirror("far", 30), mirror("near", 1))).await?;
/// assert_eq!((raced.first?, raced.winner), ("near".to_owned(), 1));
/// assert!(raced.late.is_empty());
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// This task was cancelled, and none of the futures has completed. The first may be an error of its
/// future: that is in [`first`](Raced::first).
///
/// # Cancellation
///
/// The futures are cancelled together and awaited. If one of them completes all the same, its
/// result is returned, and the cancellation stays pending. Dropped, it drops the futures.
///
/// # Panics
///
/// When polled outside a kernel, and for an empty vector. The panic of a future is resumed after
/// the others have ended.
#[track_caller]
pub fn race<R, T, E>(futures: R) -> impl Future<Output = RaceEnd<T, E>>
where
    R: Racers<T, E>,
{
    let site = Location::caller();
    InKernel::new("race", site, futures.race(site))
}

type RaceEnd<T, E> = Result<Raced<Result<T, E>>, TaskCancelled>;

/// What [`race`] takes: a tuple or a vector of futures that give `Result<T, E>`.
pub trait Racers<T, E> {
    #[doc(hidden)]
    fn race(self, site: &'static Location<'static>) -> impl Future<Output = RaceEnd<T, E>>;
}

/// What the futures of a race have given, in order of ending.
struct Ended<T, E>(RefCell<Vec<Finish<T, E>>>);

struct Finish<T, E> {
    racer: usize,
    result: Result<T, E>,
    /// The result only passes a cancellation on.
    is_echo: bool,
}

pin_project! {
    struct Racer<'a, F, T, E> {
        #[pin]
        future: Option<F>,
        at: usize,
        ended: &'a Ended<T, E>,
    }
}

impl<'a, F, T, E> Racer<'a, F, T, E> {
    fn new(at: usize, future: F, ended: &'a Ended<T, E>) -> Self {
        Racer { future: Some(future), at, ended }
    }
}

/// Ends well, unless the result only passes on a cancellation of the task that polls it.
impl<F, T, E> Future for Racer<'_, F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    type Output = Result<(), TaskCancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(Ok(())) };
        let Poll::Ready(result) = future.poll(cx) else { return Poll::Pending };
        this.future.set(None);
        let echo = result.as_ref().err().and_then(echo_of);
        let finish = Finish { racer: *this.at, result, is_echo: echo.is_some() };
        this.ended.0.borrow_mut().push(finish);
        Poll::Ready(echo.map_or(Ok(()), Err))
    }
}

impl<F, T, E> PolledFirst for Racer<'_, F, T, E> {
    fn give_up(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

/// A racer of any type.
trait AnyRacer: PolledFirst + Future<Output = Result<(), TaskCancelled>> {
    fn has_ended(&self) -> bool;
}

impl<F, T, E> AnyRacer for Racer<'_, F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    fn has_ended(&self) -> bool {
        self.future.is_none()
    }
}

async fn run_race<'env, T, E>(
    racers: &'env mut [Pin<&mut (dyn AnyRacer + 'env)>],
    ended: &Ended<T, E>,
    site: &'static Location<'static>,
) -> RaceEnd<T, E> {
    assert!(!racers.is_empty(), "a race of no futures never ends");
    let (mut begun, mut polled) = (0, false);
    let first = poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(None);
        }
        if is_cancelled() {
            begun = racers.len();
            return Poll::Ready(None);
        }
        for racer in racers.iter_mut() {
            begun += 1;
            if let Poll::Ready(first) = first_poll(racer.as_mut(), cx) {
                return Poll::Ready(Some(first));
            }
        }
        Poll::Pending
    });
    let first = first.await;
    if begun == 1 && matches!(first, Some(Ok(()))) {
        return conclude(Ok(()), ended);
    }
    // One that has ended leaves only those to be awaited that were begun before it.
    let wait = if first.is_some() { WaitPolicy::None } else { WaitPolicy::Any };
    let left = &mut racers[..begun];
    let body = async |s: Scope<'env, TaskCancelled>| {
        for racer in left {
            if !racer.has_ended() {
                s.spawn(racer.as_mut());
            }
        }
        first.unwrap_or(Ok(())).or_else(Early::raise)
    };
    let left = run(wait, Duration::MAX, body, site, false).await;
    conclude(left.map_err(|errors| errors.first), ended)
}

/// Makes the result of a race whose futures have all ended.
fn conclude<T, E>(left: Result<(), TaskCancelled>, ended: &Ended<T, E>) -> RaceEnd<T, E> {
    let mut results = ended.0.take();
    let real = results.iter().position(|finish| !finish.is_echo);
    match (left, real) {
        (Err(cancelled), None) => return Err(cancelled),
        // Completion wins: the next await point gets the cancellation.
        (Err(cancelled), Some(_)) => cancelled.put_back(),
        (Ok(()), _) => {}
    }
    let Finish { racer: winner, result: first, .. } = results.remove(real.unwrap_or(0));
    let late = results.into_iter().filter(|finish| !finish.is_echo);
    Ok(Raced { first, winner, late: late.map(|finish| finish.result).collect() })
}

impl<F, T, E> Racers<T, E> for Vec<F>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    async fn race(self, site: &'static Location<'static>) -> RaceEnd<T, E> {
        let ended = Ended(RefCell::default());
        let racers = self.into_iter().enumerate();
        let mut racers: Vec<_> =
            racers.map(|(at, future)| Box::pin(Racer::new(at, future, &ended))).collect();
        let mut racers: Vec<Pin<&mut dyn AnyRacer>> =
            racers.iter_mut().map(|racer| racer.as_mut() as _).collect();
        run_race(&mut racers, &ended, site).await
    }
}

macro_rules! race_tuple {
    ($($racer:ident $future:ident $at:literal),+) => {
        impl<T, E, $($future),+> Racers<T, E> for ($($future,)+)
        where
            E: HoldsCancellation,
            $($future: Future<Output = Result<T, E>>,)+
        {
            async fn race(self, site: &'static Location<'static>) -> RaceEnd<T, E> {
                let ended = Ended(RefCell::default());
                let ($($racer,)+) = self;
                $(let mut $racer = pin!(Racer::new($at, $racer, &ended));)+
                run_race(&mut [$($racer.as_mut()),+], &ended, site).await
            }
        }
    };
}

race_tuple!(a A 0, b B 1);
race_tuple!(a A 0, b B 1, c C 2);
race_tuple!(a A 0, b B 1, c C 2, d D 3);
race_tuple!(a A 0, b B 1, c C 2, d D 3, e F 4);
race_tuple!(a A 0, b B 1, c C 2, d D 3, e F 4, f G 5);
race_tuple!(a A 0, b B 1, c C 2, d D 3, e F 4, f G 5, g H 6);
race_tuple!(a A 0, b B 1, c C 2, d D 3, e F 4, f G 5, g H 6, h I 7);

/// Runs several futures at once until the first has succeeded. The others are cancelled and
/// awaited.
///
/// The futures may borrow. They run in this task as the children of a [`scope`](crate::scope) do. A
/// value of another future that succeeds although it was cancelled is dropped; [`race`] keeps it.
///
/// ```
/// use curium::prelude::*;
/// use curium::first_ok;
///
/// #[derive(Debug, thiserror::Error)]
/// enum Failure {
///     #[error(transparent)]
///     Cancelled(#[from] TaskCancelled),
///     #[error("mirror {0} is down")]
///     Down(u64),
/// }
///
/// # curium::testing::run(async || {
/// let mirrors = [1, 2, 3].map(async |number| {
///     sleep(Duration::from_millis(number)).await?;
///     if number > 1 { Ok(number) } else { Err(Failure::Down(number)) }
/// });
/// assert_eq!(first_ok(mirrors).await?, 2);
/// # Ok::<_, curium::GroupError<Failure>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// All errors, in the order in which the futures have failed, if none has succeeded. A cancellation
/// of this task.
///
/// # Cancellation
///
/// The futures are cancelled together and awaited. Dropped, it drops them.
///
/// # Panics
///
/// When polled outside a kernel, and if there are no futures. The panic of a future is resumed
/// after the others have ended.
#[track_caller]
pub fn first_ok<'env, I, T, E>(futures: I) -> impl Future<Output = Result<T, GroupError<E>>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>> + 'env>,
    T: 'env,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let site = Location::caller();
    InKernel::new("first_ok", site, async move {
        let first = Rc::new(RefCell::new(None));
        let body = async |s: Scope<'env, E>| {
            let children = futures.into_iter().map(|future| {
                let first = first.clone();
                s.spawn(async move {
                    let value = future.await?;
                    first.borrow_mut().get_or_insert(value);
                    Ok(())
                })
            });
            Ok(children.collect::<Vec<_>>())
        };
        let children = run(WaitPolicy::FirstOk, Duration::MAX, body, site, true).await?;
        if let Some(value) = first.take() {
            return Ok(value);
        }
        // All were cancelled alone, which is no failure of a scope.
        let mut errors = children.iter().filter_map(|child| child.take().err());
        let first = errors.next().expect("`first_ok` needs a future");
        Err(GroupError { first, others: errors.collect() })
    })
}
