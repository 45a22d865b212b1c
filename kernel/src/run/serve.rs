//! Serving messages and timers between polls, a limited number each time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::core::report::{ProgramCode, Report};
use crate::core::state::TaskRef;
use crate::core::wake::wake_foreign;
use crate::core::watched::Watch;
use crate::error::CancelReason;
use crate::parts::mailbox::Part;
use crate::parts::timers::Action;
use crate::run::tick::RunLoop;
use crate::run::watch;
use crate::task::state::Flags;
use crate::task::waker::Message;

/// How many timers, and messages of each part, are served at one time. Their sum is less than the
/// number of polls until the next time, so the run loop empties the ready queue faster than timers
/// and messages fill it. Otherwise every other task would wait behind a million tasks that become
/// ready at once.
const TIMERS: u32 = 24;
const EVENTS: u32 = 24;
const REQUESTS: u32 = 8;
/// One, so that what watches the kernel can divide its work and delays no task by more than a part.
const LOOKS: u32 = 1;

const _: () = assert!(TIMERS + EVENTS + REQUESTS + LOOKS < RunLoop::POLLS);

impl RunLoop<'_> {
    /// Serves some of the messages. Returns whether there are more.
    #[inline]
    pub(super) fn serve_mailbox(&self) -> bool {
        (self.core.remote().has_post() || self.core.post_left.get()) && self.serve_post()
    }

    #[inline(never)]
    pub(super) fn serve_post(&self) -> bool {
        if self.core.remote().has_post() {
            self.core.remote().take(&mut self.core.post.borrow_mut());
        }
        for (part, slice) in
            [(Part::Events, EVENTS), (Part::Requests, REQUESTS), (Part::Looks, LOOKS)]
        {
            for _ in 0..slice {
                let message = self.core.post.borrow_mut().part(part).pop_front();
                let Some(message) = message else { break };
                self.serve(message);
            }
        }
        self.core.post.borrow_mut().shrink();
        let left = !self.core.post.borrow().is_empty();
        self.core.post_left.set(left);
        // `take` fills only empty parts, so the mailbox may contain more messages.
        left || self.core.remote().has_post()
    }

    /// Serves messages if they are looks and nothing else. Returns whether they were, and have made
    /// no task ready: then there is still no reason for the kernel to go on.
    pub(super) fn serve_looks(&self) -> bool {
        if self.core.remote().has_post() {
            self.core.remote().take(&mut self.core.post.borrow_mut());
        }
        let only_looks = {
            let post = self.core.post.borrow();
            post.has_looks_at_most() && !post.is_empty()
        };
        if only_looks {
            self.serve_post();
        } else {
            self.core.post_left.set(!self.core.post.borrow().is_empty());
        }
        only_looks && self.core.ready.borrow().is_empty()
    }

    pub(super) fn serve(&self, message: Message) {
        match message {
            Message::Wake(waker) => self.core.wake(waker.received()),
            // A panic of a closure from another thread is reported and ends no task.
            Message::Spawn(spawn) => self.core.guarded(ProgramCode::Spawn, spawn),
            Message::Call(call) => self.core.guarded(ProgramCode::Spawn, || call.start()),
            Message::Cancel(task) => {
                if let Some(cell) = self.core.find(task) {
                    self.core.request(&cell, CancelReason::Requested { by: None });
                }
            }
            // A panic goes to the panic hook. The look ends without an answer.
            Message::Look(look) => drop(catch_unwind(AssertUnwindSafe(look))),
            Message::JobDone(job, waker) => self.core.job_done(job, waker),
            Message::Answered(job) => self.core.answered(job),
            Message::NoThread(pool) => self.core.wait_for_thread(pool),
            Message::Thread(task) => self.core.wake(task),
            Message::Unregister(token) => self.core.forget(token),
            Message::Disarm(timer) => self.core.disarm_and_wake(timer),
            Message::Unpark(key) => {
                let record = self.core.take_record(key);
                self.core.guarded(ProgramCode::Destructor, || drop(record));
            }
        }
    }

    /// Serves some of the timers that are due, the watched tasks and the extensions. Returns false
    /// if there is none of them; then the clock was not read.
    pub(super) fn serve_timers(&self) -> bool {
        let extended = !self.core.settings.extensions.is_empty();
        let none = self.core.timers.borrow().is_empty() && self.core.watched.borrow().is_empty();
        if none && !extended {
            return false;
        }
        let now = self.core.read_clock();
        if extended {
            self.core.serve_extensions(now);
        }
        for _ in 0..TIMERS {
            let due = self.core.timers.borrow_mut().pop_due(now);
            match due {
                None => break,
                Some((Action::Wake(task), _)) => self.core.wake(task),
                Some((Action::WakeForeign(_), waker)) => waker.into_iter().for_each(wake_foreign),
                Some((Action::Scope(key), _)) => self.core.cancel_scope(key, CancelReason::Timeout),
                Some((Action::OwnerGrace(id), _)) => self.core.owner_out_of_grace(id),
                Some((Action::Grace, _)) => self.core.grace_over.set(true),
                Some((Action::Report, _)) => self.core.report_due.set(true),
                Some((Action::Threads, _)) => self.core.try_threads(),
                Some((Action::Fired | Action::Free(_), _)) => unreachable!("it was armed"),
            }
        }
        self.serve_watched(now);
        if self.core.report_due.replace(false) {
            watch::report_stuck(self.core);
        }
        true
    }

    /// Checks each watched task whose second is over, and reports it if it must be
    /// (`core/watched.rs`).
    pub(super) fn serve_watched(&self, now: u64) {
        loop {
            let next = self.core.watched.borrow().front().copied();
            let Some(next) = next.filter(|next| next.due <= now) else { return };
            self.core.watched.borrow_mut().pop_front();
            let Some(cell) = self.core.find(next.task) else {
                continue;
            };
            match next.what {
                Watch::Foreign => self.check_foreign(&cell),
                Watch::Swallowed { scope, seen } => {
                    self.core.check_swallowed(&cell, scope, seen, now);
                }
            }
        }
    }

    /// Reports a task that is still parked in a foreign future, with its cancellation pending.
    fn check_foreign(&self, cell: &TaskRef) {
        cell.flags.clear(Flags::WATCHED);
        let pending = cell.is_pending() || self.core.scopes.borrow().any_pending(cell.attached().1);
        if pending && self.core.state(cell).has_no_leaf() {
            self.core.report(&Report::Foreign(&self.core.info(cell)));
        }
    }
}
