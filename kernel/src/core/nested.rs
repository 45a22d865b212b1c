//! The poll of a task inside the poll of another: what the thread's context holds meanwhile.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;

use crate::core::current::{self, Address, CONTEXT};
use crate::core::state::{Chunk, Core, TaskRef};
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::Ambient;

/// While this exists, a hosted task is the one that is being polled. `Drop` restores its host.
///
/// The budget is not part of it: a host and its tasks share one (K2).
pub(super) struct Nested<'a> {
    core: &'a Core,
    running: TaskId,
    root: TaskId,
    ambient_version: u64,
    outer: Outer,
}

/// The context of the host's poll.
struct Outer {
    chunk: Option<Rc<Chunk>>,
    name: TaskId,
    waker: Address,
    ambient: Ambient,
    marks: u32,
}

impl<'a> Nested<'a> {
    /// Begins a poll of `task` with that waker.
    pub(super) fn begin(core: &'a Core, task: &TaskRef, waker: &Waker) -> Self {
        // Opens the scopes around the host, so that the counts of those that are not open are 0.
        // Otherwise a leaf of the hosted task would open them as scopes of that task, and the host
        // would show no deadline to it.
        current::ambient();
        let request = task.cancel_request();
        let (cancel_seq, pending) = request.map_or((0, false), |it| (it.cancel_seq, it.pending));
        let outer = CONTEXT.with(|context| {
            let chunk = context.chunk.replace(ManuallyDrop::new(Some(task.chunk().clone())));
            let outer = Outer {
                chunk: ManuallyDrop::into_inner(chunk),
                name: context.name.replace(task.id()),
                waker: context.waker.get(),
                ambient: context.ambient.get(),
                marks: context.marks.replace(0),
            };
            context.offer(
                (waker.data(), waker.vtable()),
                Ambient { scope: NONE, cancel_seq, pending },
            );
            outer
        });
        let running = core.running.replace(task.id());
        let root = core.polled_root.get();
        if root == TaskId::NONE {
            core.polled_root.set(running);
        }
        task.cycles.set(task.cycles.get().wrapping_add(1));
        Nested { core, running, root, ambient_version: core.ambient_version.get(), outer }
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        let Outer { chunk, name, waker, ambient, marks } = &mut self.outer;
        let inner = CONTEXT.with(|context| {
            let inner = context.chunk.replace(ManuallyDrop::new(chunk.take()));
            context.name.set(*name);
            context.marks.set(*marks);
            context.offer(*waker, *ambient);
            ManuallyDrop::into_inner(inner)
        });
        drop(inner);
        self.core.running.set(self.running);
        self.core.polled_root.set(self.root);
        if self.core.ambient_version.get() != self.ambient_version {
            self.core.publish(ambient.scope);
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
