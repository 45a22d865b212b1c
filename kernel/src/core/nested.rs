//! The polls of tasks inside the poll of another: what the thread's context holds meanwhile.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;

use crate::core::current::{self, Address, CONTEXT, NO_WAKER};
use crate::core::state::{Chunk, Core, TaskRef};
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::Ambient;
use crate::task::cell::OwnWaker;
use crate::task::state::Flags;

/// The polls of the hosted tasks of one host, one after the other, within a poll of the host.
///
/// From [`enter`](Nested::enter) on, the context is that of a hosted task. The host gets it back
/// at [`leave`](Nested::leave), and not between the polls of two tasks, if only code of the kernel
/// runs there. What may run code of the program calls `leave` first.
///
/// The budget is not part of it: a host and its tasks share one (K2).
pub(crate) struct Nested<'a> {
    context: Context<'a>,
    /// For the tasks that have no waker of their own.
    spare: Option<OwnWaker>,
}

/// Who has the context of the thread: the host or a hosted task.
struct Context<'a> {
    core: &'a Core,
    /// A hosted task has it, and the rest is the host's.
    inside: bool,
    /// The chunk in the context, which is compared only.
    at: *const Chunk,
    chunk: Option<Rc<Chunk>>,
    name: TaskId,
    waker: Address,
    ambient: Ambient,
    marks: u32,
    running: TaskId,
    root: TaskId,
    ambient_version: u64,
}

impl<'a> Nested<'a> {
    #[inline]
    pub(crate) fn new(core: &'a Core) -> Self {
        let context = Context {
            core,
            inside: false,
            at: std::ptr::null(),
            chunk: None,
            name: TaskId::NONE,
            waker: NO_WAKER,
            ambient: Ambient::CLEAR,
            marks: 0,
            running: TaskId::NONE,
            root: TaskId::NONE,
            ambient_version: 0,
        };
        Nested { context, spare: None }
    }

    /// Begins a poll of `task`, with a waker that belongs to no task until it is cloned.
    #[inline]
    pub(super) fn enter(&mut self, task: &TaskRef) -> &Waker {
        let Nested { context, spare } = self;
        let spare = spare.get_or_insert_with(|| context.core.spare_waker());
        spare.inner.assign(task.id());
        context.enter(task, &spare.waker);
        &spare.waker
    }

    /// Ends it. Returns the waker if it was cloned, which is the task's own from now on.
    #[inline]
    pub(super) fn exit(&mut self) -> Option<OwnWaker> {
        self.spare.take_if(|spare| spare.is_out())
    }

    /// Begins a poll of `task` with its own waker.
    pub(super) fn enter_by(&mut self, task: &TaskRef, waker: &OwnWaker) {
        self.context.enter(task, &waker.waker);
    }

    /// Gives the context back to the host.
    #[inline]
    pub(crate) fn leave(&mut self) {
        if self.context.inside {
            self.context.leave();
        }
    }
}

impl Context<'_> {
    #[inline]
    fn enter(&mut self, task: &TaskRef, waker: &Waker) {
        let address: Address = (waker.data(), waker.vtable());
        // The last task may have left the context as this one needs it, but for its name.
        let fits = self.inside
            && std::ptr::eq(self.at, Rc::as_ptr(task.chunk()))
            && !task.flags.any(Flags::CANCEL_REQUESTED)
            && CONTEXT.with(|context| context.plain.get() == address);
        if !fits {
            self.change(task, address);
        }
        CONTEXT.with(|context| {
            context.name.set(task.id());
            context.marks.set(0);
        });
        self.core.running.set(task.id());
        task.cycles.set(task.cycles.get().wrapping_add(1));
    }

    #[inline(never)]
    fn change(&mut self, task: &TaskRef, waker: Address) {
        let request = task.cancel_request();
        let (cancel_seq, pending) = request.map_or((0, false), |it| (it.cancel_seq, it.pending));
        let first = !self.inside;
        if first {
            self.take_from_host();
        }
        self.at = Rc::as_ptr(task.chunk());
        let before = CONTEXT.with(|context| {
            context.offer(waker, Ambient { scope: NONE, cancel_seq, pending });
            context.chunk.replace(ManuallyDrop::new(Some(task.chunk().clone())))
        });
        let before = ManuallyDrop::into_inner(before);
        if first {
            self.chunk = before;
        }
    }

    /// Notes what the host has in the context, but for its chunk.
    fn take_from_host(&mut self) {
        // Opens the scopes around the host, so that the counts of those that are not open are 0.
        // Otherwise a leaf of the hosted task would open them as scopes of that task, and the host
        // would show no deadline to it.
        self.ambient = current::ambient();
        self.inside = true;
        let core = self.core;
        self.running = core.running.get();
        self.root = core.polled_root.get();
        if self.root == TaskId::NONE {
            core.polled_root.set(self.running);
        }
        self.ambient_version = core.ambient_version.get();
        CONTEXT.with(|context| {
            self.name = context.name.get();
            self.waker = context.waker.get();
            self.marks = context.marks.get();
        });
    }

    #[inline(never)]
    fn leave(&mut self) {
        self.inside = false;
        let inner = CONTEXT.with(|context| {
            context.name.set(self.name);
            context.marks.set(self.marks);
            context.offer(self.waker, self.ambient);
            context.chunk.replace(ManuallyDrop::new(self.chunk.take()))
        });
        drop(ManuallyDrop::into_inner(inner));
        let core = self.core;
        core.running.set(self.running);
        core.polled_root.set(self.root);
        if core.ambient_version.get() != self.ambient_version {
            core.publish(self.ambient.scope);
        }
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.leave();
        if let Some(spare) = self.spare.take() {
            self.context.core.spare_wakers.borrow_mut().push(spare);
        }
    }
}

impl Core {
    /// Runs `f` with the task of the run loop that is being polled: the running task, or the one
    /// in which it is hosted.
    pub(crate) fn with_polled_root<R>(&self, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
        match self.polled_root.get() {
            TaskId::NONE => self.with_running(f),
            root => self.find(root).map(|root| f(&root)),
        }
    }
}
