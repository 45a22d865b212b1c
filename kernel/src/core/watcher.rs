//! What watches a kernel from another thread: the monitor.
//!
//! A kernel with a watcher keeps a mark of the task that is being polled (`task/mark.rs`), and has
//! a run loop of its own for that, so that a kernel without one executes no instruction more. A
//! *look* is a closure that the kernel runs between two polls. A link to a kernel is no
//! [`Handle`](crate::Handle): that it exists is no reason for an idle kernel to wait.

use std::sync::Arc;

use crate::core::state::Core;
use crate::error::KernelGone;
use crate::id::TaskId;
use crate::insight::info::short_type;
use crate::task::mark::{Mark, TaskName};
use crate::task::waker::{Message, Remote};

/// Something that watches a kernel from another thread.
#[doc(hidden)]
pub trait Watcher: 'static {
    /// The kernel was made.
    fn begin(&self, link: Link);

    /// The kernel was closed, and refuses looks. It is called once, after [`begin`](Self::begin),
    /// on the thread that drops the kernel.
    fn end(&self);
}

/// The way from another thread to a kernel that has a [`Watcher`].
#[doc(hidden)]
#[derive(Clone)]
pub struct Link {
    remote: Arc<Remote>,
    mark: Arc<Mark>,
    core: Option<usize>,
}

/// The poll that goes on at the moment.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollMark {
    /// The task. `None`: the kernel is between two polls, or does not run.
    pub task: Option<TaskId>,
    /// A number that the next poll changes.
    pub polls: u32,
}

impl Link {
    pub(crate) fn to(core: &Core) -> Option<Self> {
        let mark = core.mark.clone()?;
        Some(Link { remote: core.remote().clone(), mark, core: core.settings.core })
    }

    /// The number of its core, if the kernel is one of several.
    pub fn core(&self) -> Option<usize> {
        self.core
    }

    /// Has the kernel run `look` between two polls, where [`tasks`](crate::tasks) and other
    /// functions of a running kernel work. A sleeping kernel is woken. If the kernel ends before,
    /// `look` is dropped on its thread. A kernel that does not run at the moment runs it later.
    ///
    /// # Errors
    ///
    /// [`KernelGone`]; `look` is dropped here.
    pub fn look(&self, look: impl FnOnce() + Send + 'static) -> Result<(), KernelGone> {
        self.remote.post(Message::Look(Box::new(look))).map_err(|_| KernelGone)
    }

    /// As [`Handle::request_cancel`](crate::Handle::request_cancel).
    ///
    /// # Errors
    ///
    /// [`KernelGone`].
    pub fn request_cancel(&self, task: TaskId) -> Result<(), KernelGone> {
        self.remote.post(Message::Cancel(task)).map_err(|_| KernelGone)
    }

    /// The poll that goes on at the moment. It may have ended when this returns. The kernel is not
    /// asked, so this also works while a task blocks its thread.
    pub fn poll_mark(&self) -> PollMark {
        let (task, polls) = self.mark.poll();
        PollMark { task, polls }
    }

    /// The name of a task that [`poll_mark`](Self::poll_mark) has shown.
    pub fn name_of(&self, task: TaskId) -> Option<String> {
        Some(match self.mark.name(task)? {
            TaskName::Type(type_name) => short_type(type_name()),
            TaskName::Given(name) => name.into_owned(),
        })
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("mark", &self.poll_mark()).finish_non_exhaustive()
    }
}
