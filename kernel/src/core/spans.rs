//! A span of `tracing` for each task, in the form that tokio-console reads.
//!
//! Its functions are `#[inline]`, so that only programs that ask for spans compile them.

use std::cell::RefCell;
use std::collections::HashMap;

use tracing::Span;

use crate::core::observer::{Observed, Observer};
use crate::id::TaskId;

/// An observer that makes a span `runtime.spawn` for each task, and enters it around each poll.
/// The span closes when the task has ended.
#[derive(Default)]
pub(crate) struct TaskSpans {
    spans: RefCell<HashMap<TaskId, Span>>,
}

impl TaskSpans {
    /// The span of a task. It is cloned, because the subscriber is code of the program.
    #[inline]
    fn of(&self, task: &Observed<'_>) -> Option<Span> {
        self.spans.borrow().get(&task.id()).cloned()
    }
}

impl Observer for TaskSpans {
    #[inline]
    fn created(&self, task: &Observed<'_>) {
        // The fields are made only if a subscriber wants the span.
        let span = tracing::trace_span!(
            target: "curium",
            "runtime.spawn",
            kind = "task",
            task.name = %task.name(),
            task.id = task.id().to_bits(),
        );
        if !span.is_disabled() {
            self.spans.borrow_mut().insert(task.id(), span);
        }
    }

    #[inline]
    fn running(&self, task: &Observed<'_>) {
        if let Some(span) = self.of(task) {
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
        }
    }

    #[inline]
    fn suspended(&self, task: &Observed<'_>) {
        if let Some(span) = self.of(task) {
            span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        }
    }

    #[inline]
    fn terminated(&self, task: &Observed<'_>) {
        let span = self.spans.borrow_mut().remove(&task.id());
        drop(span);
    }
}
