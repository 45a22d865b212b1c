//! Every parked task shows where and on what it is parked: `tasks`, `current_task`, and the handle
//! (C9, K8).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    Task, TaskCancelled, TaskGroup, TaskId, TaskInfo, TaskState, sleep, spawn, spawn_named,
    testing, timeout_after, yield_now,
};
use sync::{Event, Lock, Queue};

use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;

fn find(name: &str) -> TaskInfo {
    let tasks = kernel::tasks();
    tasks.into_iter().find(|task| task.name.contains(name)).expect("no such task")
}

/// C9, K8: a parked task gives the file and line of the call that parked it, not of the library.
#[test]
fn a_parked_task_gives_the_callers_file_and_line() {
    testing::run(async || {
        let (event, lock) = (Rc::new(Event::new()), Rc::new(Lock::new(())));
        let queue = Rc::new(Queue::<u32>::unbounded());
        let held = lock.acquire().await.unwrap();
        let (e, l, q) = (event.clone(), lock.clone(), queue.clone());
        let parked = spawn(async { sleep(Duration::MAX).await });
        let joined = Rc::new(parked);
        let j = joined.clone();
        let tasks = [
            (line!(), spawn(async move { e.wait().await })),
            (line!(), spawn(async move { l.acquire().await.map(drop) })),
            (line!(), spawn(async move { q.get().await.map(drop) })),
            (line!(), spawn(async move { j.join().await.map(drop) })),
            (line!(), spawn(async { sleep(Duration::MAX).await })),
        ];
        testing::settle().await.unwrap();
        for (line, task) in &tasks {
            let site = task.parked_at().expect("parked, but nowhere");
            assert_eq!((site.file(), site.line()), (file!(), *line), "{task:?}");
        }
        for (at, kind) in [(0, "EVENT_WAIT"), (3, "JOIN"), (4, "SLEEP")] {
            assert_eq!(tasks[at].1.state(), TaskState::Parked(kind));
        }
        drop(held);
    });
}

/// C9: so inside combinators. A task in `join!` is parked in several places.
#[test]
fn a_task_with_several_leaves_shows_them_all() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let line = line!() + 2;
        let task = spawn_named("several", async move {
            let (slept, waited) = futures::join!(sleep(secs(9)), theirs.wait());
            slept.and(waited)
        });
        testing::settle().await.unwrap();
        let info = find("several");
        let mut kinds: Vec<_> = info.parked.iter().map(|leaf| leaf.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["EVENT_WAIT", "SLEEP"]);
        assert!(info.parked.iter().all(|leaf| leaf.site.file() == file!()));
        assert!(info.parked.iter().all(|leaf| leaf.site.line() == line));
        event.set();
        testing::settle().await.unwrap();
        let kinds: Vec<_> = find("several").parked.iter().map(|leaf| leaf.kind).collect();
        assert_eq!(kinds, ["SLEEP"]);
        task.join().await.unwrap().unwrap();
    });
}

/// K8: the tree shows which task spawned which, members of groups too, in order of spawning.
#[test]
fn the_tree_says_who_spawned_whom() {
    async fn child() -> Ended {
        sleep(secs(9)).await
    }
    async fn parent() -> Ended {
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(child());
            Ok(())
        })
        .await
    }
    testing::run(async || {
        let me = kernel::current_task();
        assert_eq!((me.name.as_str(), me.parent, me.state), ("main", None, TaskState::Running));
        let task = spawn(parent());
        testing::settle().await.unwrap();
        let tasks = kernel::tasks();
        assert_eq!(tasks.len(), 3);
        assert_eq!(tasks[0].id, me.id);
        assert!(tasks[1].name.contains("parent") && tasks[2].name.contains("child"), "{tasks:?}");
        assert_eq!((tasks[1].parent, tasks[2].parent), (Some(me.id), Some(task.id())));
        assert_eq!(tasks[1].id, task.id());
    });
}

/// The tasks of [`each_task_is_shown_with_its_own_parent_and_type`]: the expected facts of each.
#[derive(Default)]
struct Wood {
    known: RefCell<HashMap<TaskId, (TaskId, &'static str)>>,
    standing: RefCell<Vec<Task<(), TaskCancelled>>>,
}

impl Wood {
    fn grows(&self, task: Task<(), TaskCancelled>, kind: &'static str) {
        self.known.borrow_mut().insert(task.id(), (kernel::current_task().id, kind));
        self.standing.borrow_mut().push(task);
    }

    /// An elm spawns its own sapling.
    fn plant(self: &Rc<Self>, elm: bool) {
        async fn sapling() -> Ended {
            sleep(Duration::MAX).await
        }
        async fn oak() -> Ended {
            sleep(Duration::MAX).await
        }
        async fn elm_tree(wood: Rc<Wood>) -> Ended {
            wood.grows(spawn(sapling()), "sapling");
            sleep(Duration::MAX).await
        }
        match elm {
            false => self.grows(spawn(oak()), "oak"),
            true => self.grows(spawn(elm_tree(self.clone())), "elm_tree"),
        }
    }

    /// Compares what the monitor shows with the expected facts.
    fn check(&self) {
        let tasks = kernel::tasks();
        assert_eq!(tasks.len(), 1 + self.standing.borrow().len());
        for task in &tasks[1..] {
            let (parent, kind) = self.known.borrow()[&task.id];
            assert!(task.name.ends_with(kind), "{} is shown for {kind}", task.name);
            assert_eq!(task.parent, Some(parent), "of {kind} {:?}", task.id);
        }
        assert_eq!((tasks[0].name.as_str(), tasks[0].parent), ("main", None));
    }
}

/// K8: a task that reuses a slot, or has neighbours, is shown with its own parent and type.
#[test]
fn each_task_is_shown_with_its_own_parent_and_type() {
    testing::run(async || {
        let wood = Rc::new(Wood::default());
        // Goes through all numbers below a hundred, in a mixed order.
        let mut number = 0;
        let mut next = || {
            number = (number * 61 + 17) % 100;
            number
        };
        // The elms per hundred, and how many tasks are left.
        for (elms, left) in [(0, 300), (10, 150), (100, 100), (50, 0), (100, 0), (0, 10)] {
            for _ in 0..200 {
                wood.plant(next() < elms);
            }
            testing::settle().await.unwrap();
            wood.check();
            while wood.standing.borrow().len() > left {
                let at = 3 * next() % wood.standing.borrow().len();
                let task = wood.standing.borrow_mut().swap_remove(at);
                task.cancel().await.unwrap();
            }
            wood.check();
        }
    });
}

/// K8: the states of a task, from its spawn to its end.
#[test]
fn a_task_goes_through_its_states() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let task = spawn(async move {
            assert_eq!(kernel::current_task().state, TaskState::Running);
            theirs.wait().await
        });
        assert_eq!((task.state(), task.parked_at()), (TaskState::Ready, None));
        yield_now().await.unwrap();
        assert_eq!(task.state().to_string(), "EVENT_WAIT");
        event.set();
        assert_eq!(task.state(), TaskState::Ready);
        assert!(!task.is_done());
        task.wait().await.unwrap();
        assert_eq!((task.state(), task.parked_at()), (TaskState::Ended, None));
        assert!(task.is_done());
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// C9: a task that is parked in no leaf of Curium is shown as such.
#[test]
fn a_task_in_a_foreign_future_is_shown_as_such() {
    testing::run(async || {
        let task = spawn(std::future::pending::<Ended>());
        testing::settle().await.unwrap();
        assert_eq!((task.state(), task.parked_at()), (TaskState::Foreign, None));
        assert_eq!(task.state().to_string(), "FOREIGN");
        task.abort();
    });
}

/// K8: names: the given name, or else the type of the future.
#[test]
fn a_task_has_a_name() {
    async fn brews_coffee() -> Ended {
        sleep(secs(1)).await
    }
    testing::run(async || {
        let plain = spawn(brews_coffee());
        let named = spawn_named(format!("brewer {}", 7), brews_coffee());
        assert!(plain.name().ends_with("brews_coffee"), "{}", plain.name());
        assert_eq!(named.name(), "brewer 7");
        let debug = format!("{named:?}");
        for part in ["brewer 7", "Ready", &named.id().to_string()] {
            assert!(debug.contains(part), "{debug} has no {part}");
        }
        named.wait().await.unwrap();
        assert_eq!(named.name(), "brewer 7");
        // Its slot is reused, its name is not.
        drop(named);
        let next = spawn(brews_coffee());
        assert!(next.name().ends_with("brews_coffee"), "{}", next.name());
    });
}

/// K8: the deadline is that of the earliest timeout round the task.
#[test]
fn a_task_shows_its_earliest_deadline() {
    testing::run(async || {
        let started = kernel::now();
        spawn_named("bounded", async {
            let inner = timeout_after(secs(9), sleep(Duration::MAX));
            timeout_after(secs(5), async { inner.await.unwrap() }).await.unwrap()
        });
        spawn_named("free", sleep(Duration::MAX));
        testing::settle().await.unwrap();
        assert_eq!(find("bounded").deadline, Some(started + secs(5)));
        assert_eq!(find("free").deadline, None);
        assert_eq!(find("bounded").site().map(|site| site.file()), Some(file!()));
        // After it the task would fail its own unwrap.
        assert_eq!(kernel::now(), started);
        find("bounded");
    });
}

/// K8: how many polls it had, how long it has been parked, and whether it was cancelled.
#[test]
fn a_task_shows_its_cycles_its_waiting_and_its_cancel() {
    testing::run(async || {
        let task = spawn_named("counted", async {
            yield_now().await?;
            yield_now().await?;
            let delivered = sleep(Duration::MAX).await;
            sleep(secs(9)).await?;
            delivered
        });
        testing::advance(secs(2)).await.unwrap();
        let info = find("counted");
        assert_eq!((info.cycles, info.waiting, info.cancelled), (3, Some(secs(2)), false));
        task.request_cancel();
        testing::advance(secs(1)).await.unwrap();
        let info = find("counted");
        assert_eq!((info.cycles, info.waiting, info.cancelled), (4, Some(secs(1)), true));
        let text = info.to_string();
        for part in ["counted", "SLEEP", file!(), &task.id().to_string()] {
            assert!(text.contains(part), "{text} has no {part}");
        }
    });
}
