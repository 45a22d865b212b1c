//! The ends of members, one by one: `next_done`, and the same as a stream (G6).

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::core::queue::WaitQueue;
use crate::error::TaskCancelled;
use crate::group::policy::MemberEnd;
use crate::group::state::GroupState;
use crate::group::task_group::TaskGroup;
use crate::wait::handoff::{Handoff, Wait};

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Waits for the next member to end, and returns which one and how, in the order of ending;
    /// `None` when all have ended. A member that a task joins is not returned here. If a member
    /// fails while a task waits in `next_done`, that task gets the failure, and the group does not
    /// fail.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the next call returns the end of that member.
    #[track_caller]
    pub fn next_done(&self) -> impl Future<Output = Result<Option<MemberEnd>, TaskCancelled>> + '_ {
        Wait::new("NEXT_DONE", NextDone { group: &self.state })
    }

    /// The ends of the members as a [`Stream`], for adapters that take one; a loop is simpler with
    /// [`next_done`](TaskGroup::next_done). The stream ends when all members have ended.
    ///
    /// It gives `Result<MemberEnd, TaskCancelled>`: a cancellation of the task that polls it is an
    /// item, after which the stream goes on. A stream that was polled and waits is handed the end
    /// of a member, and keeps it until it is polled again or dropped.
    #[track_caller]
    pub fn ends(&self) -> Ends<'_> {
        Ends { group: &self.state, waiting: None, site: Location::caller() }
    }
}

/// The stream of [`TaskGroup::ends`].
#[must_use = "streams do nothing unless you poll them"]
pub struct Ends<'a> {
    group: &'a GroupState,
    /// The wait of an item, if the stream was polled and found none.
    waiting: Option<Wait<NextDone<'a>>>,
    site: &'static Location<'static>,
}

impl Stream for Ends<'_> {
    type Item = Result<MemberEnd, TaskCancelled>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Ends { group, waiting, site } = &mut *self;
        let wait = waiting.get_or_insert_with(|| Wait::at("NEXT_DONE", site, NextDone { group }));
        let polled = Pin::new(wait).poll(cx);
        if polled.is_ready() {
            *waiting = None;
        }
        polled.map(Result::transpose)
    }
}

impl fmt::Debug for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("left", &self.group.counted.get()).finish_non_exhaustive()
    }
}

/// The wait of `next_done`.
struct NextDone<'a> {
    group: &'a GroupState,
}

impl Handoff for NextDone<'_> {
    type Item = Option<MemberEnd>;
    type Output = Option<MemberEnd>;

    fn queue(&self) -> &WaitQueue<Option<MemberEnd>> {
        &self.group.next_done_waiters
    }

    fn try_take(&mut self) -> Option<Option<MemberEnd>> {
        let next = self.group.ended.as_ref().and_then(|ended| ended.borrow_mut().pop_front());
        match next {
            Some(next) => Some(Some(next)),
            None if self.group.counted.get() == 0 => Some(None),
            None => None,
        }
    }

    fn finish(&mut self, item: Option<MemberEnd>) -> Option<MemberEnd> {
        item
    }

    fn pass_on(&mut self, item: Option<MemberEnd>) {
        let (Some(end), Some(ended)) = (item, &self.group.ended) else {
            return;
        };
        if self.group.next_done_waiters.hand_over(Some(end)).is_err() {
            ended.borrow_mut().push_front(end);
        }
    }
}
