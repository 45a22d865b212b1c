//! Polls of tasks that are not plain (`run/tick.rs`), and the actions that follow any poll.
use std::task::{Context, Poll};
use std::time::Instant;

use crate::core::current::{self, Survey};
use crate::core::observer::Moment;
use crate::core::report::Report;
use crate::core::state::{Core, TaskRef};
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::Ambient;
use crate::run::tick::{Halt, MainBody, Polled, RunLoop, TakenBody, count_poll, spare_waker};
use crate::task::cell::OwnWaker;
use crate::task::state::Flags;

/// Polls a task that has a waker of its own, or whose cancellation was requested, and is plain
/// otherwise. `why` are the flags by which it is not plain. `Some`: another task, or a poll whose
/// result the caller acts on.
#[inline(never)]
pub(super) fn poll_nearly_plain<const MARKED: bool, const LOG: bool>(
    core: &Core,
    task: &TaskRef,
    spare: &OwnWaker,
    why: u32,
    main: &mut MainBody<'_>,
) -> Option<Halt> {
    match why {
        Flags::WAKER if !LOG => poll_by_own_waker::<MARKED>(core, task, spare, main),
        Flags::CANCEL_REQUESTED if !LOG => poll_cancelled::<MARKED>(core, task, spare, main),
        _ => Some(Halt::Special),
    }
}

/// Takes the body out for a poll, and makes the task the running one.
#[inline]
fn begin_poll<'a, const MARKED: bool>(
    core: &Core,
    task: &'a TaskRef,
    spare: &OwnWaker,
) -> TakenBody<'a> {
    spare.inner.assign(task.id());
    count_poll::<MARKED>(spare);
    let out = TakenBody::of(task);
    core.running.set(task.id());
    current::begin_poll(task.id(), task);
    out
}

/// Polls a task whose cancellation was requested. The waker of the context is the spare one.
#[inline]
fn poll_cancelled<const MARKED: bool>(
    core: &Core,
    task: &TaskRef,
    spare: &OwnWaker,
    main: &mut MainBody<'_>,
) -> Option<Halt> {
    let mut out = begin_poll::<MARKED>(core, task, spare);
    current::begin_cancelled(task.cancel_request());
    let result = out.poll(&mut Context::from_waker(&spare.waker), main);
    let marks = current::end_poll();
    let is_main = out.is_main();
    drop(out);
    match result {
        Poll::Ready(verdict) if !is_main && !spare.is_out_beside(MARKED.into()) => {
            core.running.set(TaskId::NONE);
            current::end_cancelled();
            core.returned(task, verdict);
            None
        }
        _ => Some(Halt::Polled(Polled { result, marks })),
    }
}

#[inline]
fn poll_by_own_waker<const MARKED: bool>(
    core: &Core,
    task: &TaskRef,
    spare: &OwnWaker,
    main: &mut MainBody<'_>,
) -> Option<Halt> {
    let own = task.own_waker().expect("a task with the flag has a waker");
    let waker = &own.waker;
    let mut out = begin_poll::<MARKED>(core, task, spare);
    current::lend(waker);
    let result = out.poll(&mut Context::from_waker(waker), main);
    let marks = current::end_poll();
    drop(out);
    drop(own);
    if result.is_ready() || task.flags.any(Flags::ABORT | Flags::CANCEL_REQUESTED) {
        return Some(Halt::Polled(Polled { result, marks }));
    }
    if task.flags.stop_or_queue(marks.flags()) {
        core.ready.borrow_mut().push(task.index());
    }
    current::lend(&spare.waker);
    None
}

impl RunLoop<'_> {
    /// Polls a task that is not plain. Returns whether it was the main task and has ended.
    #[inline(never)]
    pub(super) fn poll_special(&mut self, main: &mut MainBody<'_>) -> bool {
        if self.task.is_ended() {
            self.task.flags.stop(0);
            self.core.release(&self.task);
            return false;
        }
        if self.task.flags.any(Flags::HOSTED) {
            self.core.pass_to_host(&self.task);
            return false;
        }
        if self.core.settings.watches_polls() || self.core.settings.flight_recorder.is_some() {
            return self.poll_watched(main);
        }
        let polled = self.poll_once(main, || ());
        self.polled(polled)
    }

    /// Polls a task of a kernel that measures its polls, or that has observers or a probe.
    #[cold]
    fn poll_watched(&mut self, main: &mut MainBody<'_>) -> bool {
        let core = self.core;
        let observed = self.task.flags.any(Flags::OBSERVED);
        if observed {
            current::forget_poll();
            core.observe(&self.task, Moment::Running);
        }
        let started = core.settings.long_poll.is_some().then(Instant::now);
        let probe = core.settings.probe.as_ref();
        let surveys = probe.is_some_and(|probe| probe.surveys(&self.task));
        let asked = observed && self.task.is_pending();
        let mut polled = self.poll_once(main, || surveys.then(Survey::begin));
        core.record_return();
        if asked {
            core.record_if_delivered(&self.task);
        }
        if started.is_some() || observed {
            current::forget_poll();
            self.task.flags.set(polled.marks.parked());
            // The flag replaces the mark: if the sink drops the leaf, only the flag is cleared.
            polled.marks = polled.marks.without_record();
        }
        if let Some(started) = started {
            self.check_length(&self.task, started);
        }
        let main_ended = self.polled_and_shown(polled);
        let task = &self.task;
        if let Some(probe) = probe {
            probe.after_poll(core, task, main_ended || !task.is_current() || task.is_ended());
        }
        main_ended
    }

    /// [`polled`](Self::polled), and shows the end of the poll to the recorder and the observers.
    #[cold]
    pub(super) fn polled_and_shown(&mut self, polled: Polled) -> bool {
        // A task that ends must be shown before that, and one that parks after it is marked so.
        let shown = self.task.flags.any(Flags::OBSERVED);
        let ends = polled.result.is_ready() || self.task.flags.any(Flags::ABORT);
        if shown && ends {
            self.core.observe(&self.task, Moment::Suspended);
        }
        let main_ended = self.polled(polled);
        if shown && !ends {
            self.core.observe(&self.task, Moment::Suspended);
        }
        main_ended
    }

    /// The same for the poll of a plain task.
    pub(super) fn polled_and_recorded(&mut self, polled: Polled) -> bool {
        self.core.record_return();
        self.polled_and_shown(polled)
    }

    /// Before the sources are polled: notes the time for the recorder. Returns whether no task is
    /// ready.
    pub(super) fn record_look(&self) -> bool {
        self.core.record_look();
        self.batch.is_over() && self.core.ready.borrow().is_empty()
    }

    /// Polls the task with its own waker, if it has one. What `before` returns lives during the
    /// poll.
    #[inline(always)]
    fn poll_once<G>(&mut self, main: &mut MainBody<'_>, before: impl FnOnce() -> G) -> Polled {
        let task = &self.task;
        let (cancel_seq, pending) =
            task.cancel_request().map_or((0, false), |it| (it.cancel_seq, it.pending));
        let own = task.own_waker();
        let mut out = TakenBody::of(task);
        self.spare.inner.assign(task.id());
        self.core.running.set(task.id());
        self.spare.inner.count_poll();
        current::begin_poll(task.id(), task);
        let during = before();
        let waker = own.as_ref().map_or(&self.spare.waker, |own| &own.waker);
        current::offer(waker, Ambient { scope: NONE, cancel_seq, pending });
        let cx = &mut Context::from_waker(waker);
        let inherited = self.core.enter_values_of(task);
        let result = out.poll(cx, main);
        let marks = current::end_poll();
        drop(inherited);
        drop(during);
        drop(own);
        drop(out);
        self.core.running.set(TaskId::NONE);
        Polled { result, marks }
    }

    /// Acts on the result of a poll, for any task. Returns whether it was the main task and has
    /// ended.
    #[inline(never)]
    pub(super) fn polled(&mut self, polled: Polled) -> bool {
        let task = &self.task;
        if self.is_spare_out() {
            // The spare waker was cloned, so from now on it is the waker of this task.
            let kept = std::mem::replace(&mut self.spare, spare_waker(self.core));
            task.keep_waker(kept);
        }
        let Polled { result, marks } = polled;
        // The ambient may be pending, because the task may have cancelled itself. And code that
        // runs from here on may hold a clone of the waker, which must not count as the waker of a
        // polled task.
        current::forget_poll();
        task.flags.stop(marks.parked());
        match result {
            Poll::Ready(_) if task.flags.any(Flags::MAIN) => return true,
            Poll::Ready(verdict) => {
                self.core.drop_values(task);
                self.core.returned(task, verdict);
            }
            Poll::Pending if task.flags.any(Flags::ABORT) => self.core.abort(task),
            Poll::Pending => {
                if marks.again() {
                    self.core.make_ready(task);
                }
                if task.flags.any(Flags::CANCEL_REQUESTED) {
                    self.core.watch_parked(task);
                }
            }
        }
        false
    }

    #[cold]
    pub(super) fn check_length(&self, cell: &TaskRef, started: Instant) {
        let took = started.elapsed();
        if self.core.settings.long_poll.is_some_and(|limit| took > limit) {
            self.core.report(&Report::LongPoll { task: &self.core.info(cell), took });
            self.core.write_flight_record_of_long_poll();
        }
    }
}
