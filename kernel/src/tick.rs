//! One turn of the kernel: pop a ready task, poll it, see what became of it.
//!
//! Only [`Core::turn`] runs tasks (invariant *only tick runs tasks*); everything else makes them
//! ready. Every [`Core::POLLS`] polls, and whenever nobody is ready, it looks at the mailbox, the
//! timers and the reactor, in `idle.rs`.
//!
//! Most tasks go the short way: nobody has cloned their waker or asked for their cancellation. They
//! share a spare waker, named anew for each poll and given to the task that clones it; and the
//! ambient, which is clear between polls, is left as it is. So a turn costs them no allocation and
//! no look into their cell but one at the flags.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::body::Verdict;
use crate::cancel::Ambient;
use crate::cell::{OwnWaker, TaskCell};
use crate::core::{Core, Stage};
use crate::current;
use crate::flags::Flags;
use crate::links::NONE;
use crate::remote::TaskWaker;
use crate::report::Report;

/// Why [`Core::turn`] came back.
pub(crate) enum Turn {
    /// The future of `run` has ended.
    MainEnded,
    /// The shutdown is through: nobody is left.
    Empty,
    /// The grace of the shutdown is over.
    GraceOver,
}

/// Polls the future of `run`, which lives on the stack of its caller.
pub(crate) type PollMain<'a> = dyn FnMut(&mut Context<'_>) -> Poll<Verdict> + 'a;

/// What a run keeps from poll to poll, on its own stack.
pub(crate) struct Wheel<'a> {
    core: &'a Core,
    /// The tasks of this round, the next one last.
    round: Vec<Rc<TaskCell>>,
    /// A waker that nobody has cloned yet: named anew for each poll.
    spare: OwnWaker,
    /// Polls until the next look at timers, reactor and mailbox (K2).
    left: u32,
    /// Somebody wants to know how long polls take.
    timed: bool,
}

impl<'a> Wheel<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        let timed = core.settings.long_poll.is_some();
        Wheel { core, round: Vec::new(), spare: spare_waker(core), left: 0, timed }
    }

    /// The next task of this round, or the first of the next.
    #[inline]
    fn next(&mut self) -> Option<Rc<TaskCell>> {
        match self.round.pop() {
            None => self.core.ready.borrow_mut().next_round(&mut self.round),
            some => some,
        }
    }
}

impl Drop for Wheel<'_> {
    fn drop(&mut self) {
        self.core.ready.borrow_mut().put_back(&mut self.round);
    }
}

fn spare_waker(core: &Core) -> OwnWaker {
    OwnWaker::new(Arc::new(TaskWaker::new(core.remote().clone())))
}

impl Core {
    /// Polls between two looks at mailbox, timers and reactor (K2).
    pub(crate) const POLLS: u32 = 64;

    /// Runs tasks until there is something that only the caller can do.
    pub(crate) fn turn(self: &Rc<Self>, wheel: &mut Wheel<'_>, main: &mut PollMain<'_>) -> Turn {
        if wheel.spare.is_out() {
            // Cloned in a poll that has panicked: it goes on naming that task.
            wheel.spare = spare_waker(self);
        }
        current::set_waker(&wheel.spare.waker);
        loop {
            let next = if wheel.left == 0 { None } else { wheel.next() };
            let Some(cell) = next else {
                if let Some(turn) = self.between(wheel) {
                    return turn;
                }
                continue;
            };
            wheel.left -= 1;
            let flags = cell.flags.start();
            let main_ended = if flags & Flags::SPECIAL == 0 && !wheel.timed {
                self.poll_plain(wheel, cell, flags & Flags::MAIN != 0, main)
            } else {
                self.poll_special(wheel, cell, main)
            };
            if main_ended {
                return Turn::MainEnded;
            }
        }
    }

    /// Nobody is ready, or it is time to look elsewhere.
    #[inline(never)]
    fn between(self: &Rc<Self>, wheel: &mut Wheel<'_>) -> Option<Turn> {
        if self.stage.get() != Stage::Open {
            if self.live.get() == 0 {
                return Some(Turn::Empty);
            }
            if self.grace_over.replace(false) {
                return Some(Turn::GraceOver);
            }
        }
        wheel.left = Core::POLLS;
        self.look(!wheel.round.is_empty());
        None
    }

    /// Polls a task that nobody has cancelled, with the spare waker. True: it was main, and has
    /// ended.
    #[inline(always)]
    fn poll_plain(
        &self,
        wheel: &mut Wheel<'_>,
        cell: Rc<TaskCell>,
        is_main: bool,
        main: &mut PollMain<'_>,
    ) -> bool {
        current::begin_poll(&cell);
        wheel.spare.inner.assign(cell.id());
        let cx = &mut Context::from_waker(&wheel.spare.waker);
        let result = if is_main { main(cx) } else { cell.poll_body(cx) };
        let again = current::end_poll();
        if cell.flags.any(Flags::ASKED) {
            // It cancelled itself, say.
            current::set_ambient(Ambient::CLEAR);
        }
        if wheel.spare.is_out() {
            self.give_spare(wheel, &cell);
        }
        if is_main && result.is_ready() {
            return true;
        }
        self.polled(cell, result, again);
        false
    }

    /// Polls any other task. True: it was main, and has ended.
    #[inline(never)]
    fn poll_special(
        &self,
        wheel: &mut Wheel<'_>,
        cell: Rc<TaskCell>,
        main: &mut PollMain<'_>,
    ) -> bool {
        if cell.is_ended() {
            cell.flags.stop();
            self.release(&cell);
            return false;
        }
        let started = wheel.timed.then(Instant::now);
        let (stamp, pending) = (cell.root.stamp.get(), cell.root.pending.get());
        current::set_ambient(Ambient { scope: NONE, stamp, pending });
        current::begin_poll(&cell);
        let result = {
            let rare = cell.rare.borrow();
            let waker = match rare.as_ref().and_then(|rare| rare.waker.as_ref()) {
                Some(own) => &own.waker,
                None => {
                    wheel.spare.inner.assign(cell.id());
                    &wheel.spare.waker
                }
            };
            current::set_waker(waker);
            let cx = &mut Context::from_waker(waker);
            if cell.flags.any(Flags::MAIN) { main(cx) } else { cell.poll_body(cx) }
        };
        let again = current::end_poll();
        current::set_ambient(Ambient::CLEAR);
        current::set_waker(&wheel.spare.waker);
        if wheel.spare.is_out() {
            self.give_spare(wheel, &cell);
        }
        if let Some(started) = started {
            self.check_length(&cell, started);
        }
        let main_ended = result.is_ready() && cell.flags.any(Flags::MAIN);
        if !main_ended {
            self.polled(cell, result, again);
        }
        main_ended
    }

    /// The spare waker was cloned: it is this task's from now on.
    #[cold]
    fn give_spare(&self, wheel: &mut Wheel<'_>, cell: &TaskCell) {
        let kept = std::mem::replace(&mut wheel.spare, spare_waker(self));
        current::set_waker(&wheel.spare.waker);
        cell.flags.set(Flags::WAKER | Flags::RARE);
        cell.rare.borrow_mut().get_or_insert_default().waker = Some(kept);
    }

    /// What follows from a poll.
    #[inline(always)]
    fn polled(&self, cell: Rc<TaskCell>, result: Poll<Verdict>, again: bool) {
        match result {
            Poll::Ready(Verdict::Ok) => self.returned(&cell, None),
            Poll::Ready(Verdict::Err(echo)) => self.returned(&cell, Some(echo)),
            Poll::Pending => {
                let flags = cell.flags.stop();
                if flags & (Flags::ABORT | Flags::ASKED) != 0 {
                    self.parked_special(&cell, again);
                } else if again && flags & Flags::QUEUED == 0 {
                    cell.flags.set(Flags::QUEUED);
                    self.ready.borrow_mut().push(cell);
                }
            }
        }
    }

    /// A task was polled and is not through; it is to be aborted, or was cancelled.
    #[cold]
    fn parked_special(&self, cell: &Rc<TaskCell>, again: bool) {
        if cell.flags.any(Flags::ABORT) {
            self.abort(cell);
            return;
        }
        if again {
            self.make_ready(cell);
        }
        if cell.root.pending.get() && !cell.flags.any(Flags::QUEUED) && self.has_no_leaf(cell) {
            self.watch_foreign(cell);
        }
    }

    /// It was cancelled and parked where nothing of ours reaches it: if it is still there in a
    /// second, somebody should know (C9).
    pub(crate) fn watch_foreign(&self, cell: &TaskCell) {
        if cell.flags.replace(Flags::WATCHED, true) {
            return;
        }
        let second = Duration::from_secs(1).as_nanos() as u64;
        let due = self.clock.now().saturating_add(second);
        self.foreign.borrow_mut().push_back((due, cell.id()));
    }

    #[cold]
    fn check_length(&self, cell: &TaskCell, started: Instant) {
        let took = started.elapsed();
        if self.settings.long_poll.is_some_and(|limit| took > limit) {
            self.report(&Report::LongPoll { task: &self.info(cell), took });
        }
    }
}
