//! What a kernel knows of its jobs on other threads: those that tasks wait for, and the pools to
//! which the system refuses a thread. A call of another kernel is such a job as well.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;

use crate::core::current;
use crate::core::state::Core;
use crate::core::wake::wake_foreign;
use crate::parts::timers::{Action, TimerKey};
use crate::parts::waiter::LocalWaiter;
use crate::task::waker::{JobId, Message, Remote, ShortPool};

/// How long a kernel waits before it tries again to get a thread for a job.
const RETRY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Unfinished jobs for which a task waits.
    out: RefCell<Slab<Entry>>,
    /// How many of them count.
    counted: Cell<usize>,
    /// The serial of the last one.
    serial: Cell<u32>,
    /// Pools in which jobs wait because the system gives no thread.
    short: RefCell<Vec<&'static dyn ShortPool>>,
    retry: Cell<Option<TimerKey>>,
}

struct Entry {
    serial: u32,
    counts: bool,
    /// Woken by [`CountedJob::answered`].
    waiter: Option<LocalWaiter>,
}

/// Counts an unfinished job as long as a task waits for it. While the job counts, a virtual clock
/// does not jump, and an idle kernel is not in a deadlock (K8). When the job has ended, its thread
/// ends the count as well, because the task may take its value much later.
pub(crate) struct Counted(CountedJob);

/// A job that a kernel counts, for other threads.
#[derive(Clone)]
pub(crate) struct CountedJob {
    /// The mailbox of the kernel.
    remote: Arc<Remote>,
    id: JobId,
}

impl Counted {
    /// Counts a job in this kernel.
    pub(crate) fn new(core: &Core) -> Self {
        Counted::waiting(core, true, None)
    }

    /// Notes a job in this kernel, with what [`answered`](CountedJob::answered) wakes. It only
    /// counts if it `counts`.
    pub(crate) fn waiting(core: &Core, counts: bool, waiter: Option<LocalWaiter>) -> Self {
        let jobs = &core.jobs;
        let serial = jobs.serial.get().wrapping_add(1);
        jobs.serial.set(serial);
        jobs.counted.set(jobs.counted.get() + usize::from(counts));
        let place = jobs.out.borrow_mut().insert(Entry { serial, counts, waiter });
        let place = u32::try_from(place).expect("fewer than 2^32 jobs");
        Counted(CountedJob { remote: core.remote().clone(), id: JobId { place, serial } })
    }

    /// Counts a job in the kernel of this thread, if one polls a task.
    pub(crate) fn here() -> Option<Self> {
        let counted = current::try_with(|core| core.running_id().map(|_| Counted::new(core)));
        counted.flatten()
    }

    /// Whether the kernel of this thread counts the job.
    pub(crate) fn is_here(&self) -> bool {
        current::try_with(|core| self.0.is_of(core) && core.jobs.has(self.0.id)) == Some(true)
    }

    /// Replaces what waits for the job by the waker of `cx`. False: it is not noted in this kernel.
    pub(crate) fn retarget(&self, core: &Core, cx: &Context<'_>) -> bool {
        if !self.0.is_of(core) {
            return false;
        }
        let waiter = Some(LocalWaiter::of(cx));
        let mut out = core.jobs.out.borrow_mut();
        let Some(entry) = entry(&mut out, self.0.id) else { return false };
        let old = std::mem::replace(&mut entry.waiter, waiter);
        drop(out);
        drop(old);
        true
    }

    pub(crate) fn job(&self) -> CountedJob {
        self.0.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.end_count();
    }
}

fn entry(out: &mut Slab<Entry>, id: JobId) -> Option<&mut Entry> {
    out.get_mut(id.place as usize).filter(|entry| entry.serial == id.serial)
}

impl CountedJob {
    /// A job for a model of loom, which has a mailbox and no kernel.
    #[cfg(all(test, loom))]
    pub(crate) fn of_model(remote: Arc<Remote>, place: u32) -> Self {
        CountedJob { remote, id: JobId { place, serial: 0 } }
    }

    fn is_of(&self, core: &Core) -> bool {
        Arc::ptr_eq(&self.remote, core.remote())
    }

    /// The job has ended. The kernel wakes the task in the same step in which it ends the count:
    /// from then on a virtual clock may jump.
    pub(crate) fn ended(&self, waker: Waker) {
        drop(self.remote.post(Message::JobDone(self.id, Some(waker))));
    }

    /// The same for a job whose kernel has what waits for it.
    pub(crate) fn answered(&self) {
        drop(self.remote.post(Message::Answered(self.id)));
    }

    /// No task waits for the job any more.
    pub(crate) fn end_count(&self) {
        let ended = current::try_with(|core| self.is_of(core).then(|| core.jobs.end(self.id)));
        match ended.flatten() {
            // Dropped here, because the drop of a foreign waker may enter another kernel.
            Some(waiter) => drop(waiter),
            None => drop(self.remote.post(Message::JobDone(self.id, None))),
        }
    }

    /// The system gives this pool no thread, and the job waits there.
    pub(crate) fn no_thread(&self, pool: &'static dyn ShortPool) {
        drop(self.remote.post(Message::NoThread(pool)));
    }
}

impl Jobs {
    /// The number of unfinished jobs for which a task waits.
    pub(crate) fn out(&self) -> usize {
        self.counted.get()
    }

    fn has(&self, id: JobId) -> bool {
        entry(&mut self.out.borrow_mut(), id).is_some()
    }

    /// Ends a job, unless it has ended before. Returns what waits for it.
    fn end(&self, id: JobId) -> Option<LocalWaiter> {
        let mut out = self.out.borrow_mut();
        entry(&mut out, id)?;
        let ended = out.remove(id.place as usize);
        self.counted.set(self.counted.get() - usize::from(ended.counts));
        ended.waiter
    }
}

impl Core {
    /// A job has ended, or no task waits for it any more.
    pub(crate) fn job_done(&self, job: JobId, waker: Option<Waker>) {
        self.discard(self.jobs.end(job));
        waker.into_iter().for_each(wake_foreign);
    }

    /// The kernel ends: forgets what waits for the jobs that are left.
    pub(crate) fn clear_jobs(&self) {
        let left = self.jobs.out.take();
        self.discard(left);
    }

    /// A job has ended whose waiter is noted here.
    pub(crate) fn answered(&self, job: JobId) {
        let waiter = self.jobs.end(job);
        waiter.into_iter().for_each(|waiter| self.wake_waiter(waiter));
    }

    /// Tries again after [`RETRY`] to get a thread for a pool.
    #[cold]
    pub(crate) fn wait_for_thread(&self, pool: &'static dyn ShortPool) {
        let mut short = self.jobs.short.borrow_mut();
        if !short.iter().any(|known| std::ptr::addr_eq(*known, pool)) {
            short.push(pool);
        }
        // On a virtual clock, the idle kernel waits in real time (`thread_patience`).
        if !self.clock.is_virtual() && self.jobs.retry.get().is_none() {
            let deadline = self.clock.after(RETRY);
            self.jobs.retry.set(Some(self.arm(deadline, Action::Threads)));
        }
    }

    /// How long a kernel on a virtual clock waits for its jobs before it tries again to get a
    /// thread. None if all jobs have one, or another thread can take them.
    pub(crate) fn thread_patience(&self) -> Option<Duration> {
        (!self.jobs.short.borrow().is_empty()).then_some(RETRY)
    }

    /// Tries again to get threads for the pools that have none.
    #[cold]
    pub(crate) fn try_threads(&self) {
        self.forget_threads();
        let short = self.jobs.short.take();
        for pool in short {
            if pool.try_again() {
                self.wait_for_thread(pool);
            }
        }
    }

    /// Disarms the timer of the next attempt.
    pub(crate) fn forget_threads(&self) {
        if let Some(timer) = self.jobs.retry.take() {
            self.disarm(timer);
        }
    }
}
