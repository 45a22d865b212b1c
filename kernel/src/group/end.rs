//! The end of a group: wait, tear down, await all members, and return or report the errors (G1,
//! G3).

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{Location, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::{CancelReason, GroupError, TaskCancelled};
use crate::group::body::{BodyFailure, GroupBody, Progress, Until};
use crate::group::handle::GroupRef;
use crate::group::policy::WaitPolicy;
use crate::group::state::{GroupStage, GroupState};
use crate::group::task_group::TaskGroup;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Opens a group, runs the body and ends the group: the work of `scope`.
pub(crate) async fn run_scope<T, E, B>(
    wait: WaitPolicy,
    grace: Duration,
    body: B,
    site: &'static Location<'static>,
    all: bool,
) -> Result<T, GroupError<E>>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
    B: AsyncFnOnce(GroupRef<E>) -> Result<T, E>,
{
    let core = current::with("a task group", Rc::clone);
    let group = TaskGroup::<E>::open(core, wait, false, site);
    group.set_grace(grace);
    let ended = {
        let mut running = pin!(GroupBody::new(body(group.by_ref()), &group.state));
        poll_fn(|cx| running.as_mut().poll_body(&group.core, cx)).await
    };
    let value = match ended {
        Ok(value) if group.state.ends_well_at_once() && current::spend() => {
            group.state.close(&group.core);
            return Ok(value);
        }
        Ok(value) => value,
        Err(failure) => return group.tear_down(group.failed(failure), site, all).await,
    };
    // As in `conclude`, without its future: one in another costs at each poll.
    let waited = match group.state.stage.get() {
        GroupStage::Open => Progress::new(&group.state, Until::Satisfied, site).await,
        _ => Ok(()),
    };
    match group.close_if_well(value, waited) {
        Ok(value) => Ok(value),
        Err(ended) => group.tear_down(ended, site, all).await,
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Waits as the policy requires, tears down, awaits all members, and gathers the errors.
    pub(crate) async fn conclude<T>(
        &self,
        body: Result<T, BodyFailure<E>>,
        site: &'static Location<'static>,
        all: bool,
    ) -> Result<T, GroupError<E>> {
        let ended = match body {
            Ok(value) => {
                let waited = match self.state.stage.get() {
                    // A wait for nothing is an operation like any other (K2).
                    GroupStage::Open => Progress::new(&self.state, Until::Satisfied, site).await,
                    _ => Ok(()),
                };
                match self.close_if_well(value, waited) {
                    Ok(value) => return Ok(value),
                    Err(ended) => ended,
                }
            }
            Err(failure) => self.failed(failure),
        };
        self.tear_down(ended, site, all).await
    }

    /// Closes the group after the wait that its policy requires, if there is nothing to tear down,
    /// to await or to report.
    #[inline]
    fn close_if_well<T>(
        &self,
        value: T,
        waited: Result<(), TaskCancelled>,
    ) -> Result<T, Ended<T, E>> {
        if waited.is_ok() && self.state.has_ended_well() {
            self.state.close(&self.core);
            return Ok(value);
        }
        let before = self.state.failed.borrow().len();
        let own = waited.err().map(|cancelled| {
            let passes_on = Some(cancelled.clone());
            (before, Own { error: cancelled.into(), passes_on })
        });
        Err(Ended { value: Some(value), own, panic: None })
    }

    /// The result of a body that has failed.
    fn failed<T>(&self, failure: BodyFailure<E>) -> Ended<T, E> {
        let mut ended = Ended { value: None, own: None, panic: None };
        match failure {
            BodyFailure::Panic(payload) => ended.panic = Some(payload),
            BodyFailure::CarriesCancel => {}
            BodyFailure::Error(error) => {
                let passes_on = self.core.echo_around(&error);
                ended.own = Some((self.state.failed.borrow().len(), Own { error, passes_on }));
            }
        }
        ended
    }

    /// Cancels and awaits all members that are left, and gathers the errors.
    async fn tear_down<T>(
        &self,
        ended: Ended<T, E>,
        site: &'static Location<'static>,
        all: bool,
    ) -> Result<T, GroupError<E>> {
        let (core, group) = (&self.core, &*self.state);
        let reason = match group.failing.get() {
            true => CancelReason::GroupFailed,
            false => CancelReason::GroupEnded,
        };
        group.tear_down(core, reason);
        // Shielded, so it always returns `Ok`.
        let _ = Progress::shielded(group, site).await;
        group.close(core);
        ended.gather(core, group, all)
    }
}

/// The result of a group's body: its value or its own error, and its panic.
struct Ended<T, E> {
    value: Option<T>,
    /// The body's own error, and the number of failures of members before it.
    own: Option<(usize, Own<E>)>,
    panic: Option<Box<dyn Any + Send>>,
}

/// The body's own error.
struct Own<E> {
    error: E,
    /// The cancellation from outside the group that the error passes on, if it does. Then the error
    /// is neither reported nor kept beside another error. Since the caller does not get the
    /// cancellation, it is put back.
    passes_on: Option<TaskCancelled>,
}

impl<T, E: fmt::Debug + 'static> Ended<T, E> {
    fn gather(self, core: &Core, group: &GroupState, all: bool) -> Result<T, GroupError<E>> {
        let mut errors = Vec::new();
        let mut panic = self.panic;
        let (own_at, mut own) = match self.own {
            Some((at, own)) => (at, Some(own)),
            None => (0, None),
        };
        // With `FirstOk`, a member that succeeds makes earlier failures irrelevant. If the failures
        // had already cancelled the body, a later success does not count.
        let overlooked = group.wait.get() == WaitPolicy::FirstOk
            && group.succeeded.get()
            && own.is_none()
            && self.value.is_some();
        for (at, cell) in group.failed.take().into_iter().enumerate() {
            if at == own_at {
                errors.extend(own.take().map(Failed::Own));
            }
            if cell.end() == Some(TaskEnd::Panicked) && panic.is_none() {
                panic = cell.take_panic().map(|panic| panic.into_payload());
                core.drop_holder(&cell);
            } else if overlooked && cell.end() == Some(TaskEnd::Failed) {
                core.discard(Failed::<E>::Member(cell).take(core));
            } else {
                errors.push(Failed::Member(cell));
            }
        }
        errors.extend(own.take().map(Failed::Own));
        if let Some(payload) = panic {
            errors.into_iter().for_each(|error| error.report(core));
            resume_unwind(payload);
        }
        let mut errors = errors.into_iter();
        let first = errors.find_map(|error| error.take(core));
        match (first, self.value) {
            (None, Some(value)) => Ok(value),
            (None, None) => unreachable!("a body without a value has left an error"),
            (Some(first), _) if all => {
                let others = errors.filter(|error| !error.put_back(core));
                let others = others.filter_map(|error| error.take(core)).collect();
                Err(GroupError { first, others })
            }
            (Some(first), _) => {
                errors.for_each(|error| error.report(core));
                Err(GroupError { first, others: Vec::new() })
            }
        }
    }
}

/// One error of a group.
enum Failed<E> {
    Own(Own<E>),
    Member(TaskRef),
}

impl<E: fmt::Debug + 'static> Failed<E> {
    /// Puts back the cancellation that the error passes on, if it does.
    fn put_back(&self, core: &Core) -> bool {
        let Failed::Own(Own { passes_on: Some(cancelled), .. }) = self else { return false };
        core.put_back(cancelled);
        true
    }

    /// Takes the error. `None` for a member that panicked: its panic is reported.
    fn take(self, core: &Core) -> Option<E> {
        match self {
            Failed::Own(own) => Some(own.error),
            Failed::Member(cell) => {
                let mut error: Option<E> = None;
                cell.take_error(&mut error);
                if error.is_none() {
                    cell.flags.clear(Flags::TAKEN);
                }
                core.drop_holder(&cell);
                error
            }
        }
    }

    fn report(self, core: &Core) {
        if self.put_back(core) {
            return;
        }
        match self {
            Failed::Own(Own { error, .. }) => core.report_error(&error),
            Failed::Member(cell) => {
                // Dropping the last holder reports a failure that was not taken. If there are other
                // holders, it is reported here. `TAKEN` is cleared only after the report, because
                // the report moves the outcome out of the cell: a `Debug` that joins the task must
                // find it taken.
                if cell.holders.get() > 1 {
                    core.report_failure(&cell);
                    cell.flags.clear(Flags::FAILURE);
                }
                cell.flags.clear(Flags::TAKEN);
                core.drop_holder(&cell);
            }
        }
    }
}
