//! One turn of the kernel: pop a ready task, poll it, see what became of it.
//!
//! Only [`Core::turn`] runs tasks (invariant *only tick runs tasks*); everything else makes them
//! ready. Every [`Core::POLLS`] polls, and whenever nobody is ready, it looks at the mailbox, the
//! timers and the reactor, in `idle.rs`.
//!
//! Most tasks go the short way: nobody has cloned their waker or asked for their cancellation. They
//! share a spare waker, named anew for each poll and given to the task that clones it; and the
//! ambient, which is clear between polls, is left as it is. So a turn costs them no allocation and,
//! but for the body, no look at more of their cell than flags and counters.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::body::{Body, Verdict};
use crate::cancel::Ambient;
use crate::cell::{OwnWaker, TaskCell};
use crate::core::{Core, Stage};
use crate::current::{self, Marks};
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
    /// Polls until the next look at timers, reactor and mailbox (K2); none after a panic.
    left: u32,
    /// The flags of a task that does not go the short way.
    special: u16,
}

impl<'a> Wheel<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        let special = if core.settings.long_poll.is_some() { u16::MAX } else { Flags::SPECIAL };
        Wheel { core, round: Vec::new(), spare: spare_waker(core), left: 0, special }
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

/// Why [`Core::poll_plain`] came back.
enum Halt {
    /// Nobody is ready, or it is time to look elsewhere.
    Look,
    /// The next task does not go the short way.
    Special(Rc<TaskCell>),
    /// This one has cloned the spare waker.
    SpareIsOut(Polled),
    MainEnded(Polled),
}

/// A task whose poll has ended.
struct Polled {
    cell: Rc<TaskCell>,
    result: Poll<Verdict>,
    marks: Marks,
}

/// What was taken out of its place in the cell of the task that is polled. Whoever took it puts it
/// back; here, that is, only while a panic unwinds.
struct Out<T>(Option<T>, fn(&TaskCell, T));

impl<T> Drop for Out<T> {
    fn drop(&mut self) {
        if let Some(thing) = self.0.take() {
            current::running(|cell| (self.1)(cell, thing));
        }
    }
}

impl Out<Pin<Box<dyn Body>>> {
    /// The future of a task. None: it is main.
    #[inline]
    fn body(cell: &TaskCell) -> Self {
        Out(cell.body.take(), |cell, body| cell.body.put(body))
    }
}

impl Out<OwnWaker> {
    fn waker(cell: &TaskCell) -> Self {
        let waker = cell.any_rare().and_then(|rare| rare.waker.take());
        Out(waker, |cell, waker| cell.rare().waker.set(Some(waker)))
    }
}

impl Core {
    /// Polls between two looks at mailbox, timers and reactor (K2).
    pub(crate) const POLLS: u32 = 64;

    /// Runs tasks until there is something that only the caller can do.
    pub(crate) fn turn(self: &Rc<Self>, wheel: &mut Wheel<'_>, main: &mut PollMain<'_>) -> Turn {
        loop {
            if wheel.spare.is_out() {
                // Cloned in a poll that has panicked: it goes on naming that task.
                wheel.spare = spare_waker(self);
            }
            current::set_waker(&wheel.spare.waker);
            let main_ended = match self.poll_plain(wheel, main) {
                Halt::Look => match self.between(wheel) {
                    Some(turn) => return turn,
                    None => false,
                },
                Halt::Special(cell) => self.poll_special(wheel, cell, main),
                Halt::SpareIsOut(polled) => self.give_spare(wheel, polled),
                Halt::MainEnded(polled) => self.polled_special(polled),
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

    /// Polls tasks that nobody has cancelled, with the spare waker, until something else is to be
    /// done.
    #[inline]
    fn poll_plain(&self, wheel: &mut Wheel<'_>, main: &mut PollMain<'_>) -> Halt {
        let Wheel { round, spare, left: kept, special, .. } = wheel;
        let cx = &mut Context::from_waker(&spare.waker);
        let mut left = std::mem::take(kept);
        let halt = loop {
            if left == 0 {
                break Halt::Look;
            }
            let next = match round.pop() {
                None => self.ready.borrow_mut().next_round(round),
                some => some,
            };
            let Some(cell) = next else { break Halt::Look };
            left -= 1;
            if cell.flags.start() & *special != 0 {
                break Halt::Special(cell);
            }
            spare.inner.assign(cell.id());
            let mut body = Out::body(&cell);
            current::begin_poll(cell);
            let result = match &mut body.0 {
                Some(body) => body.as_mut().poll(cx),
                None => main(cx),
            };
            let (cell, marks) = current::end_poll();
            let body = body.0.take();
            let is_main = body.is_none();
            if let Some(body) = body {
                cell.body.put(body);
            }
            let polled = Polled { cell, result, marks };
            if spare.is_out() {
                break Halt::SpareIsOut(polled);
            }
            if is_main && result.is_ready() {
                break Halt::MainEnded(polled);
            }
            self.polled(polled);
        };
        *kept = left;
        halt
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
        let started = self.settings.long_poll.is_some().then(Instant::now);
        let (stamp, pending) = cell.asked().map_or((0, false), |it| (it.stamp, it.pending));
        current::set_ambient(Ambient { scope: NONE, stamp, pending });
        let mut own = Out::waker(&cell);
        let mut body = Out::body(&cell);
        wheel.spare.inner.assign(cell.id());
        current::begin_poll(cell);
        let waker = own.0.as_ref().map_or(&wheel.spare.waker, |own| &own.waker);
        current::set_waker(waker);
        let cx = &mut Context::from_waker(waker);
        let result = match &mut body.0 {
            Some(body) => body.as_mut().poll(cx),
            None => main(cx),
        };
        let (cell, marks) = current::end_poll();
        if let Some(body) = body.0.take() {
            cell.body.put(body);
        }
        if let Some(own) = own.0.take() {
            cell.rare().waker.set(Some(own));
        }
        if let Some(started) = started {
            current::forget_poll();
            self.check_length(&cell, started);
        }
        let polled = Polled { cell, result, marks };
        if wheel.spare.is_out() {
            return self.give_spare(wheel, polled);
        }
        self.polled_special(polled)
    }

    /// The spare waker was cloned: it is this task's from now on. True: it was main, and has ended.
    #[cold]
    fn give_spare(&self, wheel: &mut Wheel<'_>, polled: Polled) -> bool {
        let kept = std::mem::replace(&mut wheel.spare, spare_waker(self));
        polled.cell.flags.set(Flags::WAKER);
        polled.cell.rare().waker.set(Some(kept));
        self.polled_special(polled)
    }

    /// What follows from a poll.
    #[inline(always)]
    fn polled(&self, polled: Polled) {
        let Polled { cell, result, marks } = polled;
        if cell.flags.any(Flags::ABORT | Flags::ASKED) {
            self.polled_special(Polled { cell, result, marks });
        } else if let Poll::Ready(verdict) = result {
            self.returned(&cell, verdict);
        } else if !marks.again() {
            cell.flags.stop();
        } else if cell.flags.stop_and_queue() {
            self.ready.borrow_mut().push(cell);
        }
    }

    /// The same for any task. True: it was main, and has ended.
    #[inline(never)]
    fn polled_special(&self, polled: Polled) -> bool {
        let Polled { cell, result, marks } = polled;
        // It may have cancelled itself.
        current::set_ambient(Ambient::CLEAR);
        cell.flags.stop();
        match result {
            Poll::Ready(_) if cell.flags.any(Flags::MAIN) => return true,
            Poll::Ready(verdict) => self.returned(&cell, verdict),
            Poll::Pending if cell.flags.any(Flags::ABORT) => self.abort(&cell),
            Poll::Pending => {
                if marks.again() {
                    self.make_ready(&cell);
                }
                if cell.is_pending() && !cell.flags.any(Flags::QUEUED) && self.has_no_leaf(&cell) {
                    self.watch_foreign(&cell);
                }
            }
        }
        false
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
