//! `finally`: a cleanup that runs however its body ends, with a value, an error, a cancellation or
//! a panic (C20).
//!
//! The body is polled as if `finally` were not there, except that its panic is caught. The cleanup
//! is polled in a shield with a time limit (`shield.rs`). Source: Python's `finally`, with the
//! bounded shield that trio's documentation advises for a cleanup that awaits.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::core::current;
use crate::core::echo::Copies;
use crate::core::report::ProgramCode;
use crate::core::state::Core;
use crate::error::{HoldsCancellation, Panic, TaskCancelled};
use crate::scope::bounds::CleanupOutput;
use crate::scope::shield::{Shield, shield_for};

/// How the body of [`finally`] has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// With a value.
    Ok,
    /// With an error of its own.
    Failed,
    /// With an error that passes on a cancellation: of the task, or of a timeout or a group's body
    /// around the call.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl BodyEnd {
    /// Whether the body has returned a value.
    pub fn is_ok(self) -> bool {
        self == BodyEnd::Ok
    }
}

/// The time that a cleanup has if the caller sets none.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs `body`, and then `cleanup`, however the body has ended: with a value, with an error (so a
/// `?` in the body does not skip the cleanup), by a cancellation, or by a panic.
///
/// `cleanup` gets a [`BodyEnd`], which says how the body ended. It may await: it is shielded from
/// cancellations for ten seconds, or for the time given to [`within`].
///
/// [`within`]: crate::future::Finally::within
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use curium::kernel::{self, BodyEnd, finally, sleep};
///
/// struct Connection;
///
/// impl Connection {
///     # async fn open() -> io::Result<Self> { Ok(Connection) }
///     # async fn ask(&self, _: &str) -> io::Result<u32> { Err(io::Error::other("refused")) }
///     async fn close(&self) -> io::Result<()> {
///         // ..
///         # Ok(sleep(Duration::from_millis(1)).await?)
///     }
/// }
///
/// async fn transfer() -> io::Result<u32> {
///     let connection = Connection::open().await?;
///     let body = async {
///         let left = connection.ask("left").await?;
///         let right = connection.ask("right").await?;
///         Ok(left + right)
///     };
///     finally(body, async |how| {
///         if how == BodyEnd::Failed {
///             eprintln!("the transfer failed");
///         }
///         connection.close().await
///     })
///     .await
/// }
/// # assert_eq!(kernel::run(transfer).unwrap_err().to_string(), "refused");
/// ```
///
/// The body and the cleanup exist side by side, so neither can have a `&mut` to what the other uses
/// too. Most of Curium's types need only `&self`. For a value of your own there is `RefCell`, or
/// the written-out form below.
///
/// # Errors
///
/// The error of the body, even if the cleanup fails as well: the error of the cleanup is then
/// reported ([`Report::Failed`](crate::Report::Failed)). If it only passes on a cancellation, that
/// is [put back](crate::TaskCancelled::put_back) instead. After a body that has returned a value,
/// the error of the cleanup; the value is dropped.
///
/// # Cancellation
///
/// It reaches the body as if this call were not there, and the cleanup runs after the body. During
/// the cleanup it is held back. When the time limit of the cleanup is over, it is delivered inside
/// the cleanup, at the await point where that is parked. Otherwise it is delivered at the first
/// await point after this call that would park. A timeout around this call is held back in the same
/// way.
///
/// If the future is *dropped*, as the loser of a `select!` is, or if its task is aborted, the
/// cleanup does not run: nothing can await then. For what must be released even then, write a
/// destructor, which cannot await. [`cancel_within`](crate::Task::cancel_within) compares a
/// cancellation and an abort.
///
/// # Panics
///
/// When polled outside a kernel. A panic of the body is resumed after the cleanup. A panic of the
/// cleanup is propagated, and an error of the body is then reported, or its cancellation put back.
/// If both panic, the panic of the cleanup is reported.
///
/// # `finally` or a shield
///
/// Both hold a cancellation back. They answer different questions: a shield, *what must not be
/// interrupted?*, and `finally`, *what must not be skipped?*
///
/// | you have | use |
/// |---|---|
/// | something to release by an await: a connection to close | `finally` |
/// | a choice at the end: commit if `how.is_ok()`, else roll back | `finally` |
/// | something to release without an await | a destructor, which also runs on a drop |
/// | a step that must not stop halfway: two writes | [`shield`](fn@crate::shield) around it |
/// | a cleanup that needs a `&mut`, or takes the value by `self` | [`shield_for`], written out |
/// | tasks to end | a [`TaskGroup`](crate::TaskGroup), which awaits them on every path |
///
/// A shield alone does not make a cleanup run. In this function the `?` skips it:
///
/// ```
/// # use std::time::Duration;
/// # use curium::kernel::{Result, finally, shield, sleep};
/// # struct Connection;
/// # impl Connection {
/// #     async fn ask(&self) -> Result<u32> { Ok(1) }
/// #     async fn close(&self) -> Result<()> { Ok(()) }
/// # }
/// # async fn skipped(connection: &Connection) -> Result<u32> {
/// let answer = connection.ask().await?; // an error or a cancellation leaves here
/// shield(connection.close()).await?;
/// Ok(answer)
/// # }
/// # async fn not_skipped(connection: &Connection) -> Result<u32> {
/// # finally(connection.ask(), async |_| connection.close().await).await
/// # }
/// ```
///
/// And a cleanup in the error path without a shield is cut short by the next cancellation: by a
/// timeout around it, for example, which the first cancellation did not disarm. `finally` does
/// both. If its shape does not fit, because the cleanup takes the value by `self`, write it out.
/// This covers every path except a panic, because there is no `?` in between:
///
/// ```
/// # use std::time::Duration;
/// # use curium::kernel::{Result, shield_for, sleep};
/// # struct Connection;
/// # impl Connection {
/// #     async fn ask(&mut self) -> Result<u32> { Ok(1) }
/// #     async fn close(self) -> Result<()> { Ok(()) }
/// # }
/// # async fn written_out(mut connection: Connection) -> Result<u32> {
/// let answer = connection.ask().await;
/// let closed = shield_for(Duration::from_secs(10), connection.close()).await;
/// let answer = answer?; // the error of the body comes first
/// closed?;
/// Ok(answer)
/// # }
/// ```
///
/// The other direction: `finally` does not protect its body. A body of two steps that belong
/// together needs a `shield` around the two.
///
/// A shield without a limit makes a task that cannot be cancelled while the shield lasts, so a peer
/// that does not answer holds up a shutdown. That is why the cleanup of `finally` has a limit. The
/// limits of nested calls add up, the inner cleanup first: a task in three of them may take three
/// limits to end. What waits for such a task sets its own bound, by `cancel_within` or by
/// [a group's grace](crate::TaskGroup::scope_within), and cuts the rest of the cleanup off.
#[track_caller]
pub fn finally<B, C, W, T, E>(body: B, cleanup: C) -> Finally<B::IntoFuture, C, W>
where
    B: IntoFuture<Output = Result<T, E>>,
    C: FnOnce(BodyEnd) -> W,
    W: Future<Output: CleanupOutput<E>>,
    E: HoldsCancellation + fmt::Debug,
{
    Finally {
        body: Some(body.into_future()),
        cleanup: Some(cleanup),
        cleaning: None,
        ended: None,
        limit: LIMIT,
        site: Location::caller(),
    }
}

pin_project! {
    /// The future of [`finally`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Finally<F, C, W>
    where
        F: Future,
    {
        #[pin]
        body: Option<F>,
        cleanup: Option<C>,
        #[pin]
        cleaning: Option<Shield<W>>,
        // Set while the cleanup runs.
        ended: Option<Ended<F::Output>>,
        limit: Duration,
        site: &'static Location<'static>,
    }
}

impl<F: Future, C, W> Finally<F, C, W> {
    /// Sets the time for which the cleanup is shielded, counted from its beginning. Without this it
    /// is ten seconds. `Duration::MAX` means no limit.
    ///
    /// When the time is over, the cleanup goes on without the shield: a cancellation that was held
    /// back is delivered, and without one nothing happens.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// The payload of a panic.
type Payload = Box<dyn Any + Send>;

/// The result of the body.
struct Ended<R> {
    result: Result<R, Payload>,
    how: BodyEnd,
    /// Identifies the cancellation that the error of the body passes on.
    passes_on: Option<usize>,
    /// The copies of delivered cancellations before the cleanup, unless the body has succeeded.
    before: Copies,
}

impl<T, E> Ended<Result<T, E>>
where
    E: HoldsCancellation + fmt::Debug,
{
    fn new(core: &Core, result: Result<Result<T, E>, Payload>) -> Self {
        let mut passes_on = None;
        let how = match &result {
            Ok(Ok(_)) => BodyEnd::Ok,
            Ok(Err(error)) => {
                let echo = echo_since(core, &Copies::default(), error);
                passes_on = echo.map(|cancelled| cancelled.identity());
                if passes_on.is_some() { BodyEnd::Cancelled } else { BodyEnd::Failed }
            }
            Err(_) => BodyEnd::Panicked,
        };
        let before = if how.is_ok() { Copies::default() } else { core.copies_around() };
        Ended { result, how, passes_on, before }
    }

    /// Makes the result of the call from those of the body and of the cleanup. What cannot be
    /// returned is reported. Or it passes a cancellation on; then that is put back.
    fn conclude(self, core: &Core, cleaned: Result<Result<(), E>, Payload>) -> Result<T, E> {
        let Ended { result, passes_on, before, .. } = self;
        match (result, cleaned) {
            (Ok(result), Ok(Ok(()))) => result,
            (Ok(Ok(value)), Ok(Err(error))) => {
                core.discard(value);
                Err(error)
            }
            (result, Ok(cleaned)) => {
                if let Err(error) = cleaned {
                    lose(core, error, &before, passes_on);
                }
                result.unwrap_or_else(|payload| resume_unwind(payload))
            }
            (Err(payload), Err(second)) => {
                core.report_panic(&Panic::new(second));
                resume_unwind(payload);
            }
            (Ok(result), Err(payload)) => {
                match result {
                    Ok(value) => core.discard(value),
                    Err(error) => lose(core, error, &Copies::default(), None),
                }
                resume_unwind(payload);
            }
        }
    }
}

/// Drops an error because another comes first. If it only passes a cancellation on, that is put
/// back, unless the other error passes on the same (`known`). If it does not, it is reported.
fn lose<E>(core: &Core, error: E, before: &Copies, known: Option<usize>)
where
    E: HoldsCancellation + fmt::Debug,
{
    let echo = echo_since(core, before, &error);
    if echo.is_none() {
        core.report_error(&error);
    }
    core.discard(error);
    if let Some(cancelled) = echo.filter(|echo| known != Some(echo.identity())) {
        core.put_back(&cancelled);
    }
}

/// The cancellation that was delivered around the call and that an error passes on. The program has
/// more copies of it than it had `before`.
fn echo_since<E: HoldsCancellation>(
    core: &Core,
    before: &Copies,
    error: &E,
) -> Option<TaskCancelled> {
    let mut echo = None;
    core.guarded(ProgramCode::Conversion, || echo = core.echo_since(before, error));
    echo
}

/// Polls code of the program, and catches its panic.
fn caught<R>(poll: impl FnOnce() -> Poll<R>) -> Poll<Result<R, Payload>> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

impl<F, C, W, T, E> Future for Finally<F, C, W>
where
    F: Future<Output = Result<T, E>>,
    C: FnOnce(BodyEnd) -> W,
    W: Future<Output: CleanupOutput<E>>,
    E: HoldsCancellation + fmt::Debug,
{
    type Output = Result<T, E>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let core = current::try_with(|core| core.running_id().map(|_| Rc::clone(core))).flatten();
        let Some(core) = core else { current::outside_at("`finally`", this.site) };
        let ended = match this.ended {
            Some(ended) => ended,
            None => {
                let Some(body) = this.body.as_mut().as_pin_mut() else {
                    panic!("a future was polled after it had ended");
                };
                let result = ready!(caught(|| body.poll(cx)));
                // What the body still holds is released before the cleanup.
                core.guarded(ProgramCode::Destructor, || this.body.set(None));
                this.ended.insert(Ended::new(&core, result))
            }
        };
        let how = ended.how;
        let cleaned = ready!(caught(|| {
            if let Some(cleanup) = this.cleanup.take() {
                this.cleaning.set(Some(shield_for(*this.limit, cleanup(how))));
            }
            let cleaning = this.cleaning.as_mut().as_pin_mut();
            cleaning.expect("it was set just now, or earlier").poll(cx)
        }));
        core.guarded(ProgramCode::Destructor, || this.cleaning.set(None));
        let ended = this.ended.take().expect("the body has ended");
        Poll::Ready(ended.conclude(&core, cleaned.map(CleanupOutput::into_result)))
    }
}

impl<F: Future, C, W> fmt::Debug for Finally<F, C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finally")
            .field("limit", &self.limit)
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}
