//! `kernels`: a thread with a kernel for each core.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cores::bounds::{CoreMain, CoreOutput};
use crate::cores::core::Core;
use crate::cores::error::{CoreError, CoreErrors};
use crate::cores::local::{MainEnd, RunMain, Seated};
use crate::cores::settings::Cores;
use crate::cores::shared::Shared;
use crate::error::{CancelReason, HoldsCancellation};
use crate::run::kernel::{Kernel, refuse_nesting};
use crate::wait::point::CancelPoint;

/// Runs `main` on each of the cores, in a kernel of its own on a thread of its own, and returns
/// their values when all have ended, in the order of the cores.
///
/// It is a scope: when it returns, no thread, no kernel and no task of it is left. `main` may
/// borrow from the code around the call. The futures stay on their cores, so they need not be
/// `Send`; the values and errors are sent back. Tasks are not moved between cores. A core runs what
/// its main function spawns, and what other cores [call](Core::call).
///
/// ```
/// use curium::kernel::{CoreErrors, TaskCancelled, kernels, sleep};
///
/// let pauses = [1, 2].map(std::time::Duration::from_millis);
/// let slept = kernels(2, async |core| {
///     sleep(pauses[core.index()]).await?;
///     Ok(core.index())
/// })?;
/// assert_eq!(slept, [0, 1]);
/// # Ok::<(), CoreErrors<TaskCancelled>>(())
/// ```
///
/// # How a core ends
///
/// When its main function has ended, a core goes on serving its tasks and calls of other cores,
/// until all main functions have ended. Then every kernel is shut down as by [`run`](crate::run).
///
/// # Errors
///
/// The first core that fails cancels the main functions of the others, with the reason
/// [`PeerFailed`](CancelReason::PeerFailed). All are awaited, and all errors are returned, each
/// with its core. A core that ended only because it was cancelled so is not among them. A core
/// cannot start if the system refuses a thread, a descriptor, or the place of [`Cores::pinned`] or
/// [`Cores::nice`]. Then the main functions of the others run to their first await point that
/// would park.
///
/// # Panics
///
/// Inside a kernel. A panic of a main function, or of the function of [`Cores::builder`], cancels
/// the others as a failure does, and goes on here when all have ended; errors of other cores are
/// dropped then. If several have panicked, the first one goes on.
///
/// A deadlock of one core is not found: another core could still call it. See
/// [`Builder::watch`](crate::Builder::watch).
#[track_caller]
pub fn kernels<M, R>(
    cores: impl Into<Cores>,
    main: M,
) -> Result<Vec<R::Value>, CoreErrors<R::Error>>
where
    M: CoreMain<R>,
    // The compiler shows the next lines when it refuses what a core would share or send.
    M: Sync, // all cores share it: capture atomics, a `Mutex` or a channel, or make it inside
    R: CoreOutput,
    R::Value: Send, // it is sent back to the thread that called `kernels`
    R::Error: HoldsCancellation + Send,
{
    refuse_nesting("kernel::kernels");
    let (shared, site) = (Arc::new(Shared::new(cores.into())), Location::caller());
    let ends = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for index in 0..shared.count() {
            let (seat, main, ends) = (Thread::new(&shared, index), &main, &ends);
            let body = move || {
                let end = seat.run(main, site);
                lock(ends).push((index, end));
            };
            let thread = thread::Builder::new().name(format!("core {index}"));
            if let Err(error) = thread.spawn_scoped(scope, body) {
                lock(ends).push((index, End::NotStarted(error)));
            }
        }
        shared.wait_for_threads();
    });
    conclude(&shared, ends.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How the thread of a core has ended.
enum End<T, E> {
    Main(MainEnd<T, E>),
    NotStarted(io::Error),
    Panicked(Box<dyn Any + Send>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread of a core. `Drop` tells the others what it has not told them, also if there was no
/// thread to run it.
struct Thread {
    shared: Arc<Shared>,
    index: usize,
    started: bool,
    main_ended: bool,
}

impl Thread {
    fn new(shared: &Arc<Shared>, index: usize) -> Self {
        Thread { shared: shared.clone(), index, started: false, main_ended: false }
    }

    fn run<R>(
        mut self,
        main: &impl CoreMain<R>,
        site: &'static Location<'static>,
    ) -> End<R::Value, R::Error>
    where
        R: CoreOutput,
        R::Error: HoldsCancellation,
    {
        let (shared, index) = (self.shared.clone(), self.index);
        // Dropped after the kernel, whose tasks may still ask for their core.
        let core = Core::new(&shared, index);
        let _seated = Seated::new(core.clone());
        let kernel = match catch_unwind(AssertUnwindSafe(|| shared.settings.start(index))) {
            Ok(Ok(kernel)) => kernel,
            Ok(Err(error)) => return End::NotStarted(error),
            Err(payload) => return End::Panicked(payload),
        };
        self.has_started(&kernel);
        let run = || {
            kernel.run(async || {
                RunMain::new(async { main(core.clone()).await.into_result() }, &core).await
            })
        };
        let ended = catch_unwind(AssertUnwindSafe(run));
        core.local().end_main();
        if matches!(ended, Ok(MainEnd::Failed(_)) | Err(_)) {
            shared.failed(index);
        }
        self.main_has_ended();
        let rest = catch_unwind(AssertUnwindSafe(|| {
            let mut point = CancelPoint::shielded("CORES_END", site);
            let others = poll_fn(|cx| point.poll(cx, |cx| shared.poll_ended(cx.waker())));
            drop(kernel.run(async || others.await));
            kernel.shutdown();
        }));
        match ended.and_then(|end| rest.map(|()| end)) {
            Ok(end) => End::Main(end),
            Err(payload) => End::Panicked(payload),
        }
    }

    /// Waits until the other cores have started as well, or could not.
    fn has_started(&mut self, kernel: &Kernel) {
        let (shared, index) = (&self.shared, self.index);
        if index == 0 {
            if let Some(stop_when) = shared.settings.take_stop_when() {
                let when = move || async move {
                    stop_when().await;
                    Core::current().into_iter().for_each(|core| core.stop());
                };
                kernel.handle().spawn(when).expect("the kernel exists");
            }
        }
        self.started = true;
        shared.started(index, Some(kernel));
        shared.wait_for_start();
        shared.tell_of_failure(index);
    }

    fn main_has_ended(&mut self) {
        self.main_ended = true;
        self.shared.main_ended();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if !self.started {
            self.shared.failed(self.index);
            self.shared.started(self.index, None);
        }
        if !self.main_ended {
            self.shared.main_ended();
        }
        self.shared.thread_ended(self.index);
    }
}

/// The values of all cores, or what has failed. Resumes the panic of a core.
fn conclude<T, E>(
    shared: &Shared,
    mut ends: Vec<(usize, End<T, E>)>,
) -> Result<Vec<T>, CoreErrors<E>> {
    ends.sort_by_key(|(core, _)| *core);
    let first = shared.first_failed();
    let (mut values, mut errors, mut panics) = (Vec::new(), Vec::new(), Vec::new());
    for (core, end) in ends {
        match end {
            End::Main(MainEnd::Ok(value)) => values.push(value),
            End::Main(MainEnd::Failed(error)) => errors.push(CoreError::Failed { core, error }),
            End::Main(MainEnd::Cancelled(CancelReason::PeerFailed { .. }, _)) => {}
            End::Main(MainEnd::Cancelled(_, error)) => {
                errors.push(CoreError::Stopped { core, error });
            }
            End::Main(MainEnd::Aborted) => errors.push(CoreError::Aborted { core }),
            End::NotStarted(error) => errors.push(CoreError::NotStarted { core, error }),
            End::Panicked(payload) => panics.push((Some(core) != first, payload)),
        }
    }
    if let Some((_, payload)) = panics.into_iter().min_by_key(|(is_later, _)| *is_later) {
        resume_unwind(payload);
    }
    if errors.is_empty() {
        return Ok(values);
    }
    let first = errors.iter().position(|error| Some(error.core()) == first).unwrap_or(0);
    Err(CoreErrors { first: errors.remove(first), others: errors })
}
