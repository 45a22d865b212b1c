//! What a kernel knows of its jobs on other threads: those that tasks wait for, and the pools to
//! which the system refuses a thread.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::core::current;
use crate::core::state::Core;
use crate::core::wake::wake_foreign;
use crate::parts::timers::{Action, TimerKey};
use crate::task::waker::{Remote, ShortPool};

/// How long a kernel waits before it tries again to get a thread for a job.
const RETRY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Unfinished jobs for which a task waits.
    out: RefCell<HashSet<u64>>,
    /// Pools in which jobs wait because the system gives no thread.
    short: RefCell<Vec<&'static dyn ShortPool>>,
    retry: Cell<Option<TimerKey>>,
}

/// Counts an unfinished job as long as a task waits for it. While the job counts, a virtual clock
/// does not jump, and an idle kernel is not in a deadlock.
pub(crate) struct Out {
    core: Rc<Core>,
    number: u64,
}

impl Out {
    pub(crate) fn new(core: Rc<Core>) -> Self {
        let number = core.count_job();
        Out { core, number }
    }

    /// The number with which `Message::JobDone` says that it has ended.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the kernel of the job is the current one.
    pub(crate) fn is_at_home(&self) -> bool {
        current::is_current(&self.core)
    }

    /// The mailbox of the kernel.
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        self.core.remote()
    }

    /// No task waits for the job any more, and a thread of the pool of that name runs it.
    pub(crate) fn abandon(
        &self,
        name: &str,
        site: &'static Location<'static>,
        alive: Weak<dyn Send + Sync>,
    ) {
        self.core.abandon(name.to_owned(), site, alive);
    }

    /// The system gives this pool no thread, and the job waits there.
    pub(crate) fn wait_for_thread(&self, pool: &'static dyn ShortPool) {
        self.core.wait_for_thread(pool);
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.core.jobs.out.borrow_mut().remove(&self.number);
    }
}

impl Jobs {
    /// The number of unfinished jobs for which a task waits.
    pub(crate) fn out(&self) -> usize {
        self.out.borrow().len()
    }
}

impl Core {
    /// Counts a job until `job_done`.
    pub(crate) fn count_job(&self) -> u64 {
        let number = self.next_cancel_seq();
        self.jobs.out.borrow_mut().insert(number);
        number
    }

    pub(crate) fn job_done(&self, number: u64, waker: Option<Waker>) {
        self.jobs.out.borrow_mut().remove(&number);
        waker.into_iter().for_each(wake_foreign);
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
