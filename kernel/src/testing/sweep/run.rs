//! One run of a subject: it is set up, spawned, perhaps disturbed, awaited and checked.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::injector::{Injector, Leaf, Suspension};
use super::{Injected, Injection, Moment, Run};
use crate::core::current;
use crate::core::state::{Core, Stage};
use crate::error::{HoldsCancellation, TaskCancelled, TaskError, holds};
use crate::group::policy::WaitPolicy;
use crate::group::task_group::TaskGroup;
use crate::run::builder::Builder;
use crate::run::kernel::Kernel;
use crate::scope::timeout::timeout_after;
use crate::spawn::spawn;
use crate::task::cell::TaskEnd;
use crate::testing::attempt::Attempt;
use crate::wait::join::WaitEnd;

/// What is swept: the three closures of the caller.
pub(super) struct Subject<'a, Setup, Body, Check> {
    pub(super) setup: &'a Setup,
    pub(super) body: &'a Body,
    pub(super) check: &'a Check,
    pub(super) site: &'static Location<'static>,
    pub(super) settings: fn(Builder) -> Builder,
}

/// What one run has shown.
pub(super) struct Shown {
    pub(super) trace: Vec<Suspension>,
    pub(super) tried: Vec<Leaf>,
    pub(super) failure: Option<String>,
}

/// How the body of the subject ended, and the text of its error.
type Ended = (TaskEnd, Option<String>);

impl<Setup, Body, Check, S, F, T, E> Subject<'_, Setup, Body, Check>
where
    Setup: AsyncFn() -> S,
    Body: Fn(Rc<S>) -> F,
    Check: AsyncFn(&S, &Run),
    F: Future<Output = Result<T, E>> + 'static,
    S: 'static,
    T: 'static,
    E: HoldsCancellation + Debug,
{
    #[inline]
    pub(super) fn run(&self, seed: Option<u64>, plan: Vec<Injected>, survey: bool) -> Shown {
        let injector = Rc::new(Injector::new(plan, survey));
        let mut builder = (self.settings)(Kernel::builder()).probe(injector.clone());
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        let attempt = Attempt::run(builder, async || self.main(&injector, seed).await);
        injector.group.take();
        Shown {
            trace: injector.trace.take(),
            tried: injector.tried.take(),
            failure: attempt.failure().err(),
        }
    }

    #[inline]
    async fn main(&self, injector: &Injector, seed: Option<u64>) {
        let core = current::with("a sweep", Rc::clone);
        let state = Rc::new((self.setup)().await);
        let ended = Rc::new(RefCell::new(None));
        let body = self.bounded(injector, (self.body)(state.clone()));
        let noted = ended.clone();
        let whole = async move {
            let how = body.await;
            *noted.borrow_mut() = Some(how);
            Ok::<_, TaskCancelled>(())
        };
        let group = injector.needs(Injection::GroupFailed).then(|| {
            TaskGroup::<TaskCancelled>::open(
                core.clone(),
                WaitPolicy::All,
                false,
                Location::caller(),
            )
        });
        let task = match &group {
            Some(group) => {
                *injector.group.borrow_mut() = Some(group.state.clone());
                group.spawn(whole)
            }
            None => spawn(whole),
        };
        injector.watch(&core, task.id());
        // Main is never cancelled. A member of a group that panics fails to its joiner.
        if let Ok(Err(TaskError::Panicked(panic))) = task.join().await {
            panic!("the subject panicked: {}", panic.message());
        }
        if let Some(group) = group {
            let _ = group.conclude(Ok(()), self.site, false).await;
        }
        if injector.injected().iter().any(|done| done.injection == Injection::ShutDown) {
            end_shutdown(&core, self.site).await;
        }
        // A subject that has noted no end was dropped.
        let (end, error) = ended.take().unwrap_or((TaskEnd::Aborted, None));
        let run = Run { injected: injector.injected().to_vec(), end, error, seed };
        if !injector.is_survey() {
            (self.check)(&state, &run).await;
        }
    }

    /// The body of the subject, inside a timeout if one is to be injected.
    #[inline]
    fn bounded(&self, injector: &Injector, body: F) -> Pin<Box<dyn Future<Output = Ended>>> {
        let disturbed = !injector.plan().is_empty();
        if !injector.needs(Injection::Timeout) {
            return Box::pin(async move { ended(body.await, disturbed) });
        }
        let first = injector.plan().first();
        let at_once = first.is_some_and(|first| first.moment == Moment::BeforeFirstPoll);
        let limit = if at_once { Duration::ZERO } else { Duration::MAX };
        let body = async move {
            // Opens the timeout, so that the injector can cancel its scope.
            current::ambient();
            body.await
        };
        Box::pin(async move {
            match timeout_after(limit, body).await {
                Ok(result) => ended(result, disturbed),
                Err(timeout) => (TaskEnd::Cancelled, Some(timeout.to_string())),
            }
        })
    }
}

/// `disturbed`: something was injected. An error that cannot be looked into is due to it.
fn ended<T, E: Debug + 'static>(result: Result<T, E>, disturbed: bool) -> Ended {
    match result {
        Ok(_) => (TaskEnd::Ok, None),
        Err(error) => {
            let end = match holds(&error, &mut |_| true) {
                Some(true) => TaskEnd::Cancelled,
                None if disturbed => TaskEnd::Cancelled,
                _ => TaskEnd::Failed,
            };
            (end, Some(format!("{error:?}")))
        }
    }
}

/// Waits until all other tasks have ended, as a shutdown does, and lets the check spawn tasks.
#[inline]
async fn end_shutdown(core: &Rc<Core>, site: &'static Location<'static>) {
    loop {
        let main = core.running_id();
        let other = core.live_cells().into_iter().find(|cell| Some(cell.id()) != main);
        let Some(other) = other else { break };
        let _ = WaitEnd::new(site, &other).await;
    }
    core.set_stage(Stage::Open);
}
