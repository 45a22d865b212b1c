//! What a core keeps on its thread: its main function, and how that is stopped.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::core::current;
use crate::core::queue::WaitQueue;
use crate::cores::core::Core;
use crate::error::{CancelReason, HoldsCancellation, TaskCancelled};
use crate::id::TaskId;
use crate::spawn::spawn_named;
use crate::threads::remote_scope::{OpenScope, RemoteScope};
use crate::wait::handoff::Handoff;
use crate::wait::sleep::sleep;

thread_local! {
    static CURRENT: RefCell<Option<Core>> = const { RefCell::new(None) };
}

/// The core of this thread.
pub(super) fn current() -> Option<Core> {
    CURRENT.try_with(|core| core.borrow().clone()).ok().flatten()
}

/// Makes a core that of this thread as long as it exists.
pub(super) struct Seated;

impl Seated {
    pub(super) fn new(core: Core) -> Self {
        CURRENT.set(Some(core));
        Seated
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let core = CURRENT.take();
        drop(core);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Local {
    /// The task of the main function, while that runs.
    main: Cell<Option<TaskId>>,
    main_ended: Cell<bool>,
    /// The grace is over: the main function is aborted.
    abort: Cell<bool>,
    /// The grace has begun.
    in_grace: Cell<bool>,
    is_stopping: Cell<bool>,
    stopping: WaitQueue,
}

impl Local {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// The main function has ended, perhaps in a panic.
    pub(super) fn end_main(&self) {
        self.main_ended.set(true);
    }

    /// Aborts the main function, and reports it with the place where it is parked.
    fn abort_main(&self) {
        self.abort.set(true);
        let Some(main) = self.main.get().filter(|_| !self.main_ended.get()) else { return };
        current::try_with(|core| {
            if let Some(cell) = core.find(main) {
                core.report_out_of_grace(&cell);
            }
            core.wake(main);
        });
    }
}

/// The cores are asked to stop. Called in the kernel of each.
pub(super) fn begin_stop() {
    let Some(core) = current() else { return };
    core.local().is_stopping.set(true);
    core.local().stopping.hand_over_all(|| ());
    if core.local().main_ended.get() {
        return;
    }
    spawn_named("the stop of the core", async move {
        sleep(core.shared().settings.drain).await?;
        if core.shared().is_first_to_cancel(core.index()) {
            let stopped = TaskCancelled::new(CancelReason::Shutdown);
            core.shared().main_scope(core.index()).cancel(stopped);
        }
        begin_grace();
        Ok::<(), TaskCancelled>(())
    });
}

/// The main function was cancelled: aborts it after the grace. Called in the kernel of the core.
pub(super) fn begin_grace() {
    let Some(core) = current() else { return };
    let Some(grace) = core.shared().settings.grace else { return };
    if core.local().in_grace.replace(true) {
        return;
    }
    spawn_named("the grace of the core", async move {
        sleep(grace).await?;
        core.local().abort_main();
        Ok::<(), TaskCancelled>(())
    });
}

/// How a main function has ended.
pub(super) enum MainEnd<T, E> {
    Ok(T),
    Failed(E),
    /// Because it was cancelled from outside, for that reason.
    Cancelled(CancelReason, E),
    Aborted,
}

pin_project! {
    /// The main function of a core, in a scope that other cores cancel.
    pub(super) struct RunMain<F> {
        // Declared before the scope, so that it is dropped first.
        #[pin]
        main: Option<F>,
        open: OpenScope<RemoteScope>,
        local: Rc<Local>,
    }
}

impl<F> RunMain<F> {
    pub(super) fn new(main: F, core: &Core) -> Self {
        let open = OpenScope::new(core.shared().main_scope(core.index()).clone());
        RunMain { main: Some(main), open, local: core.local().clone() }
    }
}

impl<F, T, E> Future for RunMain<F>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    type Output = MainEnd<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.local.main.get().is_none() {
            this.local.main.set(crate::current_task_id());
        }
        if this.local.abort.get() {
            this.main.set(None);
            this.local.main_ended.set(true);
            return Poll::Ready(MainEnd::Aborted);
        }
        let main = this.main.as_mut().as_pin_mut().expect("it is polled until it has ended");
        let Poll::Ready(result) = this.open.poll(cx, |cx| main.poll(cx)) else {
            return Poll::Pending;
        };
        this.local.main_ended.set(true);
        let error = match result {
            Ok(value) => return Poll::Ready(MainEnd::Ok(value)),
            Err(error) => error,
        };
        let reason = this.open.close(|guard| guard.close_failed(&error)).flatten();
        Poll::Ready(match reason {
            Some(reason) => MainEnd::Cancelled(reason, error),
            None => MainEnd::Failed(error),
        })
    }
}

/// A wait until the cores are asked to stop.
pub(super) struct Stopping(pub(super) Rc<Local>);

impl Handoff for Stopping {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.0.stopping
    }

    fn try_take(&mut self) -> Option<()> {
        self.0.is_stopping().then_some(())
    }

    fn finish(&mut self, (): ()) {}

    /// The stop has woken every waiter, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
