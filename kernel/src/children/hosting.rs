//! The poll of a host: its ready children, and then its own work.

use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::core::current::{self, is_current};
use crate::core::host_queue::HostQueue;
use crate::core::nested::Nested;
use crate::core::state::Core;

/// The children of a host.
pub(super) trait Children {
    /// Polls the child in that slot, if there is one. Returns whether it has ended.
    fn poll_child(self: Pin<&mut Self>, slot: u32, nested: &mut Nested<'_>) -> bool;
}

/// The number of children that are polled in one poll of the host, like the number of tasks between
/// two checks of the timers (K2).
const POLLS: usize = 64;

pin_project! {
    /// Polls `work`, and the children of a host beside it.
    pub(super) struct Hosting<'a, F, C> {
        // Declared before the children, so that it is dropped first.
        #[pin]
        work: F,
        #[pin]
        children: C,
        core: &'a Rc<Core>,
        queue: &'a HostQueue,
        site: &'static Location<'static>,
    }
}

impl<'a, F, C> Hosting<'a, F, C> {
    pub(super) fn new(
        work: F,
        children: C,
        core: &'a Rc<Core>,
        queue: &'a HostQueue,
        site: &'static Location<'static>,
    ) -> Self {
        Hosting { work, children, core, queue, site }
    }
}

/// Polls children that are ready now, at most `left`, and subtracts their number. Children that
/// become ready meanwhile are polled later, so that the task yields. Returns whether one has ended.
fn poll_ready<C: Children>(
    mut children: Pin<&mut C>,
    core: &Core,
    queue: &HostQueue,
    left: &mut usize,
) -> bool {
    if queue.is_empty() {
        return false;
    }
    let mut ended = false;
    let mut nested = Nested::new(core);
    let mut batch = queue.batch();
    while *left > 0 && !current::is_spent() {
        let Some(slot) = batch.next() else { break };
        *left -= 1;
        ended |= children.as_mut().poll_child(slot, &mut nested);
    }
    ended
}

impl<F: Future, C: Children> Future for Hosting<'_, F, C> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let queue = *this.queue;
        if !is_current(this.core) {
            panic!("the scope at {} is polled by another kernel than before", this.site);
        }
        queue.begin_poll(this.core.running.get(), cx);
        let work_first = queue.take_work_first();
        let mut left = POLLS;
        if !work_first {
            poll_ready(this.children.as_mut(), this.core, queue, &mut left);
            if current::is_spent() {
                queue.defer_work();
            }
        }
        // Children that `work` starts are polled at once, unless others are waiting already.
        let others = !queue.is_empty() && !work_first;
        if let Poll::Ready(output) = this.work.poll(cx) {
            queue.end_poll(cx, false);
            return Poll::Ready(output);
        }
        let ended = !others && poll_ready(this.children, this.core, queue, &mut left);
        queue.end_poll(cx, ended);
        Poll::Pending
    }
}
