//! From spawn to release: the life of a task as the kernel leads it. The states are drawn in
//! `task/cell.rs`.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use crate::core::current::Entered;
use crate::core::owner::Owner;
use crate::core::report::{Failure, ProgramCode, Report, UNSHOWN};
use crate::core::state::TaskRef;
use crate::core::state::{Core, Stage};
use crate::error::{CancelReason, Echo, Panic};
use crate::task::body::{Body, Slot, TaskOutput, Verdict};
use crate::task::cell::{TaskCell, TaskEnd};
use crate::task::chunk::Origin;
use crate::task::state::Flags;

/// The box of an ended task is kept for the next one of its type up to this size.
const KEEP_BODY: usize = 1024;

/// Futures that may be spawned by destructors after the kernel closed; the rest is leaked, and said
/// so.
const LATE: u32 = 10_000;

/// The body of a task with a future of type `F` and the error `E`.
pub(crate) type SlotOf<F, E> = Slot<F, <<F as Future>::Output as TaskOutput<E>>::Value, E>;

/// Picks the way by which a future becomes a task: boxed first if it is large.
///
/// A way is a function, because an unoptimized build copies a future once for each function that it
/// is passed to and once for each branch of these; each copy of a large one takes its size of the
/// stack.
#[inline(always)]
pub(crate) fn way<F, E, W>(large: W, small: W) -> W
where
    F: Future,
    F::Output: TaskOutput<E>,
{
    if size_of::<SlotOf<F, E>>() > KEEP_BODY { large } else { small }
}

impl Core {
    /// Makes a task of a small future and queues it. The caller holds one of its `holders`, and
    /// lets what a closed kernel refuses be dropped: [`TaskRef::settle`].
    pub(crate) fn admit<F, E>(
        self: &Rc<Self>,
        future: F,
        owner: Option<(&dyn Owner, bool)>,
    ) -> TaskRef
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
        E: fmt::Debug + 'static,
    {
        // Early, as it is copied again below: right after the writes, the copy would wait for them.
        let mut next = Some(future);
        let task = self.reserve(std::any::type_name::<F>);
        let cell = &*task;
        let mut body = cell.body.take();
        if let Some(kept) = &mut body {
            kept.as_mut().refill(&mut next);
        }
        if let Some(future) = next {
            body = Some(Box::pin(SlotOf::<F, E>::Running { future }));
        }
        cell.body.put_some(body);
        self.begin(&task, cell, 0, owner);
        task
    }

    /// The same for a future that is in its box already.
    #[inline(never)]
    pub(crate) fn admit_boxed(
        self: &Rc<Self>,
        body: Pin<Box<dyn Body>>,
        type_name: fn() -> &'static str,
        owner: Option<(&dyn Owner, bool)>,
    ) -> TaskRef {
        let task = self.reserve(type_name);
        drop(task.body.take());
        task.body.put(body);
        self.begin(&task, &task, Flags::LARGE, owner);
        task
    }

    /// A cell for a new task, without a body but perhaps with the box of the last one.
    #[inline(always)]
    fn reserve(self: &Rc<Self>, type_name: fn() -> &'static str) -> TaskRef {
        let (task, serial) = self.tasks.borrow_mut().admit(self);
        task.begin(serial);
        task.set_origin(Origin { parent: self.running.get(), type_name });
        task
    }

    /// The task has its body: it lives, and is queued.
    #[inline(always)]
    fn begin(
        &self,
        task: &TaskRef,
        cell: &TaskCell,
        large: u32,
        owner: Option<(&dyn Owner, bool)>,
    ) {
        if self.stage.get() == Stage::Open && owner.is_none() {
            cell.flags.become_alive(large | Flags::QUEUED);
            self.ready.borrow_mut().push(task.index());
        } else {
            cell.flags.become_alive(large);
            self.admit_special(task, owner);
        }
    }

    /// The rest for a member of a group, or while the kernel comes down; once it is closed, nothing
    /// ([`settle`](TaskRef::settle)).
    #[inline(never)]
    fn admit_special(&self, cell: &TaskRef, owner: Option<(&dyn Owner, bool)>) {
        if self.stage.get() == Stage::Closed {
            return;
        }
        let mut born_cancelled =
            (self.stage.get() == Stage::Shutdown).then_some(CancelReason::Shutdown);
        if let Some((owner, daemon)) = owner {
            let reason = owner.adopt(self, cell, daemon);
            born_cancelled = born_cancelled.or(reason);
        }
        self.make_ready(cell);
        if let Some(reason) = born_cancelled {
            self.request(cell, reason);
        }
    }

    /// A cell for the main task.
    pub(crate) fn admit_main(self: &Rc<Self>) -> TaskRef {
        let (task, serial) = self.tasks.borrow_mut().admit(self);
        task.begin(serial);
        task.flags.become_alive(Flags::MAIN);
        // Who has no body is main: not the box of an earlier tenant.
        drop(task.body.take());
        task
    }

    /// The kernel is closed: the task is aborted before it began.
    #[cold]
    #[inline(never)]
    fn refuse(&self, cell: &TaskRef) {
        let body = cell.body.take().expect("a new task has its future");
        let late = self.late.get();
        self.late.set(late + 1);
        if late < LATE {
            self.bury(body);
        } else {
            // A destructor that always spawns the next future would never end.
            #[allow(clippy::mem_forget)]
            std::mem::forget(body);
            if late == LATE {
                self.report(&Report::Late { limit: LATE });
            }
        }
        self.finish(cell, TaskEnd::Aborted, Echo::Yes);
    }

    /// A task ended: tells its group and whoever joins it.
    #[inline]
    pub(crate) fn finish(&self, task: &TaskRef, end: TaskEnd, echo: Echo) {
        let cell = &**task;
        cell.flags.finish(end);
        let failure = match end {
            TaskEnd::Ok | TaskEnd::Aborted => false,
            TaskEnd::Failed | TaskEnd::Panicked => true,
            TaskEnd::Cancelled => echo == Echo::No,
        };
        if failure {
            cell.flags.set(Flags::FAILURE);
        }
        self.ended.set(self.ended.get() + 1);
        if cell.flags.any(Flags::MEMBER) {
            self.owned_ended(task, end);
        }
        if cell.flags.any(Flags::AWAITED | Flags::RARE) {
            task.wake_waiters(self);
        }
        if cell.holders.get() == 0 {
            self.release(task);
        }
    }

    /// The poll of a task gave its output.
    #[inline(always)]
    pub(crate) fn returned(&self, task: &TaskRef, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.finish(task, TaskEnd::Ok, Echo::No),
            Verdict::Err(echo) => self.failed(task, echo),
        }
    }

    #[inline(never)]
    fn failed(&self, cell: &TaskRef, echo: Echo) {
        let told = cell.asked().is_some_and(|asked| asked.delivered);
        self.finish(cell, if told { TaskEnd::Cancelled } else { TaskEnd::Failed }, echo);
    }

    /// The poll of a task panicked. Its future is dropped here, after the unwinding.
    pub(crate) fn panicked(&self, cell: &TaskRef, payload: Box<dyn Any + Send>) {
        self.clear_body(cell);
        cell.set_panic(Panic::new(payload));
        self.finish(cell, TaskEnd::Panicked, Echo::No);
    }

    /// Drops a task's future. On oneself: when the poll ends. On an ended task: nothing.
    pub(crate) fn abort(&self, cell: &TaskRef) {
        if !cell.is_current() || cell.flags.any(Flags::FREE | Flags::ENDED) {
            return;
        }
        if cell.flags.any(Flags::RUNNING) {
            cell.flags.set(Flags::ABORT);
        } else if cell.flags.any(Flags::MAIN) {
            // The future of `run` belongs to its caller; it can be cancelled, not dropped.
            self.request(cell, CancelReason::Shutdown);
        } else {
            // Destructors find the kernel of their task, whoever aborts it from wherever.
            let _entered = Entered::unless_current(cell.core());
            let body = cell.body.take();
            self.finish(cell, TaskEnd::Aborted, Echo::Yes);
            if let Some(body) = body {
                self.bury(body);
            }
        }
    }

    /// Drops a body; those that this drop wants to drop in turn come after it, not inside it, so
    /// ten thousand nested groups need no stack.
    fn bury(&self, body: Pin<Box<dyn Body>>) {
        self.graveyard.borrow_mut().push(body);
        if self.burying.replace(true) {
            return;
        }
        loop {
            let next = self.graveyard.borrow_mut().pop();
            match next {
                Some(body) => self.discard(body),
                None => break,
            }
        }
        self.burying.set(false);
    }

    /// One holder fewer.
    #[inline]
    pub(crate) fn let_go(&self, cell: &TaskRef) {
        let left = cell.holders.get() - 1;
        cell.holders.set(left);
        if left == 0 {
            self.release(cell);
        }
    }

    /// Frees the cell of an ended task that nobody holds; reports a failure that nobody took (K6).
    #[inline(never)]
    pub(crate) fn release(&self, task: &TaskRef) {
        let cell = &**task;
        if cell.holders.get() > 0 || !cell.flags.are(Flags::ENDED | Flags::QUEUED, Flags::ENDED) {
            return;
        }
        if !cell.flags.are(Flags::LEFT, Flags::TAKEN) {
            self.clear_away(task);
        }
        cell.flags.become_free();
        self.tasks.borrow_mut().release(task, cell);
    }

    /// Clears away what an ended task has left.
    #[inline(never)]
    fn clear_away(&self, cell: &TaskRef) {
        let taken = cell.flags.any(Flags::TAKEN);
        if cell.flags.any(Flags::FAILURE) && !taken {
            self.report_failure(cell);
        }
        if !taken || cell.flags.any(Flags::LARGE) {
            self.clear_body(cell);
        }
        if let Some(rare) = cell.any_rare() {
            drop(rare.waker.take());
            if let Some(panic) = rare.panic.take() {
                self.discard(panic);
            }
        }
        if cell.flags.any(Flags::SCOPED) {
            cell.hang_nothing();
        }
        if cell.flags.any(Flags::NAMED) {
            let name = self.names.borrow_mut().remove(&cell.index());
            drop(name);
        }
    }

    /// Drops the future or the output of a task; keeps the box if it is small.
    fn clear_body(&self, cell: &TaskRef) {
        let Some(mut body) = cell.body.take() else { return };
        if cell.flags.any(Flags::LARGE) {
            self.discard(body);
        } else {
            self.guarded(ProgramCode::Destructor, || body.as_mut().clear());
            cell.body.put(body);
        }
    }

    /// Drops what belongs to a program. A panic in it is reported and goes no further.
    pub(crate) fn discard<T>(&self, value: T) {
        self.guarded(ProgramCode::Destructor, move || drop(value));
    }

    /// Runs code of a program. A panic in it is reported as that of `code` and goes no further.
    pub(crate) fn guarded(&self, code: ProgramCode, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            let panic = Panic::new(payload);
            self.report(&Report::PanicOutsideTask { code, message: panic.message() });
            let mut payload = Some(panic.into_payload());
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload.take()))) {
                // A payload whose own drop panics, with its like perhaps, cannot be dropped.
                #[allow(clippy::mem_forget)]
                std::mem::forget(again);
                let message = "the payload of a panic";
                self.report(&Report::PanicOutsideTask { code: ProgramCode::Destructor, message });
            }
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn report_failure(&self, cell: &TaskRef) {
        let text = match cell.take_panic() {
            Some(panic) => {
                let text = panic.message().to_owned();
                cell.set_panic(panic);
                Some(text)
            }
            None => {
                // Out of its cell meanwhile: a program's `Debug` may look at the task (K9).
                let mut text = None;
                let mut body = cell.body.take();
                self.guarded(ProgramCode::Debug, || {
                    text = body.as_mut().and_then(|body| body.as_mut().error_text());
                });
                if let Some(body) = body {
                    cell.body.put(body);
                }
                text
            }
        };
        let name = self.name_of(cell);
        self.report(&Report::Failed(Failure {
            task: cell.id(),
            name: &name,
            panicked: cell.end() == Some(TaskEnd::Panicked),
            error: text.as_deref().unwrap_or(UNSHOWN),
        }));
    }

    /// The name of a task: as given, or the type of its future without the compiler's suffixes.
    pub(crate) fn name_of(&self, cell: &TaskRef) -> String {
        if cell.flags.any(Flags::NAMED) {
            if let Some(name) = self.names.borrow().get(&cell.index()) {
                return name.to_string();
            }
        }
        match cell.origin() {
            Some(origin) => (origin.type_name)().replace("::{{closure}}", ""),
            None => "main".to_owned(),
        }
    }
}

impl TaskRef {
    /// Drops the future of a new task if its kernel is closed: no borrow of it may be held.
    #[inline]
    pub(crate) fn settle(&self) {
        if !self.flags.any(Flags::QUEUED) {
            self.core().refuse(self);
        }
    }
}
