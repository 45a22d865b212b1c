//! The run loop: take a task from the ready queue, poll it, and act on the result.
//!
//! Only [`RunLoop::turn`] runs tasks (invariant *only tick runs tasks*); everything else only makes
//! them ready. After every [`RunLoop::POLLS`] polls, and whenever no task is ready, the loop checks
//! the mailbox, the timers and the reactor, in `idle.rs`.
//!
//! Most tasks are *plain*: their waker has not been cloned and no cancellation was requested. Plain
//! tasks share one spare waker. Each poll assigns the spare waker to the polled task, and a task
//! that clones it keeps it. The ambient cancellation state is clear between polls and needs no
//! update. So polling a plain task allocates nothing, and apart from the body it reads only the
//! flags and counters of the cell. A task that is plain but for a waker of its own takes a way that
//! is nearly as short: it is what every task becomes that waits in a future of another crate.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::current::{self, Marks};
use crate::core::state::{Chunk, Core, Stage, TaskRef};
use crate::id::TaskId;
use crate::parts::ready::Batch;
use crate::parts::scopes::Ambient;
use crate::run::lookout::Lookout;
use crate::run::marker::Marker;
use crate::run::special::poll_nearly_plain;
use crate::run::visit::Visit;
use crate::task::body::{Body, Verdict};
use crate::task::cell::{OwnWaker, TaskCell};
use crate::task::state::Flags;
use crate::task::waker::TaskWaker;

/// Why [`RunLoop::turn`] returned.
pub(crate) enum Turn {
    /// The future of `run` has ended.
    MainEnded,
    /// The shutdown is complete: no task is left.
    Empty,
    /// The grace period of the shutdown is over.
    GraceOver,
    /// No task is ready, and nothing can ever wake one.
    Deadlocked,
    /// The time of a test is over.
    OutOfTime,
    /// The turn of a guest is over.
    Paused,
}

/// What the kernel does with the future of `run`, which is on the stack of its caller.
pub(crate) enum Step<'a, 'b> {
    Call,
    Poll(&'a mut Context<'b>),
    Drop,
}

/// The future of `run`. Only the poll that ends it returns `Ready`.
pub(crate) type MainBody<'a> = dyn FnMut(Step<'_, '_>) -> Poll<Verdict> + 'a;

/// The state that one run keeps between polls, on its own stack.
pub(crate) struct RunLoop<'a> {
    pub(super) core: &'a Core,
    /// The indices of the tasks that are polled next.
    pub(super) batch: Batch,
    /// The task that is polled, or was polled last. While plain tasks are polled, it is only some
    /// task in the same chunk.
    pub(super) task: TaskRef,
    left: Left,
    /// A waker that has not been cloned; each poll assigns it to the polled task.
    pub(super) spare: OwnWaker,
    /// A task with any of these flags is not plain.
    special: u32,
    /// Of a kernel with a watcher.
    pub(super) marker: Option<Marker>,
    pub(super) lookout: Option<RefCell<Lookout>>,
    /// Of a kernel that another loop turns.
    pub(super) visit: Option<&'a mut Visit>,
}

impl<'a> RunLoop<'a> {
    pub(super) fn new(core: &'a Rc<Core>, mut visit: Option<&'a mut Visit>) -> Self {
        let chunk = core.tasks.borrow_mut().some_chunk(core);
        current::set_chunk(Some(chunk.clone()));
        // This id belongs to no chunk, so the first task is looked up in the table.
        let left = Left { task: TaskRef::by(chunk.clone(), TaskId::NONE), context: None };
        let task = TaskRef::by(chunk, TaskId::NONE);
        let special = if core.settings.watches_polls() { u32::MAX } else { Flags::SPECIAL };
        let marker = Marker::of(core);
        let lookout =
            visit.as_mut().map_or_else(|| Lookout::of(core), |visit| visit.lookout.take());
        let (batch, spare) = (Batch::default(), spare_waker(core));
        RunLoop { core, batch, task, left, spare, special, marker, lookout, visit }
    }
}

impl Drop for RunLoop<'_> {
    fn drop(&mut self) {
        self.core.ready.borrow_mut().put_back(&mut self.batch);
        if let Some(visit) = &mut self.visit {
            visit.lookout = self.lookout.take();
        }
        current::set_chunk(None);
    }
}

pub(super) fn spare_waker(core: &Core) -> OwnWaker {
    let spare = Arc::new(TaskWaker::new(core.remote().clone()));
    if let Some(mark) = &core.mark {
        mark.set_spare(Some(spare.clone()));
    }
    OwnWaker::new(spare)
}

/// Why [`RunLoop::poll_plain`] returned.
pub(super) enum Halt {
    /// No task is ready, or it is time to poll the sources.
    CheckSources,
    /// The next task is not plain.
    Special,
    /// The polled task has cloned the spare waker, was cancelled or aborted, or is main and has
    /// ended.
    Polled(Polled),
}

/// The result of a poll.
#[derive(Clone, Copy)]
pub(super) struct Polled {
    pub(super) result: Poll<Verdict>,
    pub(super) marks: Marks,
}

/// The future of the polled task, taken out of its cell. `Drop` puts it back, also when a panic
/// unwinds. `None` in `body` means main, whose future is not in a cell.
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
    pub(super) fn is_main(&self) -> bool {
        self.body.is_none()
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, main: &mut MainBody<'_>) -> Poll<Verdict> {
        match &mut self.body {
            Some(body) => body.as_mut().poll(cx),
            None => main(Step::Poll(cx)),
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

/// The chunk in which the polled task was before the present one. A task that waits for many
/// others, one after the other, takes turns with them.
struct Left {
    /// Some task of it.
    task: TaskRef,
    /// Another reference to it, which was in the context of the thread.
    context: Option<Rc<Chunk>>,
}

/// Makes `last` refer to the chunk of a task that is in a different one.
#[inline(never)]
fn change_chunk(core: &Core, last: &mut TaskRef, left: &mut Left, index: u32) {
    std::mem::swap(last, &mut left.task);
    if last.is_in_chunk_of(index) {
        left.context = current::replace_chunk(left.context.take());
        return;
    }
    *last = core.tasks.borrow().at(index).expect("a queued task keeps its slot");
    left.context = current::replace_chunk(Some(last.chunk().clone()));
}

/// Stores the name of a task that is polled for the first time in a kernel with a watcher.
#[inline]
fn name_new<const MARKED: bool>(
    marker: &mut Option<Marker>,
    core: &Core,
    task: &TaskRef,
    name: TaskId,
    flags: u32,
) {
    if !MARKED || flags & Flags::NEW == 0 || task.is_known(name.index()) {
        return;
    }
    if let Some(marker) = marker {
        if !marker.knows(task, name.index(), flags) {
            marker.name(core, task, name);
        }
    }
}

/// Counts the poll of the task to which the waker is assigned, in a kernel with a watcher.
#[inline]
pub(super) fn count_poll<const MARKED: bool>(spare: &OwnWaker) {
    if MARKED {
        spare.inner.count_poll();
    }
}

impl RunLoop<'_> {
    /// Whether the program has cloned the spare waker, which the mark shares.
    pub(super) fn is_spare_out(&self) -> bool {
        self.spare.is_out_beside(self.marker.is_some().into())
    }

    /// The number of polls between two checks of the mailbox, the timers and the reactor (K2).
    pub(crate) const POLLS: u32 = 64;

    /// Runs tasks until the caller must act. [`Turn`] is the reason.
    pub(crate) fn run(&mut self, main: &mut MainBody<'_>) -> Turn {
        match (self.marker.is_some(), self.core.settings.flight_recorder.is_some()) {
            (false, false) => self.turn::<false, false>(main),
            (false, true) => self.turn::<false, true>(main),
            (true, false) => self.turn::<true, false>(main),
            (true, true) => self.turn::<true, true>(main),
        }
    }

    /// `MARKED`: the kernel has a watcher. `LOG`: it has a flight recorder.
    fn turn<const MARKED: bool, const LOG: bool>(&mut self, main: &mut MainBody<'_>) -> Turn {
        loop {
            if let Some(probe) = &self.core.settings.probe {
                probe.before_poll(self.core);
            }
            if self.is_spare_out() {
                // It was cloned in a poll that panicked, so its clones belong to that task.
                self.spare = spare_waker(self.core);
            }
            current::offer(&self.spare.waker, Ambient::CLEAR);
            let halt = self.poll_plain::<MARKED, LOG>(main);
            // After a plain poll that returned `Pending`, `running` still holds that task. Clear
            // it: code that runs from here on reads it.
            self.core.running.set(TaskId::NONE);
            let main_ended = match halt {
                Halt::CheckSources => {
                    if MARKED {
                        // No task has cloned it: then it would not be the spare one any more.
                        self.spare.inner.assign(TaskId::NONE);
                    }
                    match self.between::<LOG>() {
                        Some(turn) => return turn,
                        None => false,
                    }
                }
                Halt::Special => self.poll_special(main),
                Halt::Polled(polled) if LOG => self.polled_and_recorded(polled),
                Halt::Polled(polled) => self.polled(polled),
            };
            if LOG {
                // After the sources were polled there are none.
                self.core.record_wakes(self.task.id());
            }
            if main_ended {
                return Turn::MainEnded;
            }
        }
    }

    /// Between batches: ends a shutdown that is complete, otherwise polls the sources.
    #[inline(never)]
    fn between<const LOG: bool>(&mut self) -> Option<Turn> {
        if self.core.stage.get() != Stage::Open {
            if self.core.live() == 0 {
                return Some(Turn::Empty);
            }
            if self.core.grace_over.replace(false) {
                return Some(Turn::GraceOver);
            }
        }
        match &mut self.visit {
            None => self.batch.allow(RunLoop::POLLS),
            Some(visit) => {
                if !visit.allow(&mut self.batch) {
                    return Some(Turn::Paused);
                }
            }
        }
        let idle = LOG && self.record_look();
        if !self.poll_sources() {
            return Some(self.why_not());
        }
        if LOG {
            self.core.record_looked(idle, self.batch.len());
        }
        None
    }

    /// Why the sources were not polled to an end.
    #[cold]
    fn why_not(&self) -> Turn {
        match &self.visit {
            Some(_) => Turn::Paused,
            None if self.time_left() == Some(Duration::ZERO) => Turn::OutOfTime,
            None => Turn::Deadlocked,
        }
    }

    /// Polls plain tasks with the spare waker until one of the cases of [`Halt`] occurs.
    #[inline]
    fn poll_plain<const MARKED: bool, const LOG: bool>(&mut self, main: &mut MainBody<'_>) -> Halt {
        let RunLoop { core, batch, task: last, left, spare, special: always, marker, .. } = self;
        // With a watcher the first poll of a task is special: its name is stored before.
        let special = *always | if MARKED { Flags::NEW } else { 0 };
        let cx = &mut Context::from_waker(&spare.waker);
        loop {
            let Some(index) = batch.pop(&core.ready) else { return Halt::CheckSources };
            if !last.is_in_chunk_of(index) {
                change_chunk(core, last, left, index);
            }
            let (name, cell) = last.neighbour(index);
            let flags = cell.flags.start();
            if flags & special != 0 {
                name_new::<MARKED>(marker, core, last, name, flags);
                let why = flags & *always;
                if why != 0 {
                    last.set_id(name);
                    match poll_nearly_plain::<MARKED, LOG>(core, last, spare, why, main) {
                        None => continue,
                        Some(halt) => return halt,
                    }
                }
            }
            spare.inner.assign(name);
            count_poll::<MARKED>(spare);
            let mut out = TakenBody::of(cell);
            core.running.set(name);
            current::begin_poll(name, cell);
            core.record_begin_if::<LOG>(name);
            let result = out.poll(cx, main);
            let marks = current::end_poll();
            let is_main = out.is_main();
            drop(out);
            if spare.is_out_beside(MARKED.into())
                || cell.flags.any(Flags::ABORT | Flags::CANCEL_REQUESTED)
            {
                last.set_id(name);
                return Halt::Polled(Polled { result, marks });
            }
            match result {
                Poll::Pending => {
                    if cell.flags.stop_or_queue(marks.flags()) {
                        core.ready.borrow_mut().push(name.index());
                    }
                    core.record_poll_if::<LOG>(last, name);
                }
                Poll::Ready(_) if is_main => {
                    last.set_id(name);
                    return Halt::Polled(Polled { result, marks });
                }
                Poll::Ready(verdict) => {
                    core.running.set(TaskId::NONE);
                    last.set_id(name);
                    core.record_poll_if::<LOG>(last, name);
                    core.returned(last, verdict);
                }
            }
            core.record_wakes_if::<LOG>(name);
        }
    }
}
