//! Ends of a task other than a return of its future (abort, panic, spawn in a closed kernel), and
//! the data that is cleared after every end.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use crate::core::current::Entered;
use crate::core::report::{ProgramCode, Report};
use crate::core::state::{Core, Stage, TaskRef};
use crate::error::{CancelReason, Panic};
use crate::parts::values::Values;
use crate::task::body::Body;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

impl Core {
    /// Ends a new task before its first poll, because the kernel is closed.
    pub(super) fn refuse(&self, cell: &TaskRef) {
        // An observer may have ended it already.
        if let Some(body) = cell.body.take() {
            self.drop_queued(body, None);
            self.finish(cell, TaskEnd::Aborted, false);
        }
    }

    /// Cancels every task, the youngest first. Tasks that are spawned from now on start cancelled.
    pub(crate) fn begin_shutdown(&self) {
        self.set_stage(Stage::Shutdown);
        let cancel_seq = self.next_cancel_seq();
        for cell in self.live_cells().iter().rev() {
            // The test kit shuts a kernel down while its own main waits.
            if !cell.flags.any(Flags::MAIN) {
                self.request_by(cell, |cell| cell.request_by_shutdown(cancel_seq));
            }
        }
    }

    /// Ends a task whose poll has panicked. Its future is dropped here, after the unwinding.
    pub(crate) fn panicked(&self, cell: &TaskRef, payload: Box<dyn Any + Send>) {
        {
            let _entered = self.enter_values_of(cell);
            self.clear_body(cell);
        }
        self.drop_values(cell);
        cell.set_panic(Panic::new(payload));
        self.finish(cell, TaskEnd::Panicked, false);
    }

    /// Drops the future of a task. If the task is being polled, this happens when the poll ends,
    /// and if it is hosted, at the next poll of its host. Does nothing if it has ended.
    pub(crate) fn abort(&self, cell: &TaskRef) {
        if !cell.is_current() || cell.flags.any(Flags::FREE | Flags::ENDED) {
            return;
        }
        if cell.flags.any(Flags::RUNNING) {
            cell.flags.set(Flags::ABORT);
        } else if cell.flags.any(Flags::MAIN) {
            // The future of `run` belongs to its caller. It can be cancelled, but not dropped.
            self.request(cell, CancelReason::Shutdown);
        } else if cell.flags.any(Flags::HOSTED) {
            // Its host drops the future when it is polled.
            cell.flags.set(Flags::ABORT);
            self.make_ready(cell);
        } else {
            // Destructors find the kernel of their task, even if the task is aborted from another
            // kernel.
            let _entered = Entered::unless_current(cell.core());
            let (body, values) = (cell.body.take(), self.take_values(cell));
            self.finish(cell, TaskEnd::Aborted, false);
            if let Some(body) = body {
                self.drop_queued(body, values);
            }
        }
    }

    /// Drops a body. If its destructor ends further tasks, their bodies are queued and dropped
    /// after it, not inside it, so that ten thousand nested groups do not overflow the stack.
    fn drop_queued(&self, body: Pin<Box<dyn Body>>, values: Option<Rc<Values>>) {
        self.pending_drops.borrow_mut().push((body, values));
        if self.dropping.replace(true) {
            return;
        }
        loop {
            let next = self.pending_drops.borrow_mut().pop();
            match next {
                Some((body, values)) => self.discard_in(values, body),
                None => break,
            }
        }
        self.dropping.set(false);
    }

    /// Drops the data that an ended task has left in its cell and its chunk.
    #[inline(never)]
    pub(super) fn clear_away(&self, cell: &TaskRef) {
        if cell.flags.are(Flags::FAILURE | Flags::TAKEN, Flags::FAILURE) {
            self.report_failure(cell);
        }
        if !cell.flags.are(Flags::TAKEN | Flags::LARGE, Flags::TAKEN) {
            self.clear_body(cell);
        }
        if cell.flags.any(Flags::CANCEL_REQUESTED) {
            cell.give_cancellation_to(&self.spare);
        }
        let panicked = cell.flags.has_end(TaskEnd::Panicked);
        if panicked || cell.flags.any(Flags::WAKER | Flags::NAMED | Flags::SCOPED) {
            self.clear_rest(cell);
        }
    }

    /// Drops what only some tasks leave.
    #[inline(never)]
    fn clear_rest(&self, cell: &TaskRef) {
        if cell.flags.any(Flags::WAKER) {
            drop(cell.any_cold().and_then(|cold| cold.waker.take()));
        }
        if cell.flags.has_end(TaskEnd::Panicked) {
            if let Some(panic) = cell.take_panic() {
                self.discard(panic);
            }
        }
        if cell.flags.any(Flags::SCOPED) {
            cell.detach_all();
        }
        if cell.flags.any(Flags::NAMED) {
            let name = self.names.borrow_mut().remove(&cell.index());
            drop(name);
        }
    }

    /// Drops the future or the output of a task. Keeps the box if it is small.
    pub(super) fn clear_body(&self, cell: &TaskRef) {
        let Some(mut body) = cell.body.take() else { return };
        if cell.flags.any(Flags::LARGE) {
            self.discard(body);
        } else {
            self.guarded(ProgramCode::Destructor, || body.as_mut().clear());
            cell.body.put(body);
        }
    }

    /// Drops a value of a program. A panic of its destructor is reported and does not propagate.
    pub(crate) fn discard<T>(&self, value: T) {
        self.guarded(ProgramCode::Destructor, move || drop(value));
    }

    /// Runs code of a program. A panic is reported as a panic of `code` and does not propagate.
    pub(crate) fn guarded(&self, code: ProgramCode, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.report_payload(code, payload);
        }
    }

    /// Reports a panic of `code`, and drops its payload.
    #[cold]
    pub(super) fn report_payload(&self, code: ProgramCode, payload: Box<dyn Any + Send>) {
        let panic = Panic::new(payload);
        self.report(&Report::PanicOutsideTask { code, message: panic.message() });
        let mut payload = Some(panic.into_payload());
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload.take()))) {
            // A payload whose destructor panics, perhaps with a payload of the same kind, cannot be
            // dropped.
            #[allow(clippy::mem_forget)]
            std::mem::forget(again);
            let message = "the payload of a panic";
            self.report(&Report::PanicOutsideTask { code: ProgramCode::Destructor, message });
        }
    }
}
