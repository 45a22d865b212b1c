//! Observers of tasks: what they see, in which order, and what they may do (K12).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    Kernel, Observed, Observer, ProgramCode, Report, TaskCancelled, TaskGroup, TaskState,
    cancellable, scope, sleep, spawn, spawn_named, spawn_thread_named, testing, yield_now,
};

use crate::support::reports;
use crate::support::time::secs;

type Log = Rc<RefCell<Vec<String>>>;

/// Logs what the tasks do whose names begin with `prefix`.
struct Watcher {
    prefix: &'static str,
    log: Log,
}

impl Watcher {
    fn note(&self, what: &str, task: &Observed<'_>) {
        let name = task.name();
        if name.starts_with(self.prefix) {
            self.log.borrow_mut().push(format!("{name} {what}"));
        }
    }
}

impl Observer for Watcher {
    fn created(&self, task: &Observed<'_>) {
        self.note("created", task);
    }

    fn running(&self, task: &Observed<'_>) {
        self.note("running", task);
    }

    fn suspended(&self, task: &Observed<'_>) {
        self.note("suspended", task);
    }

    fn terminated(&self, task: &Observed<'_>) {
        assert_eq!(task.info().state, TaskState::Ended);
        let end = task.end().expect("it has ended");
        self.note(&format!("terminated {end:?}"), task);
    }
}

/// What the tasks whose names begin with `prefix` do while `main` runs.
fn watched(prefix: &'static str, main: impl AsyncFnOnce()) -> Vec<String> {
    let log = Log::default();
    let watcher = Watcher { prefix, log: log.clone() };
    testing::run_with(Kernel::builder().observer(watcher), main);
    log.take()
}

async fn naps(times: u32) -> Result<(), TaskCancelled> {
    for _ in 0..times {
        sleep(secs(1)).await?;
    }
    Ok(())
}

/// K12: each poll is between `running` and `suspended`, and the end comes after the last of them.
#[test]
fn an_observer_sees_each_poll_and_the_end_of_a_task() {
    let seen = watched("kid", async || {
        spawn_named("kid", naps(1)).await.unwrap();
    });
    let polls = ["kid running", "kid suspended", "kid running", "kid suspended"];
    assert_eq!(seen, [&["kid created"], &polls[..], &["kid terminated Ok"]].concat());
}

/// K12: the main task is seen like any other.
#[test]
fn an_observer_sees_main() {
    let seen = watched("main", async || naps(1).await.unwrap());
    let polls = ["main running", "main suspended", "main running", "main suspended"];
    assert_eq!(seen, [&["main created"], &polls[..], &["main terminated Ok"]].concat());
}

/// K12, C6: every way to end is seen once: a failure, a panic, a cancellation, an abort, and a task
/// that is never polled.
#[test]
fn every_end_is_seen_once() {
    let ends = watched("end", async || {
        let failing = spawn_named("end-f", async { Err::<(), _>("well") });
        let panicking = spawn_named::<_, ()>("end-p", async { panic!("well") });
        let cancelled = spawn_named("end-c", naps(9));
        let aborted = spawn_named("end-a", async {
            cancellable(std::future::pending::<()>()).await.ok();
            std::future::pending::<()>().await;
        });
        yield_now().await.unwrap();
        assert!(failing.join().await.unwrap().is_err());
        assert!(panicking.join().await.unwrap().is_err());
        cancelled.cancel().await.unwrap();
        aborted.cancel_within(secs(1)).await.unwrap();
        // The shutdown cancels it before its first poll.
        drop(spawn_named("end-s", naps(1)));
    });
    let ends: Vec<&str> =
        ends.iter().filter(|line| line.contains("terminated")).map(String::as_str).collect();
    let expected = [
        "end-f terminated Failed",
        "end-p terminated Panicked",
        "end-c terminated Cancelled",
        "end-a terminated Aborted",
        "end-s terminated Cancelled",
    ];
    assert_eq!(ends, expected);
}

/// K12: members of groups, children of a borrowing scope and tasks of threads are seen too. A
/// child's poll is inside that of its task.
#[test]
fn tasks_of_every_kind_are_seen() {
    let seen = watched("", async || {
        spawn_thread_named("thread", |_| {}).await.unwrap();
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(yield_now());
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        scope(async |s| {
            s.spawn(async { Ok::<_, TaskCancelled>(()) });
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
    });
    let count = |what: &str| seen.iter().filter(|line| line.ends_with(what)).count();
    assert_eq!(count(" created"), 4, "{seen:#?}");
    assert_eq!(count(" terminated Ok"), 4, "{seen:#?}");
    assert_eq!(count(" running"), count(" suspended"));
    assert!(seen[0] == "main created" && seen.iter().any(|line| line == "thread created"));
    let child = seen.iter().position(|line| line.ends_with("are_seen running"));
    let before = seen[..child.expect("a child")].iter().rfind(|line| line.starts_with("main "));
    assert_eq!(before.expect("main"), "main running", "{seen:#?}");
}

/// Cancels or spawns as it sees tasks, and looks at all of them.
struct Meddler {
    spawned: RefCell<u32>,
}

impl Observer for Meddler {
    fn created(&self, task: &Observed<'_>) {
        assert!(kernel::tasks().iter().any(|other| other.id == task.id()));
        if task.name() == "victim" {
            kernel::handle().request_cancel(task.id()).unwrap();
        }
    }

    fn running(&self, _: &Observed<'_>) {
        assert_eq!(kernel::current_task_id(), None);
    }

    fn suspended(&self, task: &Observed<'_>) {
        if task.name() == "victim" && *self.spawned.borrow() < 3 {
            *self.spawned.borrow_mut() += 1;
            spawn_named("extra", naps(1));
        }
    }

    fn terminated(&self, task: &Observed<'_>) {
        assert!(!kernel::tasks().iter().any(|other| other.id == task.id()));
    }
}

/// K12, K9: no borrow of the kernel is held while an observer runs: it may look at the tasks,
/// cancel and spawn.
#[test]
fn an_observer_may_use_the_kernel() {
    let builder = Kernel::builder().observer(Meddler { spawned: RefCell::default() });
    testing::run_with(builder, async || {
        let victim = spawn_named("victim", naps(5));
        assert!(victim.join().await.unwrap().is_err());
        assert_eq!(kernel::tasks().iter().filter(|task| task.name == "extra").count(), 2);
        sleep(secs(2)).await.unwrap();
    });
}

/// What a task is parked on when it is suspended.
struct Places(Log);

impl Observer for Places {
    fn suspended(&self, task: &Observed<'_>) {
        if task.name() == "kid" && task.end().is_none() {
            self.0.borrow_mut().push(task.info().state.to_string());
        }
    }
}

/// K12: a suspended task shows where it is parked, or that it is ready again; in its last poll it
/// is still running.
#[test]
fn a_suspended_task_shows_where_it_is_parked() {
    let log = Log::default();
    let builder = Kernel::builder().observer(Places(log.clone()));
    testing::run_with(builder, async || {
        let kid = spawn_named("kid", async {
            yield_now().await?;
            sleep(secs(1)).await
        });
        kid.await.unwrap();
    });
    assert_eq!(log.take(), ["READY", "SLEEP", "RUNNING"]);
}

/// Panics at everything.
struct Clumsy;

impl Observer for Clumsy {
    fn created(&self, _: &Observed<'_>) {
        panic!("created");
    }

    fn running(&self, _: &Observed<'_>) {
        panic!("running");
    }

    fn suspended(&self, _: &Observed<'_>) {
        panic!("suspended");
    }

    fn terminated(&self, _: &Observed<'_>) {
        panic!("terminated");
    }
}

/// K12, K3, K6: a panic of an observer is reported, and changes nothing for the task or for other
/// observers.
#[test]
fn a_panic_of_an_observer_is_reported() {
    let log = Log::default();
    let watcher = Watcher { prefix: "kid", log: log.clone() };
    let builder = Kernel::builder().observer(Clumsy).observer(watcher);
    let panics = |report: &Report<'_>| match report {
        Report::PanicOutsideTask { code: ProgramCode::Observer, message } => {
            Some((*message).to_owned())
        }
        other => panic!("not expected: {other}"),
    };
    let (value, seen) = reports::picked(builder, panics, async || {
        let kid = spawn_named("kid", async { Ok::<_, TaskCancelled>(7) });
        kid.await.unwrap()
    });
    assert_eq!(value, 7);
    assert_eq!(log.borrow().len(), 4, "{log:?}");
    let kid_and_main = seen.iter().filter(|message| *message == "created").count();
    assert_eq!(kid_and_main, 2);
    assert_eq!(seen.iter().filter(|message| *message == "terminated").count(), 2);
}

/// K12, G4: members that are dropped with their group, and a kernel that is dropped, end what an
/// observer has seen.
#[test]
fn what_is_dropped_is_seen_to_end() {
    let log = Log::default();
    let kernel =
        Kernel::builder().observer(Watcher { prefix: "", log: log.clone() }).build().unwrap();
    kernel.run(async || {
        drop(spawn(sleep(Duration::MAX)));
        yield_now().await.unwrap();
        drop(spawn(sleep(Duration::MAX)));
    });
    drop(kernel);
    let log = log.take();
    let count = |what: &str| log.iter().filter(|line| line.ends_with(what)).count();
    assert_eq!((count(" created"), count(" terminated Ok")), (3, 1), "{log:#?}");
    assert_eq!(count(" terminated Aborted"), 2, "{log:#?}");
}
