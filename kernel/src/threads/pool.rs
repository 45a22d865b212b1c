//! A pool of threads: a queue of jobs, first come, first served, and a bounded number of threads.
//!
//! A thread that finds the queue empty sleeps, and ends when no job has come for [`KEEP`]. The last
//! thread that went to sleep is called first, so that threads that are not needed end.
//!
//! Invariant: *while a job waits, a thread is coming, or no thread can come*. A thread is *coming*
//! from the moment when it is called or started until it looks at the queue. There is at most one,
//! and it calls the next one before it runs its job. So a burst of short jobs does not wake a
//! thread for each of them, and the thread of a kernel makes one system call for the burst. No
//! thread can come if all are busy and their number is at the limit, or if the system has refused
//! to start one. A busy thread looks at the queue when its job ends. After a refusal the pool is
//! *short*, and every kernel with a waiting job tries again, ten times a second: what else could,
//! if no thread runs? A kernel learns of it from its own call, if the pool was short by then, or
//! from the thread that was refused.
//!
//! The numbers of threads are exact, because they change under the lock. No code of the program
//! runs under it: no job, no waker, no destructor. Loom checks this file with the models in
//! `models.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::task::waker::ShortPool;
use crate::threads::sync::{self, Mutex, MutexGuard, Thread};

/// How long a thread sleeps without a job before it ends. It keeps some ten kilobytes of memory
/// meanwhile. To start a thread costs several times what it costs to call one.
const KEEP: Duration = Duration::from_secs(10);

/// A pool of threads for blocking calls and long computations.
///
/// [`run_in_thread`](crate::run_in_thread) uses a pool of the process, with at most 64 threads. A
/// pool of its own keeps one kind of jobs from delaying another: jobs that may hang, or jobs that
/// must not run more than a few at a time. Each pool is a `static`. All kernels of the process
/// share it.
///
/// ```
/// use curium::kernel::{self, TaskCancelled, ThreadPool};
///
/// /// Runs at most two compressions at one time.
/// static COMPRESSION: ThreadPool = ThreadPool::new("compression", 2);
///
/// kernel::run(async || {
///     let mut words = vec!["b", "a", "b"];
///     let words = COMPRESSION.run_in_thread(move || {
///         words.sort_unstable();
///         words.dedup();
///         words
///     });
///     assert_eq!(words.await?, ["a", "b"]);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// Jobs are served first come, first served. Threads are started when they are needed, have the
/// name of the pool, and end after ten seconds without a job. A job that waits for a later job, or
/// for an effect of one, may wait for ever: when as many such jobs run as the pool has threads, no
/// thread is left for the job that they wait for. A job that hangs keeps its thread.
///
/// If the system gives no thread, jobs wait until it does. Each kernel with a waiting job tries
/// again every 100 ms, and at every new job.
pub struct ThreadPool {
    name: &'static str,
    limit: usize,
    state: Mutex<State>,
}

/// The pool of the process.
pub(super) static JOBS: ThreadPool = ThreadPool::new("curium-job", 64);

struct State {
    /// The threads that run or are being started.
    threads: usize,
    /// The threads that sleep, the last one that went to sleep at the end. A thread that is called
    /// is removed.
    idle: Vec<(u64, Thread)>,
    /// A thread was called or is being started, and has not looked at the queue yet.
    coming: bool,
    /// The system refused the last thread.
    short: bool,
    /// The number of the next job or thread.
    next: u64,
    /// The keys are increasing numbers, so the map is in order of arrival.
    waiting: BTreeMap<u64, Arc<dyn PoolJob>>,
}

/// What the threads of a pool run.
pub(super) trait PoolJob: Send + Sync {
    /// Runs the job to its end. It may panic.
    fn run(&self);

    /// Informs the kernel of a waiting job that the system gives no thread. It runs no code of the
    /// program.
    fn no_thread(&self, pool: &'static ThreadPool);
}

/// How to get a thread.
enum Call {
    Wake(Thread),
    Start,
}

/// The place of a waiting job.
pub(super) struct Place {
    pub(super) number: u64,
    /// The pool is short of threads, so the kernel of the job must try again.
    pub(super) short: bool,
}

impl ThreadPool {
    /// A pool whose threads have this name, and of which at most `limit` exist at one time. It
    /// starts no thread.
    ///
    /// Linux shows the first 15 bytes of the name.
    ///
    /// # Panics
    ///
    /// If the limit is 0, or the name contains a zero byte. In a `static` this is an error of the
    /// compiler.
    pub const fn new(name: &'static str, limit: usize) -> Self {
        assert!(limit > 0, "a pool has at least one thread");
        let mut at = 0;
        while at < name.len() {
            assert!(name.as_bytes()[at] != 0, "the name of a thread contains no zero byte");
            at += 1;
        }
        let state = State {
            threads: 0,
            idle: Vec::new(),
            coming: false,
            short: false,
            next: 0,
            waiting: BTreeMap::new(),
        };
        ThreadPool { name, limit, state: Mutex::new(state) }
    }

    /// Whether jobs wait because the system gives no thread.
    pub(super) fn is_short(&self) -> bool {
        self.state.lock().short
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Adds a job to the queue.
    pub(super) fn submit(&'static self, work: Arc<dyn PoolJob>) -> Place {
        let mut state = self.state.lock();
        let number = state.number();
        state.waiting.insert(number, work);
        let call = state.call(self.limit);
        let short = state.short;
        drop(state);
        let refused = call.is_some_and(|call| !self.make(call));
        Place { number, short: short || refused }
    }

    /// Removes a job from the queue. False: it is not there any more.
    pub(super) fn take_back(&self, number: u64) -> bool {
        let work = self.state.lock().waiting.remove(&number);
        work.is_some()
    }

    /// Gets a thread, and not under the lock. False: the system refuses.
    fn make(&'static self, call: Call) -> bool {
        match call {
            Call::Wake(thread) => thread.unpark(),
            Call::Start => {
                if sync::spawn(self.name, move || self.work()).is_err() {
                    return self.refused();
                }
            }
        }
        true
    }

    /// The thread that was coming does not exist. False: neither does another one, so jobs wait.
    #[cold]
    fn refused(&'static self) -> bool {
        let mut state = self.state.lock();
        state.threads -= 1;
        state.coming = false;
        if state.waiting.is_empty() {
            return true;
        }
        // A thread may have gone to sleep since, while this one was coming.
        if let Some(call) = state.call_idle() {
            drop(state);
            return self.make(call);
        }
        // When the pool was short before, the kernels of all these jobs know.
        let news = !std::mem::replace(&mut state.short, true);
        let waiting: Vec<_> =
            if news { state.waiting.values().cloned().collect() } else { Vec::new() };
        drop(state);
        waiting.iter().for_each(|work| work.no_thread(self));
        false
    }

    /// The life of a thread: runs one job after the other, until none has come for some time.
    fn work(&'static self) {
        let mut state = self.state.lock();
        let me = state.number();
        state.coming = false;
        state.short = false;
        loop {
            if let Some((_, work)) = state.waiting.pop_first() {
                let call = if state.short { None } else { state.call(self.limit) };
                drop(state);
                if let Some(call) = call {
                    self.make(call);
                }
                run(work);
                state = self.state.lock();
            } else {
                state.idle.push((me, sync::current()));
                drop(state);
                let Some(called) = self.sleep(me) else { return };
                state = called;
                state.coming = false;
            }
        }
    }

    /// Sleeps until this thread is called. None: it was not called in time, and ends.
    fn sleep(&self, me: u64) -> Option<MutexGuard<'_, State>> {
        let until = Instant::now() + KEEP;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            sync::park(left);
            let mut state = self.state.lock();
            // From the end, where a thread is that has just gone to sleep.
            let Some(at) = state.idle.iter().rposition(|(id, _)| *id == me) else {
                return Some(state);
            };
            // A model has no clock.
            if cfg!(loom) || Instant::now() >= until {
                state.idle.remove(at);
                state.threads -= 1;
                return None;
            }
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Decides how to get a thread for the next job, unless one is coming or none may come. The
    /// caller makes the call when it has released the lock.
    fn call(&mut self, limit: usize) -> Option<Call> {
        if self.waiting.is_empty() || self.coming {
            return None;
        }
        self.call_idle().or_else(|| {
            let may_start = self.threads < limit;
            self.threads += usize::from(may_start);
            self.coming = may_start;
            may_start.then_some(Call::Start)
        })
    }

    fn call_idle(&mut self) -> Option<Call> {
        let (_, thread) = self.idle.pop()?;
        self.coming = true;
        Some(Call::Wake(thread))
    }
}

impl ShortPool for ThreadPool {
    fn try_again(&'static self) -> bool {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            state.short = false;
        }
        let call = state.call(self.limit);
        drop(state);
        if let Some(call) = call {
            self.make(call);
        }
        // If a thread is coming, it will say that the pool is not short.
        self.state.lock().short
    }
}

/// Runs a job. A panic here comes from a waker, or from a value that was disposed of. It must not
/// end the thread, which serves other jobs.
fn run(work: Arc<dyn PoolJob>) {
    let mut payload = catch_unwind(AssertUnwindSafe(|| work.run())).err();
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        drop(payload.take());
        drop(work);
    }));
    if let Err(again) = dropped {
        // The new payload may do the same, so it is leaked.
        #[allow(clippy::mem_forget)]
        std::mem::forget(again);
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("ThreadPool")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("threads", &state.threads)
            .field("idle", &state.idle.len())
            .field("waiting", &state.waiting.len())
            .finish()
    }
}
