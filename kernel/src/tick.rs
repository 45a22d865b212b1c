//! One turn of the kernel: pop a ready task, poll it, see what became of it.
//!
//! Only [`Core::turn`] runs tasks (invariant *only tick runs tasks*); everything else makes them
//! ready. Every [`Core::POLLS`] polls, and whenever nobody is ready, it looks at the mailbox, the
//! timers and the reactor, in `idle.rs`.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::body::Verdict;
use crate::cancel::Ambient;
use crate::cell::{OwnWaker, Phase, TaskCell};
use crate::core::{Core, Stage};
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

/// Polls the future of `run`, which lives on the stack of its caller; true when it has ended.
pub(crate) type PollMain<'a> = dyn FnMut(&mut Context<'_>) -> bool + 'a;

impl Core {
    /// Polls between two looks at mailbox, timers and reactor (K2).
    pub(crate) const POLLS: u32 = 64;

    /// Runs tasks until there is something that only the caller can do.
    pub(crate) fn turn(self: &Rc<Self>, main: &mut PollMain<'_>) -> Turn {
        loop {
            let left = self.polls_left.get();
            let next = if left == 0 { None } else { self.ready.borrow_mut().pop() };
            let Some(cell) = next else {
                if let Some(turn) = self.between() {
                    return turn;
                }
                continue;
            };
            self.polls_left.set(left - 1);
            cell.queued.set(false);
            if cell.is_ended() {
                self.release(&cell);
            } else if cell.main.get() {
                if self.poll_main(cell, main) {
                    return Turn::MainEnded;
                }
            } else {
                self.poll_task(cell);
            }
        }
    }

    /// Nobody is ready, or it is time to look elsewhere.
    #[inline(never)]
    fn between(self: &Rc<Self>) -> Option<Turn> {
        if self.stage.get() != Stage::Open {
            if self.tasks.borrow().live() == 0 {
                return Some(Turn::Empty);
            }
            if self.grace_over.replace(false) {
                return Some(Turn::GraceOver);
            }
        }
        self.polls_left.set(Core::POLLS);
        self.look();
        None
    }

    fn poll_task(&self, cell: Rc<TaskCell>) {
        let (polled, cell) = self.run(cell, |cell, cx| {
            let mut body = cell.body.borrow_mut();
            body.as_mut().expect("a task that has not ended has a body").as_mut().poll(cx)
        });
        match polled {
            Poll::Ready(Verdict::Ok) => self.returned(&cell, None),
            Poll::Ready(Verdict::Err(echo)) => self.returned(&cell, Some(echo)),
            Poll::Pending => self.parked(&cell),
        }
    }

    fn poll_main(&self, cell: Rc<TaskCell>, main: &mut PollMain<'_>) -> bool {
        let (ended, cell) = self.run(cell, |_, cx| main(cx));
        if !ended {
            self.parked(&cell);
        }
        ended
    }

    /// Polls as the running task. A panic leaves the task running, for `Kernel` to find.
    #[inline]
    fn run<R>(
        &self,
        cell: Rc<TaskCell>,
        poll: impl FnOnce(&TaskCell, &mut Context<'_>) -> R,
    ) -> (R, Rc<TaskCell>) {
        let started = self.stopwatch();
        *self.running.borrow_mut() = Some(cell);
        let polled = {
            let running = self.running.borrow();
            let cell = running.as_deref().expect("it was put there just now");
            self.poll_in(cell, |cx| poll(cell, cx))
        };
        let cell = self.stop_running().expect("it was put there just now");
        if let Some(started) = started {
            self.check_length(&cell, started);
        }
        (polled, cell)
    }

    /// Polls with the task's waker, or the spare one, as the running task `cell`.
    #[inline]
    fn poll_in<R>(&self, cell: &TaskCell, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        cell.phase.set(Phase::Running);
        cell.cycles.set(cell.cycles.get().wrapping_add(1));
        self.budget.set(Core::BUDGET);
        self.ambient.set(Ambient {
            scope: NONE,
            stamp: cell.root.stamp.get(),
            pending: cell.root.pending.get(),
        });
        let rare = cell.rare.borrow();
        match rare.as_ref().and_then(|rare| rare.waker.as_ref()) {
            Some(own) => self.poll_with(&own.waker, poll),
            None => {
                let spare = self.spare.borrow();
                spare.inner.assign(cell.id());
                self.poll_with(&spare.waker, poll)
            }
        }
    }

    fn poll_with<R>(&self, waker: &Waker, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.set_polling(waker);
        poll(&mut Context::from_waker(waker))
    }

    /// Nobody runs any more.
    #[inline]
    pub(crate) fn stop_running(&self) -> Option<Rc<TaskCell>> {
        let cell = self.running.borrow_mut().take()?;
        self.ambient.set(Ambient::CLEAR);
        if self.spare.borrow().is_out() {
            self.give_spare(&cell);
        }
        Some(cell)
    }

    /// The spare waker was cloned: it is this task's from now on.
    #[cold]
    fn give_spare(&self, cell: &TaskCell) {
        let fresh = OwnWaker::new(std::sync::Arc::new(TaskWaker::new(self.remote().clone())));
        let kept = self.spare.replace(fresh);
        cell.rare.borrow_mut().get_or_insert_default().waker = Some(kept);
    }

    /// A task was polled and is not through.
    #[inline]
    fn parked(&self, cell: &Rc<TaskCell>) {
        cell.phase.set(Phase::Parked);
        if cell.abort_asked.get() {
            self.abort(cell);
        } else if cell.root.pending.get() && !cell.queued.get() && self.has_no_leaf(cell) {
            self.watch_foreign(cell);
        }
    }

    /// It was cancelled and parked where nothing of ours reaches it: if it is still there in a
    /// second, somebody should know (C9).
    pub(crate) fn watch_foreign(&self, cell: &TaskCell) {
        if cell.foreign.replace(true) {
            return;
        }
        let second = Duration::from_secs(1).as_nanos() as u64;
        let due = self.clock.now().saturating_add(second);
        self.foreign.borrow_mut().push_back((due, cell.id()));
    }

    /// When a poll begins, if anybody wants to know how long it takes.
    fn stopwatch(&self) -> Option<Instant> {
        self.settings.long_poll.map(|_| Instant::now())
    }

    #[cold]
    fn check_length(&self, cell: &TaskCell, started: Instant) {
        let took = started.elapsed();
        if self.settings.long_poll.is_some_and(|limit| took > limit) {
            self.report(&Report::LongPoll { task: &self.info(cell), took });
        }
    }
}
