//! The state of a kernel, and the small operations on it from which the rest is built.
//!
//! Each part of the state is in its own cell, which is borrowed for a few lines at a time. The
//! kernel keeps six invariants:
//!
//! 1. *no user code under a kernel borrow*: no poll, drop, wake or clone of a value of a program
//!    happens while one of these cells or the context of the thread (`current.rs`) is borrowed.
//!    The body of a task and its waker are moved out of their cells for the time of a poll;
//! 2. *queued at most once*, in the ready queue or the current batch: `Flags::QUEUED`;
//! 3. *only tick runs tasks*: waking puts a task on the ready queue and nothing more;
//! 4. *ids never lie*: see `id.rs`;
//! 5. *announce sleep, look once more, then sleep*: see `parts/mailbox`;
//! 6. *a closed group is empty*: see `group/state.rs`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;
use std::time::Instant;

use crate::core::abandoned;
use crate::core::cancel_seq::CancelSeq;
use crate::core::current;
use crate::core::jobs::Jobs;
use crate::core::owner::Owners;
use crate::core::polled::PolledWait;
use crate::core::queue::WaitQueue;
use crate::core::recorded::Recorder;
pub(crate) use crate::core::settings::Settings;
use crate::core::unopened::Unopened;
use crate::core::watched::Watched;
use crate::error::Kept;
use crate::id::TaskId;
use crate::parts::clock::Clock;
use crate::parts::reactor::Reactor;
use crate::parts::ready::ReadyQueue;
use crate::parts::scopes::{Record, Scopes};
use crate::parts::timers::{Action, TimerKey, Timers};
use crate::parts::values::Values;
use crate::task::body::Body;
use crate::task::cell::OwnWaker;
use crate::task::chunk;
use crate::task::mark::Mark;
use crate::task::state::Flags;
use crate::task::waker::{Post, Remote};
use crate::task::{table, waiter};

/// A task of a kernel.
pub(crate) type TaskRef = chunk::TaskRef<Core>;

/// Neighbouring cells of a kernel's tasks.
pub(crate) type Chunk = chunk::Chunk<Core>;

/// The tasks of a kernel.
pub(crate) type Table = table::Table<Core>;

/// What a wait queue wakes: a task, or a foreign waker.
pub(crate) type Waiter = waiter::Waiter<Core>;

/// The stages in the life of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Tasks run.
    Open,
    /// Every task was cancelled. A new task is cancelled when it is spawned.
    Shutdown,
    /// The remaining tasks are dropped. A new task is dropped when it is spawned.
    Closed,
}

/// The parts of a kernel that a registered source keeps, also on another thread.
pub(crate) struct Home {
    pub(crate) remote: Arc<Remote>,
    /// The registry of the poll. A source must be deregistered from it even after the kernel is
    /// closed. Otherwise the source refuses to be registered again.
    pub(crate) registry: Arc<mio::Registry>,
}

/// A body to drop, and the values that its destructors see.
pub(crate) type PendingDrop = (Pin<Box<dyn Body>>, Option<Rc<Values>>);

/// The state of a kernel.
pub(crate) struct Core {
    /// Distinguishes the kernels of this process.
    pub(crate) number: u32,
    pub(crate) tasks: RefCell<Table>,
    /// The number of tasks that have ended.
    pub(crate) ended: Cell<u64>,
    /// The task that is being polled, or `TaskId::NONE`. Between the polls of plain tasks it may
    /// still be the task that parked last; only kernel code that does not read it runs there
    /// (`run/tick.rs`).
    pub(crate) running: Cell<TaskId>,
    /// While a hosted task is being polled, the task of the run loop that polls it.
    pub(crate) polled_root: Cell<TaskId>,
    /// Wakers for the polls of hosted tasks (`core/hosted.rs`).
    pub(crate) spare_wakers: RefCell<Vec<OwnWaker>>,
    pub(crate) ready: RefCell<ReadyQueue>,
    /// Changes whenever a copy of the ambient may become stale.
    pub(crate) ambient_version: Cell<u64>,
    pub(super) cancel_seq: CancelSeq,
    /// A cancellation of which the program has no copy. The memory of the next one.
    pub(crate) spare: Kept,
    pub(crate) scopes: RefCell<Scopes>,
    /// The scopes that are being polled and were not open when that began (`unopened.rs`).
    pub(super) unopened: RefCell<Vec<Unopened>>,
    /// The groups.
    pub(crate) owners: RefCell<Owners>,
    pub(crate) names: RefCell<HashMap<u32, Cow<'static, str>>>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) clock: Clock,
    tick_now: Cell<u64>,
    reactor: RefCell<Option<Reactor>>,
    /// The value that every registration of this kernel keeps. Made for the first registration.
    home: RefCell<Option<Arc<Home>>>,
    remote: Arc<Remote>,
    /// Messages that were taken from the mailbox and are not handled yet.
    pub(crate) post: RefCell<Post>,
    /// Whether `post` contains messages.
    pub(crate) post_left: Cell<bool>,
    /// Set by `set_stage`.
    pub(crate) stage: Cell<Stage>,
    /// The values of the code that runs (`core/inherit.rs`).
    pub(crate) values: RefCell<Option<Rc<Values>>>,
    /// The stage is `Open`, there are no values, and no observer.
    pub(crate) spawns_plain: Cell<bool>,
    pub(crate) jobs: Jobs,
    /// What the poll functions of a stream note for the leaf around them, if there is one.
    pub(crate) polled: RefCell<Option<Vec<Arc<dyn PolledWait>>>>,
    /// Tasks that serve a thread (`threads/`).
    pub(crate) thread_tasks: Cell<usize>,
    /// Threads for which no task waits any more.
    pub(crate) abandoned: RefCell<Vec<abandoned::Entry>>,
    /// The tasks that wait until no task can run (`testing::settle`).
    pub(crate) settlers: WaitQueue,
    /// Bodies to drop. They are dropped one after the other and not inside one another, so that
    /// nested groups do not overflow the stack (G4).
    pub(crate) pending_drops: RefCell<Vec<PendingDrop>>,
    pub(crate) dropping: Cell<bool>,
    /// Tasks that may have to be reported, by the time when they are checked.
    pub(crate) watched: RefCell<VecDeque<Watched>>,
    /// How often the kernel was idle since memory of ended tasks was released; 0 if nothing more is
    /// to be released (`run/trim.rs`).
    pub(crate) idle_since_burst: Cell<u32>,
    /// How often the sources were polled with tasks ready while there was memory to release.
    pub(crate) busy_looks: Cell<u32>,
    pub(crate) grace_over: Cell<bool>,
    /// Another loop turns this kernel, so code of a program runs between the polls of its tasks.
    pub(crate) is_guest: Cell<bool>,
    /// The number of the next `select!`, from the seed on.
    turn: Cell<u32>,
    /// How often the run loop has checked the sources.
    pub(crate) turns: Cell<u64>,
    /// Whether the current hang was reported.
    pub(crate) hang_reported: Cell<bool>,
    pub(crate) report_due: Cell<bool>,
    pub(crate) report_timer: Cell<Option<TimerKey>>,
    /// Of a kernel with a watcher.
    pub(crate) mark: Option<Arc<Mark>>,
    pub(super) recorder: Option<Box<Recorder>>,
    pub(crate) settings: Settings,
}

impl Core {
    /// The number of operations that may complete in one poll of a task before it yields (K2).
    pub(crate) const BUDGET: i32 = 128;

    pub(crate) fn new(settings: Settings) -> io::Result<Rc<Self>> {
        let (reactor, poll_waker) = Reactor::new(settings.spin)?;
        let remote = Arc::new(Remote::new(poll_waker));
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let core = Rc::new(Core {
            number,
            tasks: RefCell::new(Table::new()),
            ended: Cell::new(0),
            running: Cell::new(TaskId::NONE),
            polled_root: Cell::new(TaskId::NONE),
            spare_wakers: RefCell::default(),
            ready: RefCell::new(ReadyQueue::new(settings.order())),
            ambient_version: Cell::new(0),
            cancel_seq: CancelSeq::new(number),
            spare: Kept::default(),
            scopes: RefCell::default(),
            unopened: RefCell::default(),
            owners: RefCell::default(),
            names: RefCell::default(),
            timers: RefCell::new(Timers::new()),
            clock: Clock::new(settings.virtual_clock),
            tick_now: Cell::new(0),
            reactor: RefCell::new(Some(reactor)),
            home: RefCell::default(),
            remote,
            post: RefCell::default(),
            post_left: Cell::new(false),
            stage: Cell::new(Stage::Open),
            values: RefCell::default(),
            spawns_plain: Cell::new(!settings.marks_tasks()),
            recorder: Recorder::of(&settings),
            jobs: Jobs::default(),
            polled: RefCell::default(),
            thread_tasks: Cell::new(0),
            abandoned: RefCell::default(),
            settlers: WaitQueue::new(),
            pending_drops: RefCell::default(),
            dropping: Cell::new(false),
            watched: RefCell::default(),
            idle_since_burst: Cell::new(0),
            busy_looks: Cell::new(0),
            grace_over: Cell::new(false),
            turns: Cell::new(0),
            turn: Cell::new(settings.seed.unwrap_or(0) as u32),
            is_guest: Cell::new(false),
            hang_reported: Cell::new(false),
            report_due: Cell::new(false),
            report_timer: Cell::new(None),
            mark: settings.watcher.as_ref().map(|_| Arc::default()),
            settings,
        });
        core.enlist();
        Ok(core)
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// Where the next `select!` begins.
    pub(crate) fn next_turn(&self) -> u32 {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// The number of tasks that have not ended.
    pub(crate) fn live(&self) -> usize {
        let live = self.tasks.borrow().spawned() - self.ended.get();
        usize::try_from(live).expect("tasks that live are in memory")
    }

    /// The task with that id, unless its slot was freed.
    pub(crate) fn find(&self, task: TaskId) -> Option<TaskRef> {
        self.tasks.borrow().get(task)
    }

    /// Runs kernel code with the task of this kernel that is being polled, if there is one. The
    /// context of the thread refers to the same task, because code that sets `running` also sets
    /// the chunk and the id in the context.
    pub(crate) fn with_running<R>(&self, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
        if self.running.get() == TaskId::NONE { None } else { current::with_polled_task(f) }
    }

    pub(crate) fn running_id(&self) -> Option<TaskId> {
        self.running.get().as_option()
    }

    /// Makes a task ready. Does nothing if it has ended or is already queued.
    pub(crate) fn wake(&self, task: TaskId) {
        self.wake_in(&self.tasks.borrow(), task);
    }

    /// `wake` for a caller that has borrowed the table.
    #[inline]
    pub(crate) fn wake_in(&self, tasks: &Table, task: TaskId) {
        if tasks.flags(task).is_some_and(Flags::queue) {
            self.ready.borrow_mut().push(task.index());
        }
    }

    #[inline]
    pub(crate) fn make_ready(&self, cell: &TaskRef) {
        if cell.flags.queue() {
            self.ready.borrow_mut().push(cell.index());
        }
    }

    /// The time when the clock was last read for the run loop. It is slightly old, because the
    /// clock is not read for each poll of a task.
    pub(crate) fn tick_now(&self) -> u64 {
        self.tick_now.get()
    }

    pub(crate) fn read_clock(&self) -> u64 {
        let now = self.clock.now();
        self.tick_now.set(now);
        now
    }

    pub(crate) fn now(&self) -> Instant {
        let now = self.clock.instant(self.clock.now());
        now.expect("a clock that has come so far has an instant")
    }

    #[inline]
    pub(crate) fn arm(&self, deadline: u64, action: Action) -> TimerKey {
        self.timers.borrow_mut().arm(deadline, action)
    }

    #[inline]
    pub(crate) fn arm_for_task(&self, deadline: u64, task: &TaskRef) -> TimerKey {
        self.timers.borrow_mut().arm(deadline, Action::Wake(task.id()))
    }

    #[inline]
    pub(crate) fn disarm(&self, key: TimerKey) {
        let waker = self.timers.borrow_mut().disarm(key);
        drop(waker);
    }

    /// Runs kernel code with the reactor. None once the kernel is closed.
    pub(crate) fn with_reactor<R>(&self, f: impl FnOnce(&mut Reactor) -> R) -> Option<R> {
        self.reactor.borrow_mut().as_mut().map(f)
    }

    /// The value that a registration keeps. None once the kernel is closed.
    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        let mut home = self.home.borrow_mut();
        if home.is_none() {
            let registry = self.remote.registry()?;
            *home = Some(Arc::new(Home { remote: self.remote.clone(), registry }));
        }
        home.clone()
    }

    /// Closes the poll and its descriptors.
    pub(crate) fn close_reactor(&self) {
        let reactor = self.reactor.borrow_mut().take();
        let home = self.home.take();
        drop((reactor, home));
    }

    pub(crate) fn put_record(&self, record: Record) -> u32 {
        let cell = self.find(record.task);
        let mut scopes = self.scopes.borrow_mut();
        let key = u32::try_from(scopes.records.insert(record)).expect("fewer than 2^32 leaves");
        if let Some(cell) = cell {
            scopes.park(key, &cell.heads());
        }
        key
    }

    /// Removes a record. The caller drops it, and its waker, outside any borrow.
    pub(crate) fn take_record(&self, key: u32) -> Record {
        let mut scopes = self.scopes.borrow_mut();
        let cell = self.find(scopes.records[key as usize].task);
        scopes.unpark(key, cell.as_ref().map(TaskRef::heads).as_ref());
        scopes.records.remove(key as usize)
    }

    /// Whether a record still has the scope and the waker with which its leaf is polled.
    pub(crate) fn record_fits(
        &self,
        key: u32,
        task: TaskId,
        scope: u32,
        own: bool,
        waker: &Waker,
    ) -> bool {
        let scopes = self.scopes.borrow();
        let record = &scopes.records[key as usize];
        record.task == task
            && record.scope == scope
            && match &record.waker {
                None => own,
                Some(kept) => !own && kept.will_wake(waker),
            }
    }
}
