//! The futures of a group: its body, polled in a scope, and the wait for members.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::queue::WaitSlot;
use crate::core::report::ProgramCode;
use crate::core::state::Core;
use crate::error::{CancelReason, Echo, HoldsCancellation, TaskCancelled, holds};
use crate::group::state::GroupState;
use crate::parts::list::NONE;
use crate::scope::guard::ScopeGuard;
use crate::scope::lazy::LazyScope;
use crate::wait::point::{CancelPoint, Quick};

/// How a body that did not succeed has ended.
pub(crate) enum BodyFailure<E> {
    /// With an error of its own.
    Error(E),
    /// With an error that only carries the cancellation that a failing member caused.
    CarriesCancel,
    Panic(Box<dyn Any + Send>),
}

pin_project! {
    /// The body of a group, polled in a cancel scope that a failing member cancels. Its panic is
    /// caught, and resumed after the members have been awaited.
    pub(crate) struct GroupBody<'a, F> {
        #[pin]
        future: Option<F>,
        scope: BodyScope<'a>,
    }
}

/// The cancel scope of the body. `Drop` clears the key of the scope in the group.
///
/// A body that ends in its first poll may have no scope. It needs none, because no member runs, and
/// so none fails, before that poll ends.
struct BodyScope<'a> {
    scope: LazyScope,
    group: &'a GroupState,
}

impl BodyScope<'_> {
    /// Polls the body in the scope.
    #[inline]
    fn poll<R>(
        &mut self,
        core: &Rc<Core>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        if let Some(scope) = self.scope.guard() {
            return scope.poll(|| poll(cx));
        }
        let polled = self.scope.poll_hidden(core, cx, poll);
        if let Some(scope) = self.scope.guard() {
            self.group.body.set(scope.key());
        }
        polled
    }

    fn close(&mut self, result: ScopeResult) {
        if let Some(scope) = self.scope.guard() {
            scope.close(result);
        }
    }
}

impl Drop for BodyScope<'_> {
    fn drop(&mut self) {
        self.group.body.set(NONE);
    }
}

impl<'a, F> GroupBody<'a, F> {
    pub(crate) fn new(future: F, group: &'a GroupState) -> Self {
        GroupBody { future: Some(future), scope: BodyScope { scope: LazyScope::new(), group } }
    }
}

impl<F, T, E> GroupBody<'_, F>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    /// Polls the body; `core` is the group's kernel.
    pub(crate) fn poll_body(
        self: Pin<&mut Self>,
        core: &Rc<Core>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, BodyFailure<E>>> {
        let mut this = self.project();
        let scope = this.scope;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            scope.poll(core, cx, |cx| match this.future.as_mut().as_pin_mut() {
                Some(body) => body.poll(cx),
                None => unreachable!("a body is polled until it ends"),
            })
        }));
        let ended = match polled {
            Ok(Poll::Pending) => {
                if let Some(scope) = scope.scope.guard() {
                    scope.watch_foreign();
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(value))) => {
                scope.close(ScopeResult::Any);
                Ok(value)
            }
            Ok(Poll::Ready(Err(error))) => {
                let group = scope.group;
                let result = match scope.scope.guard() {
                    Some(scope) => ScopeResult::from(echo_of_body(core, scope, group, &error)),
                    None => ScopeResult::Any,
                };
                scope.close(result);
                Err(match result {
                    ScopeResult::Own => BodyFailure::CarriesCancel,
                    ScopeResult::PassesOn | ScopeResult::Any => BodyFailure::Error(error),
                })
            }
            Err(payload) => {
                scope.close(ScopeResult::PassesOn);
                Err(BodyFailure::Panic(payload))
            }
        };
        scope.group.body.set(NONE);
        core.guarded(ProgramCode::Destructor, || this.future.set(None));
        Poll::Ready(ended)
    }
}

/// Whether the error of a body only passes the failure of a member on.
fn echo_of_body<E: HoldsCancellation>(
    core: &Core,
    scope: &ScopeGuard,
    group: &GroupState,
    error: &E,
) -> Echo {
    let key = scope.key();
    let (kept, foreign) = scope.take_kept();
    // The cancellation of a member, got by a `join`, which was cancelled for the same failure.
    let of_member = |held: &TaskCancelled| {
        group.failing.get()
            && held.reason() == CancelReason::GroupFailed
            && !core.is_of_outer(key, held)
    };
    match kept {
        Some(kept) => core.echo_of((key, foreign), error, &kept, of_member),
        None if holds(error, &mut { of_member }) == Some(true) => Echo::Held,
        None => Echo::No,
    }
}

/// The condition that a [`Progress`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Enough members have ended for the group's `WaitPolicy`, or a member has failed.
    Satisfied,
    /// All members except daemons have ended.
    NonDaemonsEnded,
    /// All members have ended, including daemons.
    Empty,
}

/// Waits until a condition on the members of a group holds.
pub(crate) struct Progress<'a> {
    group: &'a GroupState,
    until: Until,
    slot: WaitSlot,
    point: CancelPoint,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        group: &'a GroupState,
        until: Until,
        site: &'static Location<'static>,
    ) -> Self {
        let point = CancelPoint::at("GROUP_WAIT", site);
        Progress { group, until, slot: WaitSlot::default(), point }
    }

    /// The wait of the tear-down. It is shielded from cancellation, so no member is left behind.
    pub(crate) fn shielded(group: &'a GroupState, site: &'static Location<'static>) -> Self {
        let point = CancelPoint::shielded("GROUP_END", site);
        Progress { group, until: Until::Empty, slot: WaitSlot::default(), point }
    }

    fn is_reached(&self) -> bool {
        match self.until {
            Until::Satisfied => self.group.is_satisfied(),
            Until::NonDaemonsEnded => self.group.counted.get() == 0,
            Until::Empty => self.group.is_empty(),
        }
    }
}

impl Future for Progress<'_> {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reached = self.is_reached();
        let Progress { group, slot, point, .. } = &mut *self;
        if !current::spend() {
            return point
                .poll(cx, |cx| if reached { Poll::Ready(()) } else { group.queue(slot, cx) });
        }
        if reached {
            point.unpark();
            return Poll::Ready(Ok(()));
        }
        point.park_by(
            cx,
            slot,
            |slot, task| match group.progress.fifo().enter_task(slot, 1, None, task) {
                true => Quick::Parked,
                false => Quick::Unsure,
            },
            |slot, cx| group.queue(slot, cx),
        )
    }
}

impl GroupState {
    /// Queues a `Progress`, again if it was woken before its condition holds.
    fn queue(&self, slot: &mut WaitSlot, cx: &Context<'_>) -> Poll<()> {
        loop {
            ready!(self.progress.fifo().poll_enter(slot, 1, None, cx));
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.group.progress.leave(&mut self.slot);
    }
}
