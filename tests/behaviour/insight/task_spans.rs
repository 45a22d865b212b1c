//! A span of `tracing` for each task (M6).

use std::sync::{Arc, Mutex};

use kernel::{Kernel, TaskCancelled, spawn_named, testing, yield_now};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Default)]
struct Spans {
    log: Arc<Mutex<Vec<String>>>,
    /// The name of each task that has a span.
    names: Mutex<Vec<String>>,
    off: bool,
}

impl Spans {
    fn note(&self, what: &str, id: &Id) {
        let name = self.names.lock().unwrap()[id.into_u64() as usize - 1].clone();
        self.log.lock().unwrap().push(format!("{name} {what}"));
    }
}

struct Name(String);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "task.name" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !self.off && metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let fields: Vec<&str> = span.metadata().fields().iter().map(|field| field.name()).collect();
        assert_eq!(span.metadata().name(), "runtime.spawn");
        assert_eq!(fields, ["kind", "task.name", "task.id"]);
        let mut name = Name(String::new());
        span.record(&mut name);
        let mut names = self.names.lock().unwrap();
        names.push(name.0);
        Id::from_u64(names.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        self.note("enter", span);
    }

    fn exit(&self, span: &Id) {
        self.note("exit", span);
    }

    fn try_close(&self, span: Id) -> bool {
        self.note("close", &span);
        true
    }
}

/// What happens to the spans of the tasks.
fn spans(off: bool) -> Vec<String> {
    let log = Arc::default();
    let subscriber = Spans { log: Arc::clone(&log), off, ..Spans::default() };
    tracing::subscriber::with_default(subscriber, || {
        testing::run_with(Kernel::builder().trace_tasks(), async || {
            spawn_named("kid", yield_now()).await?;
            Ok::<_, TaskCancelled>(())
        })
        .unwrap();
    });
    std::mem::take(&mut *log.lock().unwrap())
}

/// M6: each task has a span, which is entered for each of its polls and closed at its end.
#[test]
fn a_task_has_a_span_that_is_entered_for_each_poll() {
    let kid = ["kid enter", "kid exit", "kid enter", "kid exit"];
    let seen = spans(false);
    let of_kid: Vec<&String> = seen.iter().filter(|line| line.starts_with("kid e")).collect();
    assert_eq!(of_kid, kid);
    assert_eq!(seen[0], "main enter");
    // Handles that are cloned close the span only at the end, after its last exit.
    let closed = seen.iter().rposition(|line| line == "kid close").expect("it is closed");
    let left = seen.iter().rposition(|line| line == "kid exit").expect("it was left");
    assert!(closed > left, "{seen:?}");
}

/// M6: a subscriber that does not want the spans gets none.
#[test]
fn no_span_is_made_for_a_subscriber_that_wants_none() {
    assert!(spans(true).is_empty());
}
