//! A member that is started again when it fails (G11).
//!
//! It is one task, which runs its body again and again. So it keeps its id, its name and its place
//! in the group, and a cancellation reaches it also between two attempts.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::core::current;
use crate::core::report::ProgramCode;
use crate::core::state::Core;
use crate::error::{Panic, TaskCancelled};
use crate::group::handle::{GroupRef, expect_open};
use crate::group::task_group::TaskGroup;
use crate::spawn::Task;
use crate::task::body::TaskOutput;
use crate::wait::sleep::{Sleep, When};

/// How often a member that fails is started again, and after what delay. For
/// [`supervise`](crate::GroupRef::supervise).
///
/// The delay grows: it is doubled with each restart within the period, up to a greatest one. After
/// a period without a failure it is the first delay again.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::RestartPolicy;
///
/// // At most five restarts a minute, after 100 ms, 200 ms, 400 ms and so on.
/// let policy = RestartPolicy::new(5, Duration::from_secs(60));
/// // The same after 1 s, 2 s, 3 s, 3 s, 3 s.
/// let slower = policy.delays(Duration::from_secs(1), Duration::from_secs(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    restarts: usize,
    period: Duration,
    first: Duration,
    greatest: Duration,
}

impl RestartPolicy {
    /// At most so many restarts within any `period`; one more failure is final. The first delay is
    /// 100 ms, and the greatest 30 s.
    pub const fn new(restarts: usize, period: Duration) -> Self {
        let (first, greatest) = (Duration::from_millis(100), Duration::from_secs(30));
        RestartPolicy { restarts, period, first, greatest }
    }

    /// The same with other delays: `first` before the first restart, and at most `greatest`.
    pub const fn delays(mut self, first: Duration, greatest: Duration) -> Self {
        self.first = first;
        self.greatest = greatest;
        self
    }

    /// The delay before a restart that follows `earlier` others within the period.
    fn delay(&self, earlier: usize) -> Duration {
        let factor = u32::try_from(earlier).ok().and_then(|earlier| 2_u32.checked_pow(earlier));
        self.first.saturating_mul(factor.unwrap_or(u32::MAX)).min(self.greatest)
    }
}

/// The restarts of a member.
struct Restarts {
    policy: RestartPolicy,
    /// When those within the last period were decided, the oldest first.
    recent: VecDeque<Instant>,
}

impl Restarts {
    /// A failure at `now`: the delay before the restart, or `None` if there have been too many.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        let period = self.policy.period;
        while self.recent.front().is_some_and(|then| now.duration_since(*then) >= period) {
            self.recent.pop_front();
        }
        let earlier = self.recent.len();
        (earlier < self.policy.restarts).then(|| {
            self.recent.push_back(now);
            self.policy.delay(earlier)
        })
    }
}

/// How an attempt has failed.
enum Failed<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<E: fmt::Debug> Failed<E> {
    /// The failure is the member's.
    fn pass_on<T>(self) -> Result<T, E> {
        match self {
            Failed::Error(error) => Err(error),
            Failed::Panic(payload) => resume_unwind(payload),
        }
    }

    /// The member is started again after `delay`.
    fn report(self, core: &Core, delay: Duration) {
        match self {
            Failed::Error(error) => {
                core.report_restart(false, &|| Some(format!("{error:?}")), delay);
                core.discard(error);
            }
            Failed::Panic(payload) => {
                let panic = Panic::new(payload);
                core.report_restart(true, &|| Some(panic.message().to_owned()), delay);
                core.discard(panic.into_payload());
            }
        }
    }
}

/// Runs the body once, and catches its panic.
async fn attempt<B, R, E>(core: &Core, body: &mut B) -> Result<R::Value, Failed<E>>
where
    B: AsyncFnMut() -> R,
    R: TaskOutput<E>,
{
    let mut running = pin!(Some(async { body().await }));
    let ended = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| match running.as_mut().as_pin_mut() {
            Some(running) => running.poll(cx),
            None => unreachable!("an attempt is polled until it ends"),
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await;
    core.guarded(ProgramCode::Destructor, || running.set(None));
    match ended {
        Ok(output) => output.into_result().map_err(Failed::Error),
        Err(payload) => Err(Failed::Panic(payload)),
    }
}

/// Runs the body until it succeeds, until its member is cancelled, or until the policy is at its
/// end.
async fn supervised<B, R, E>(
    policy: RestartPolicy,
    mut body: B,
    site: &'static Location<'static>,
) -> Result<R::Value, E>
where
    B: AsyncFnMut() -> R,
    R: TaskOutput<E>,
    E: From<TaskCancelled> + fmt::Debug,
{
    let core = current::with("a supervised member", Rc::clone);
    let mut restarts = Restarts { policy, recent: VecDeque::new() };
    loop {
        let failed = match attempt(&core, &mut body).await {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        // A cancelled member is not started again, also if its cleanup has failed.
        let cancelled = core.with_running(|task| task.cancel_request().is_some()) == Some(true);
        let delay = if cancelled { None } else { restarts.next(core.now()) };
        let Some(delay) = delay else { return failed.pass_on() };
        failed.report(&core, delay);
        Sleep::at("RESTART_DELAY", site, When::After(delay)).await?;
    }
}

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member that is started again when it fails: `body` is called for each attempt. An
    /// error is a failure, and so is a panic. The member ends with the value of the first attempt
    /// that succeeds.
    ///
    /// When more restarts are needed than `policy` allows, the member fails with the error or the
    /// panic of the last attempt, and so does the group, as with any member. Each failure before is
    /// reported ([`Report::Restarted`](crate::Report::Restarted)).
    ///
    /// ```
    /// use std::{cell::Cell, io, time::Duration};
    /// use curium::kernel::{RestartPolicy, TaskGroup};
    ///
    /// # curium::kernel::testing::run(async || {
    /// let policy = RestartPolicy::new(3, Duration::from_secs(60));
    /// let attempts = Cell::new(0);
    /// TaskGroup::<io::Error>::scope(async |g| {
    ///     let client = g.supervise(policy, async move || {
    ///         attempts.set(attempts.get() + 1);
    ///         match attempts.get() {
    ///             3 => Ok("connected"),
    ///             _ => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
    ///         }
    ///     });
    ///     assert_eq!(client.await?, "connected");
    ///     Ok(())
    /// })
    /// .await
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// A member that was cancelled is not started again, whatever its attempt returns: it ends as
    /// any other member does. A cancellation between two attempts ends it at once.
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn supervise<B, R>(self, policy: RestartPolicy, body: B) -> Task<R::Value, E>
    where
        B: AsyncFnMut() -> R + 'static,
        R: TaskOutput<E>,
    {
        let future = supervised(policy, body, Location::caller());
        let member = expect_open(self.try_spawn(future));
        member.name_after::<B>();
        member
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member that is started again when it fails; see
    /// [`GroupRef::supervise`](crate::GroupRef::supervise).
    ///
    /// # Cancellation
    ///
    /// As [`GroupRef::supervise`](crate::GroupRef::supervise).
    ///
    /// # Panics
    ///
    /// If the group has ended.
    #[track_caller]
    pub fn supervise<B, R>(&self, policy: RestartPolicy, body: B) -> Task<R::Value, E>
    where
        B: AsyncFnMut() -> R + 'static,
        R: TaskOutput<E>,
    {
        self.by_ref().supervise(policy, body)
    }
}
