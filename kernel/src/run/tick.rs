//! One turn of the kernel: pop a ready task, poll it, see what became of it.
//!
//! Only [`RunLoop::turn`] runs tasks (invariant *only tick runs tasks*); everything else makes them
//! ready. Every [`RunLoop::POLLS`] polls, and whenever no task is ready, it looks at the mailbox,
//! the timers and the reactor, in `idle.rs`.
//!
//! Most tasks go the short way: nobody has cloned their waker or asked for their cancellation. They
//! share a spare waker, named anew for each poll and given to the task that clones it; and the
//! ambient, which is clear between polls, is left as it is. So a turn costs them no allocation and,
//! but for the body, no look at more of their cell than flags and counters.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current::{self, Marks};
use crate::core::state::TaskRef;
use crate::core::state::{Core, Stage};
use crate::id::TaskId;
use crate::parts::ready::Batch;
use crate::parts::scopes::Ambient;
use crate::task::body::{Body, Verdict};
use crate::task::cell::{OwnWaker, TaskCell};
use crate::task::state::Flags;
use crate::task::waker::TaskWaker;

/// Why [`RunLoop::turn`] came back.
pub(crate) enum Turn {
    /// The future of `run` has ended.
    MainEnded,
    /// The shutdown is through: nobody is left.
    Empty,
    /// The grace of the shutdown is over.
    GraceOver,
    /// It is certain that nothing will ever wake a task.
    Deadlocked,
}

/// Polls the future of `run`, which lives on the stack of its caller.
pub(crate) type PollMain<'a> = dyn FnMut(&mut Context<'_>) -> Poll<Verdict> + 'a;

/// What a run keeps from poll to poll, on its own stack.
pub(crate) struct RunLoop<'a> {
    pub(super) core: &'a Core,
    /// The places of the tasks that are polled next.
    pub(super) batch: Batch,
    /// The task that is polled, or was last; in the loop over plain tasks, one in its chunk.
    pub(super) task: TaskRef,
    /// A waker that nobody has cloned yet: named anew for each poll.
    pub(super) spare: OwnWaker,
    /// The flags of a task that does not go the short way.
    special: u32,
}

impl<'a> RunLoop<'a> {
    pub(crate) fn new(core: &'a Rc<Core>) -> Self {
        let chunk = core.tasks.borrow_mut().some_chunk(core);
        current::set_chunk(Some(chunk.clone()));
        // A name that is near to no place, so the first task is looked for.
        let task = TaskRef::by(chunk, TaskId::NOBODY);
        let special = if core.settings.long_poll.is_some() { u32::MAX } else { Flags::SPECIAL };
        RunLoop { core, batch: Batch::default(), task, spare: spare_waker(core), special }
    }
}

impl Drop for RunLoop<'_> {
    fn drop(&mut self) {
        self.core.ready.borrow_mut().put_back(&mut self.batch);
        current::set_chunk(None);
    }
}

pub(super) fn spare_waker(core: &Core) -> OwnWaker {
    OwnWaker::new(Arc::new(TaskWaker::new(core.remote().clone())))
}

/// Why [`RunLoop::poll_plain`] came back.
enum Halt {
    /// Nobody is ready, or it is time to look elsewhere.
    Look,
    /// The next task does not go the short way.
    Special,
    /// This one has cloned the spare waker, was cancelled or aborted, or is main and has ended.
    Polled(Polled),
}

/// What came of a poll.
#[derive(Clone, Copy)]
pub(super) struct Polled {
    pub(super) result: Poll<Verdict>,
    pub(super) marks: Marks,
}

/// The future of the task that is polled, out of its cell meanwhile, and back in it also when a
/// panic unwinds. None: it is main.
pub(super) struct TakenBody<'a> {
    cell: &'a TaskCell,
    body: Option<Pin<Box<dyn Body>>>,
}

impl<'a> TakenBody<'a> {
    #[inline]
    pub(super) fn of(cell: &'a TaskCell) -> Self {
        TakenBody { cell, body: cell.body.take() }
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, main: &mut PollMain<'_>) -> Poll<Verdict> {
        match &mut self.body {
            Some(body) => body.as_mut().poll(cx),
            None => main(cx),
        }
    }
}

impl Drop for TakenBody<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.cell.body.put(body);
        }
    }
}

/// The task in another chunk than the last one was in.
#[inline(never)]
fn reach(core: &Core, index: u32) -> TaskRef {
    let task = core.tasks.borrow().at(index).expect("who is queued has a place");
    current::set_chunk(Some(task.chunk().clone()));
    task
}

impl RunLoop<'_> {
    /// Polls between two looks at mailbox, timers and reactor (K2).
    pub(crate) const POLLS: u32 = 64;

    /// Runs tasks until there is something that only the caller can do.
    pub(crate) fn turn(&mut self, main: &mut PollMain<'_>) -> Turn {
        loop {
            if self.spare.is_out() {
                // Cloned in a poll that has panicked: it goes on naming that task.
                self.spare = spare_waker(self.core);
            }
            current::offer(&self.spare.waker, Ambient::CLEAR);
            let halt = self.poll_plain(main);
            // It may still be the last one that parked: from here on, others may ask.
            self.core.running.set(TaskId::NOBODY);
            let main_ended = match halt {
                Halt::Look => match self.between() {
                    Some(turn) => return turn,
                    None => false,
                },
                Halt::Special => self.poll_special(main),
                Halt::Polled(polled) => self.polled(polled),
            };
            if main_ended {
                return Turn::MainEnded;
            }
        }
    }

    /// Nobody is ready, or it is time to look elsewhere.
    #[inline(never)]
    fn between(&mut self) -> Option<Turn> {
        if self.core.stage.get() != Stage::Open {
            if self.core.live() == 0 {
                return Some(Turn::Empty);
            }
            if self.core.grace_over.replace(false) {
                return Some(Turn::GraceOver);
            }
        }
        self.batch.allow(RunLoop::POLLS);
        if self.poll_sources() { None } else { Some(Turn::Deadlocked) }
    }

    /// Polls tasks that nobody has cancelled, with the spare waker, until something else is to be
    /// done.
    #[inline]
    fn poll_plain(&mut self, main: &mut PollMain<'_>) -> Halt {
        let RunLoop { core, batch, task: last, spare, special } = self;
        let cx = &mut Context::from_waker(&spare.waker);
        loop {
            let Some(index) = batch.pop(&core.ready) else {
                return Halt::Look;
            };
            if !last.is_in_chunk_of(index) {
                *last = reach(core, index);
            }
            let (name, cell) = last.neighbour(index);
            if cell.flags.start() & *special != 0 {
                last.set_id(name);
                return Halt::Special;
            }
            spare.inner.assign(name);
            let mut out = TakenBody::of(cell);
            core.running.set(name);
            current::begin_poll(name, cell);
            let result = out.poll(cx, main);
            let marks = current::end_poll();
            let is_main = out.body.is_none();
            drop(out);
            if spare.is_out() || cell.flags.any(Flags::ABORT | Flags::CANCEL_REQUESTED) {
                last.set_id(name);
                return Halt::Polled(Polled { result, marks });
            }
            match result {
                Poll::Pending => {
                    if cell.flags.stop_or_queue(marks.flags()) {
                        core.ready.borrow_mut().push(name.index());
                    }
                }
                Poll::Ready(_) if is_main => {
                    last.set_id(name);
                    return Halt::Polled(Polled { result, marks });
                }
                Poll::Ready(verdict) => {
                    core.running.set(TaskId::NOBODY);
                    last.set_id(name);
                    core.returned(last, verdict);
                }
            }
        }
    }
}
