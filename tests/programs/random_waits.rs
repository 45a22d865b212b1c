//! Random programs whose tasks wait for each other. No task of a verdict goes on, unless one of
//! its tasks is cancelled or aborted: a `select` drops the group of its losing branch, and a group
//! whose member fails cancels the others.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, join, select};
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::insight::Verdict;
use kernel::{
    Kernel, Report, Task, TaskCancelled, TaskEnd, TaskGroup, TaskId, current_task_id, ignore_after,
    sleep, spawn, testing, yield_now,
};
use sync::{Event, Lock};

use crate::plain::Random;
use crate::random_programs::seeds;

type Unit = Result<(), TaskCancelled>;

/// A verdict, with the number of steps that each of its tasks had done when it was told.
type Told = (String, Vec<(TaskId, u64)>);

/// What the tasks of a program share.
struct World {
    random: RefCell<Random>,
    tasks: RefCell<Vec<Rc<Task<(), TaskCancelled>>>>,
    /// The children of borrowing scopes that were cancelled or dropped. They have no handle here.
    gone: RefCell<HashSet<TaskId>>,
    events: [Event; 3],
    locks: [Lock<()>; 3],
    /// The number of steps that each task has done.
    done: RefCell<HashMap<TaskId, u64>>,
    told: RefCell<Vec<Told>>,
    circles: Cell<usize>,
}

impl World {
    fn new(seed: u64) -> Rc<Self> {
        Rc::new(World {
            random: RefCell::new(Random::new(seed)),
            tasks: RefCell::default(),
            gone: RefCell::default(),
            events: Default::default(),
            locks: Default::default(),
            done: RefCell::default(),
            told: RefCell::default(),
            circles: Cell::new(0),
        })
    }

    fn below(&self, limit: usize) -> usize {
        self.random.borrow_mut().below(limit)
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(1 + self.below(5) as u64)
    }

    fn note(&self, verdict: &Verdict) {
        self.circles.set(self.circles.get() + 1);
        let tasks = verdict.tasks().into_iter().map(|task| (task, self.steps_of(task)));
        self.told.borrow_mut().push((verdict.to_string(), tasks.collect()));
    }

    fn steps_of(&self, task: TaskId) -> u64 {
        self.done.borrow().get(&task).copied().unwrap_or(0)
    }

    /// Whether the task was cancelled or aborted.
    fn was_ended(&self, task: TaskId) -> bool {
        let tasks = self.tasks.borrow();
        let end = tasks.iter().find(|other| other.id() == task).and_then(|task| task.end());
        matches!(end, Some(TaskEnd::Cancelled | TaskEnd::Aborted))
            || self.gone.borrow().contains(&task)
    }

    /// The verdicts whose tasks have gone on after all.
    fn false_verdicts(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (text, tasks) in self.told.take() {
            if tasks.iter().any(|(task, _)| self.was_ended(*task)) {
                continue;
            }
            let gone_on = tasks.iter().filter(|(task, then)| self.steps_of(*task) > *then);
            faults.extend(gone_on.map(|(task, _)| format!("{task} went on after: {text}")));
        }
        faults
    }
}

fn steps(world: Rc<World>, depth: usize) -> Pin<Box<dyn Future<Output = Unit>>> {
    Box::pin(async move {
        for _ in 0..=world.below(3) {
            let ended = step(world.clone(), depth).await;
            let task = current_task_id().expect("a task is polled");
            *world.done.borrow_mut().entry(task).or_default() += 1;
            ended?;
        }
        Ok(())
    })
}

/// Notes the child of a borrowing scope that does not end well.
struct Child {
    world: Rc<World>,
    id: TaskId,
    ended_well: bool,
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended_well {
            self.world.gone.borrow_mut().insert(self.id);
        }
    }
}

/// The steps of a child of a borrowing scope.
async fn child(world: Rc<World>, depth: usize) -> Unit {
    let id = current_task_id().expect("a task is polled");
    let mut child = Child { world: world.clone(), id, ended_well: false };
    let ended = steps(world, depth).await;
    child.ended_well = ended.is_ok();
    ended
}

/// One step; with a depth, it may hold others.
fn step(world: Rc<World>, depth: usize) -> Pin<Box<dyn Future<Output = Unit>>> {
    let kind = world.below(if depth > 0 { 19 } else { 8 });
    Box::pin(async move {
        match kind {
            0 => sleep(world.seconds()).await,
            1 => yield_now().await,
            2 => world.events[world.below(3)].wait().await,
            3 => {
                world.events[world.below(3)].set();
                Ok(())
            }
            4 | 5 => {
                let tasks = world.tasks.borrow().clone();
                match tasks.len() {
                    0 => Ok(()),
                    count => tasks[world.below(count)].wait().await.map(drop),
                }
            }
            6 => {
                let graph = kernel::wait_graph();
                graph.verdicts().iter().for_each(|verdict| world.note(verdict));
                Ok(())
            }
            7 => {
                let guard = world.locks[world.below(3)].acquire().await?;
                yield_now().await?;
                drop(guard);
                Ok(())
            }
            _ => composed(world, kind, depth - 1).await,
        }
    })
}

/// A step that holds others.
async fn composed(world: Rc<World>, kind: usize, depth: usize) -> Unit {
    let inner = || steps(world.clone(), depth);
    match kind {
        8 => ignore_after(world.seconds(), inner()).await.map(drop),
        9 => {
            select(inner(), inner()).await;
            Ok(())
        }
        10 => {
            let (one, two) = join(inner(), inner()).await;
            one.and(two)
        }
        11 => {
            let mut all: FuturesUnordered<_> = [inner(), inner()].into_iter().collect();
            while let Some(ended) = all.next().await {
                ended?;
            }
            Ok(())
        }
        12 => {
            TaskGroup::scope(async |g| {
                for _ in 0..=world.below(2) {
                    let member = g.spawn(steps(world.clone(), depth));
                    world.tasks.borrow_mut().push(Rc::new(member));
                }
                inner().await
            })
            .await
        }
        13 => {
            kernel::scope(async |s| {
                s.spawn(child(world.clone(), depth));
                inner().await
            })
            .await
        }
        14 => {
            let guard = world.locks[world.below(3)].acquire().await?;
            let ended = inner().await;
            drop(guard);
            ended
        }
        15..=17 => kept(world, kind, depth).await,
        _ => {
            let task = spawn(steps(world.clone(), depth));
            world.tasks.borrow_mut().push(Rc::new(task));
            Ok(())
        }
    }
}

/// A step that keeps a future, and does not poll it during other steps.
async fn kept(world: Rc<World>, kind: usize, depth: usize) -> Unit {
    let inner = || steps(world.clone(), depth);
    match kind {
        15 => {
            // A wait for a lock that is kept, and not polled during the other steps.
            let lock = world.below(3);
            let mut kept = pin!(world.locks[lock].acquire());
            let pause = pin!(yield_now());
            let begun = select(kept.as_mut(), pause).await;
            if matches!(begun, Either::Left(_)) {
                return Ok(());
            }
            drop(begun);
            let ended = inner().await;
            match world.below(2) {
                0 => kept.await.map(drop).and(ended),
                _ => ended,
            }
        }
        16 => {
            // A scope that is kept, whose children are not polled during the other steps.
            let scope = kernel::scope(async |s| {
                s.spawn(child(world.clone(), depth));
                inner().await
            });
            let mut kept = pin!(scope);
            let pause = pin!(yield_now());
            let begun = select(kept.as_mut(), pause).await;
            if let Either::Left((ended, _)) = begun {
                return ended;
            }
            drop(begun);
            inner().await?;
            kept.await
        }
        _ => {
            // A wait for a lock in a stream that is not polled during the other steps.
            let lock = world.below(3);
            let wait = async || world.locks[lock].acquire().await.map(drop);
            let pause = async || yield_now().await;
            let mut all = FuturesUnordered::new();
            all.push(Either::Left(wait()));
            all.push(Either::Right(pause()));
            while let Some(ended) = all.next().await {
                ended?;
                inner().await?;
            }
            Ok(())
        }
    }
}

/// Runs a program. Gives the number of verdicts, and those that were false.
fn run(seed: u64) -> (usize, Vec<String>) {
    let world = World::new(seed);
    let sink = world.clone();
    // A step that swallows a cancellation may wait for ever.
    let builder = Kernel::builder().seed(seed).shutdown_grace(Duration::from_secs(1)).watch();
    let builder = builder.on_report(move |report| {
        if let Report::Verdict(verdict) = report {
            sink.note(verdict);
        }
    });
    let faults = testing::run_with(builder, async || {
        for _ in 0..3 + world.below(4) {
            let task = spawn(steps(world.clone(), 3));
            world.tasks.borrow_mut().push(Rc::new(task));
        }
        // By then every task has ended, or waits for ever.
        for _ in 0..300 {
            sleep(Duration::from_secs(1)).await.expect("main is not cancelled");
        }
        let faults = world.false_verdicts();
        world.tasks.take();
        faults
    });
    (world.circles.get(), faults)
}

/// M5: no task of a verdict goes on.
#[test]
fn no_verdict_of_a_random_program_is_false() {
    let (mut circles, mut faults) = (0, Vec::new());
    let seeds = seeds(40);
    for &seed in &seeds {
        let (verdicts, wrong) = run(seed);
        circles += usize::from(verdicts > 0);
        faults.extend(wrong.into_iter().map(|fault| format!("seed {seed}: {fault}")));
    }
    assert!(faults.is_empty(), "{} false verdicts, as in {}", faults.len(), faults[0]);
    let both = circles > 0 && circles < seeds.len();
    assert!(both || seeds.len() == 1, "{circles} programs have a verdict");
}
