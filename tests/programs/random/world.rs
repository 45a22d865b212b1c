//! What the tasks of one program share: the log, the faults, the primitives, the tasks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use kernel::{Task, TaskId};
use sync::{Condition, Event, Lock, Queue, Semaphore};

use super::budget::{Budget, Turns};
use super::busy::Always;
use super::flood::Mail;
use super::gate::{Flag, Turnstile};
use super::held::Copies;
use super::leaf::LeafState;
use super::model::{Ended, Fault, GroupModel, Stage, Sure, TaskModel};
use super::program::{Ms, Pick};

pub(crate) const LOCKS: usize = 2;
pub(crate) const SEMAPHORES: usize = 2;
pub(crate) const EVENTS: usize = 3;
pub(crate) const QUEUES: usize = 2;
pub(crate) const PERMITS: usize = 2;

/// More polls than any program needs.
const ENDLESS: u64 = 1_000_000;

/// A lock or a semaphore with its model.
pub(crate) struct Guarded<T> {
    pub(crate) real: T,
    pub(crate) model: Rc<Turnstile>,
}

/// A queue, and the items that went in and came out.
pub(crate) struct Counted {
    pub(crate) real: Queue<u64>,
    pub(crate) put: RefCell<BTreeSet<u64>>,
    pub(crate) got: RefCell<BTreeSet<u64>>,
}

pub(crate) struct World {
    pub(crate) began: Cell<Option<Instant>>,
    seq: Cell<u64>,
    log: RefCell<Vec<String>>,
    pub(crate) faults: RefCell<Vec<String>>,
    pub(crate) tasks: RefCell<Vec<Rc<TaskModel>>>,
    pub(crate) groups: RefCell<Vec<Rc<GroupModel>>>,
    pub(crate) leaves: RefCell<Vec<Rc<LeafState>>>,
    pub(crate) locks: Vec<Guarded<Lock<()>>>,
    pub(crate) semaphores: Vec<Guarded<Semaphore>>,
    pub(crate) events: Vec<(Event, Rc<Flag>)>,
    pub(crate) queues: Vec<Counted>,
    pub(crate) always: Always,
    pub(crate) budget: Budget,
    pub(crate) turns: Turns,
    pub(crate) mail: Mail,
    pub(crate) copies: Copies,
    /// See [`Program`](super::program::Program).
    pub(crate) plain: Cell<bool>,
    /// Bytes that were in use when all tasks had ended and nothing held them.
    pub(crate) kept: Cell<usize>,
    own_waker: Cell<*const ()>,
    /// The task in a condition's lock.
    pub(crate) condition: (Lock<()>, Condition),
    pub(crate) inside: Cell<Option<usize>>,
    pub(crate) running: Cell<usize>,
    /// Some task is being polled.
    pub(crate) polling: Cell<bool>,
    pub(crate) main_ended: Cell<bool>,
    /// The tasks that were alive when the kernel reported a deadlock.
    pub(crate) stuck: RefCell<Vec<(usize, TaskId)>>,
}

thread_local! {
    /// The world of the program that this thread runs, for code that cannot hold it.
    static HERE: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// Runs `f` with the world of the program that this thread runs.
pub(crate) fn here<R>(f: impl FnOnce(&World) -> R) -> R {
    let world = HERE.with(|here| here.borrow().clone());
    f(&world.expect("C11: it is polled and dropped on the thread of its kernel"))
}

/// While this is alive, its world is that of the program that this thread runs.
pub(crate) struct Here;

impl Here {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        HERE.with(|here| here.replace(Some(world.clone())));
        Here
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let world = HERE.with(RefCell::take);
        drop(world);
    }
}

impl World {
    pub(crate) fn new() -> Rc<Self> {
        let queue = |real| Counted { real, put: RefCell::default(), got: RefCell::default() };
        Rc::new(World {
            began: Cell::new(None),
            seq: Cell::new(0),
            log: RefCell::default(),
            faults: RefCell::default(),
            tasks: RefCell::default(),
            groups: RefCell::default(),
            leaves: RefCell::default(),
            locks: (0..LOCKS)
                .map(|_| Guarded { real: Lock::new(()), model: Turnstile::new(1) })
                .collect(),
            semaphores: (0..SEMAPHORES)
                .map(|_| Guarded { real: Semaphore::new(PERMITS), model: Turnstile::new(PERMITS) })
                .collect(),
            events: (0..EVENTS).map(|_| (Event::new(), Flag::new())).collect(),
            queues: vec![queue(Queue::bounded(1)), queue(Queue::unbounded())],
            always: Always::new(),
            budget: Budget::default(),
            turns: Turns::default(),
            mail: Mail::default(),
            copies: Copies::default(),
            plain: Cell::new(false),
            kept: Cell::new(0),
            own_waker: Cell::new(std::ptr::null()),
            condition: (Lock::new(()), Condition::new()),
            inside: Cell::new(None),
            running: Cell::new(0),
            polling: Cell::new(false),
            main_ended: Cell::new(false),
            stuck: RefCell::default(),
        })
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        let next = self.seq.get() + 1;
        self.seq.set(next);
        if next == ENDLESS {
            self.fault("the program does not end");
        }
        next
    }

    pub(crate) fn is_endless(&self) -> bool {
        self.seq.get() > ENDLESS
    }

    pub(crate) fn now(&self) -> Ms {
        match self.began.get() {
            Some(began) => kernel::now().duration_since(began).as_millis() as Ms,
            None => 0,
        }
    }

    pub(crate) fn instant(&self, at: Ms) -> Instant {
        let began = self.began.get().expect("the program has begun");
        began + Duration::from_millis(at)
    }

    /// A line of the trace. Also from destructors, which run outside the kernel too.
    pub(crate) fn say(&self, text: &str) {
        self.log.borrow_mut().push(format!("{:4}  {text}", self.seq.get()));
    }

    pub(crate) fn fault(&self, text: &str) {
        self.say(&format!("FAULT {text}"));
        self.faults.borrow_mut().push(text.to_owned());
    }

    pub(crate) fn check(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fault(&text());
        }
    }

    pub(crate) fn trace(&self) -> String {
        self.log.borrow().join("\n")
    }

    pub(crate) fn living(&self) -> Vec<Rc<TaskModel>> {
        self.tasks.borrow().iter().filter(|task| task.live.get()).cloned().collect()
    }

    /// A task of the program is polled: it has a new budget, and has not waited too long.
    pub(crate) fn begins_turn(&self, task: &TaskModel, waker: &Waker) {
        self.running.set(task.number);
        self.own_waker.set(waker.data());
        self.budget.renew();
        self.turns.poll();
        task.goes_again.set(false);
        task.out_woken.set(false);
        if let Some(since) = task.queued.take() {
            let late = self.turns.had(task, &since, &self.tasks.borrow());
            late.unwrap_or_else(|fault| self.fault(&fault));
        }
        if let Some(since) = task.woken.take() {
            let late = self.turns.had_in_time(task, since, self.tasks.borrow().len());
            late.unwrap_or_else(|fault| self.fault(&fault));
        }
    }

    /// Whether that is the waker of the running task.
    pub(crate) fn is_own_waker(&self, waker: &Waker) -> bool {
        std::ptr::eq(self.own_waker.get(), waker.data())
    }

    /// The poll is over, and the task has not ended.
    pub(crate) fn ends_turn(&self, task: &TaskModel) {
        if task.goes_again.get() {
            task.queued.replace(Some(self.turns.queued(&self.tasks.borrow())));
        }
    }

    /// Checks whether the running task is cancelled, and whether it should be (G2).
    pub(crate) fn observe(&self, task: &TaskModel) {
        let cancelled = kernel::current_task().cancelled;
        if cancelled && task.cancelled_at.get() == 0 {
            task.cancelled_at.set(self.next());
        }
        self.check(cancelled || task.cancelled_at.get() == 0, || {
            format!("C3: the request to cancel {} is lost", task.name())
        });
        let failing = task.group.as_ref().filter(|group| group.failing.get() == Sure::Yes);
        self.check(cancelled || failing.is_none(), || {
            format!("G2: a sibling of {} has failed, and it was not cancelled", task.name())
        });
    }

    /// A step requests the cancellation of a task. Its group may have done so, unseen, before.
    pub(crate) fn asks(&self, task: &TaskModel) {
        let unseen = || {
            let tasks = kernel::tasks();
            tasks.iter().any(|info| Some(info.id) == task.id.get() && info.cancelled)
        };
        if task.live.get() && task.cancelled_at.get() == 0 {
            task.requested.set(!unseen());
            task.cancelled_at.set(self.next());
        }
    }

    /// The task that a step refers to. Never main, which has no handle.
    pub(crate) fn pick(&self, running: &Rc<TaskModel>, pick: Pick) -> Option<Rc<TaskModel>> {
        let tasks = self.tasks.borrow();
        let picked = match pick {
            Pick::Running => Some(running.clone()),
            Pick::Parent => running.parent.clone(),
            Pick::Newest => tasks.last().cloned(),
            Pick::Any(n) => tasks.get(n % tasks.len()).cloned(),
        };
        picked.filter(|task| task.number != 0)
    }

    /// After a future was dropped in a running task: the tasks that it owned are gone (G4).
    pub(crate) fn check_dropped(&self) {
        for group in self.groups.borrow().iter() {
            if group.stage.get() != Stage::Dropped {
                continue;
            }
            for member in group.living() {
                self.check(member.number == self.running.get(), || {
                    format!("G4: {} outlives the dropped group {}", member.name(), group.number)
                });
            }
        }
    }

    /// How many bytes a future holds that is to hold so many.
    pub(crate) fn size(&self, size: usize) -> usize {
        if self.plain.get() { 0 } else { size }
    }

    /// Drops the handles of the tasks, all of which have ended as the model says.
    pub(crate) fn let_go(&self) {
        let tasks = self.tasks.borrow().clone();
        for task in tasks {
            let Some(handle) = task.handle.take() else { continue };
            let end = handle.end();
            self.check(end.is_some_and(|end| task.allows(end)), || {
                let ended = task.ended.get();
                format!("C6: {} ended in {ended:?}, and is shown as {end:?}", task.name())
            });
        }
    }

    /// Checks what must hold when the kernel is gone.
    pub(crate) fn check_end(&self) {
        self.let_go();
        for task in self.tasks.borrow().iter() {
            self.check(!task.live.get(), || format!("K5: {} outlives the kernel", task.name()));
        }
        for lock in &self.locks {
            self.check(!lock.real.is_held(), || "Y3: a lock stays held".to_owned());
        }
        for semaphore in &self.semaphores {
            let left = semaphore.real.available();
            self.check(left == PERMITS, || format!("Y3: {left} permits of {PERMITS} are left"));
        }
        self.always.check_end(self);
        self.mail.check_end(self);
        self.check(!self.condition.0.is_held(), || "Y3: the condition's lock".to_owned());
        for queue in &self.queues {
            while let Some(item) = queue.real.try_get() {
                self.got(queue, item);
            }
            let same = *queue.put.borrow() == *queue.got.borrow();
            self.check(same, || "C1, Y3: an item of a queue is lost".to_owned());
        }
    }

    pub(crate) fn got(&self, queue: &Counted, item: u64) {
        let known = queue.put.borrow().contains(&item);
        let fresh = queue.got.borrow_mut().insert(item);
        self.check(known && fresh, || format!("Y3: got item {item}, put {known}, new {fresh}"));
    }

    /// The future of a task has ended.
    pub(crate) fn ended(&self, task: &TaskModel, how: Ended) {
        if !task.live.get() {
            return;
        }
        // The kernel reported a deadlock, and now drops all tasks.
        let given_up = std::thread::panicking() && !self.polling.get() && how == Ended::Dropped;
        if given_up && self.stuck.borrow().is_empty() {
            let named = |task: &Rc<TaskModel>| task.id.get().map(|id| (task.number, id));
            self.stuck.replace(self.living().iter().filter_map(named).collect());
        }
        task.live.set(false);
        let seq = self.next();
        task.ended.set(Some(how));
        task.ended_at.set(seq);
        task.to_group.set(task.joining.get() == 0);
        self.say(&format!("{} ended: {how:?}", task.name()));
        if let Some(group) = &task.group {
            group.member_ended(task, how, seq);
        }
    }

    /// At the end, because the model is full of reference cycles.
    pub(crate) fn clear(&self) {
        for task in self.tasks.borrow_mut().drain(..) {
            task.handle.take();
            task.root.take();
        }
        for group in self.groups.borrow_mut().drain(..) {
            group.members.take();
        }
        self.leaves.take();
        self.mail.clear();
    }

    pub(crate) fn keep(&self, task: &TaskModel, handle: Task<usize, Fault>) {
        task.id.set(Some(handle.id()));
        *task.handle.borrow_mut() = Some(Rc::new(handle));
    }
}
