//! The plain steps: one leaf each, or none.

use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::{TaskEnd, TaskError, cancellable, check_cancellation, sleep, sleep_until, yield_now};

use super::budget::Cost;
use super::busy::busy;
use super::flood::{expose, flood};
use super::gate::{Gate, Turnstile};
use super::leaf::{Traits, watch};
use super::model::{Fault, TaskModel};
use super::program::{Body, Ms, Step};
use super::run::{Flow, Frame, exec};
use super::world::World;

pub(crate) async fn plain(frame: &Frame, step: &Step) -> Flow {
    match step {
        Step::Sleep(_) | Step::SleepUntil(_) | Step::SleepForever => time(frame, step).await,
        Step::Yield => Ok(watch(frame, "yield", yielding(), yield_now()).await?),
        Step::Foreign(times, false) => {
            Foreign(*times).await;
            Ok(())
        }
        Step::Foreign(times, true) => {
            let foreign = cancellable(Foreign(*times));
            Ok(watch(frame, "foreign", Traits::of(Gate::Unknown), foreign).await?)
        }
        Step::ForeignForever => {
            let never = cancellable(pending());
            Ok(watch(frame, "foreign", Traits::of(Gate::Time(None)), never).await?)
        }
        Step::Check => {
            check(frame);
            Ok(())
        }
        Step::Lock(which, body) => lock(frame, *which, body).await,
        Step::Permits(which, n, body) => permits(frame, *which, *n, body).await,
        Step::Busy(ready, times) => busy(frame, *ready, *times).await,
        Step::Flood(posted) => {
            flood(frame, posted);
            Ok(())
        }
        Step::Expose => {
            expose(frame).await;
            Ok(())
        }
        Step::Condition => condition(frame).await,
        Step::Event(_) | Step::Put(_) | Step::Get(_) => shared(frame, step).await,
        Step::Set(which) => {
            let (event, model) = &frame.world.events[*which];
            model.set();
            event.set();
            Ok(())
        }
        Step::Clear(which) => {
            let (event, model) = &frame.world.events[*which];
            model.set.set(false);
            event.clear();
            Ok(())
        }
        Step::Notify(n) => {
            frame.world.condition.1.notify(*n);
            Ok(())
        }
        _ => of_task(frame, step).await,
    }
}

/// Not a future of Curium: pending so often, and always woken.
struct Foreign(u32);

impl Future for Foreign {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A yield uses none of the budget.
fn yielding() -> Traits {
    Traits { cost: Cost::NOTHING, ..Traits::of(Gate::Again) }
}

async fn time(frame: &Frame, step: &Step) -> Flow {
    let now = frame.world.now();
    let (due, sleep): (Option<Ms>, _) = match step {
        Step::Sleep(time) => (Some(now + time), sleep(Duration::from_millis(*time))),
        Step::SleepUntil(at) => (Some(*at), sleep_until(frame.world.instant(*at))),
        _ => (None, sleep(Duration::MAX)),
    };
    Ok(watch(frame, "sleep", Traits::of(Gate::Time(due)), sleep).await?)
}

fn check(frame: &Frame) {
    let world = &frame.world;
    world.observe(&frame.task);
    let found = check_cancellation();
    if let Some(expected) = frame.scope.sees_pending(world.now()) {
        world.check(found.is_some() == expected, || {
            format!("C7: {} sees {found:?}, pending {expected}", frame.task.name())
        });
    }
}

/// Permits that are held, in the model.
pub(crate) struct Held(Rc<Turnstile>, usize);

impl Held {
    pub(crate) fn new(turnstile: &Rc<Turnstile>, n: usize) -> Self {
        Held(turnstile.clone(), n)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

async fn lock(frame: &Frame, which: usize, body: &Body) -> Flow {
    let lock = &frame.world.locks[which];
    let traits = Traits::of(Gate::Permits(lock.model.clone(), 1));
    let guard = watch(frame, "lock", traits, lock.real.acquire()).await?;
    let held = Held::new(&lock.model, 1);
    let result = exec(frame, body).await;
    drop((guard, held));
    result
}

async fn permits(frame: &Frame, which: usize, n: usize, body: &Body) -> Flow {
    let semaphore = &frame.world.semaphores[which];
    let traits = Traits::of(Gate::Permits(semaphore.model.clone(), n));
    let permits = watch(frame, "permits", traits, semaphore.real.acquire_many(n)).await?;
    let held = Held::new(&semaphore.model, n);
    let (left, model) = (semaphore.real.available(), semaphore.model.free.get());
    frame.world.check(left == model, || format!("Y2: {left} permits left, not {model}"));
    let result = exec(frame, body).await;
    drop((permits, held));
    result
}

/// Inside a lock. Checks that no other task is.
struct Inside<'a>(&'a World);

impl<'a> Inside<'a> {
    fn new(frame: &'a Frame) -> Self {
        let before = frame.world.inside.replace(Some(frame.task.number));
        frame.world.check(before.is_none(), || "Y2: two hold one lock".to_owned());
        Inside(&frame.world)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.set(None);
    }
}

async fn condition(frame: &Frame) -> Flow {
    let (lock, changed) = &frame.world.condition;
    let guard = watch(frame, "its lock", Traits::of_several(), lock.acquire()).await?;
    drop(Inside::new(frame));
    let guard = watch(frame, "condition", Traits::of_several(), changed.wait(guard)).await?;
    let inside = Inside::new(frame);
    let result = watch(frame, "yield", yielding(), yield_now()).await;
    drop(inside);
    drop(guard);
    Ok(result?)
}

async fn shared(frame: &Frame, step: &Step) -> Flow {
    let (world, unknown) = (&frame.world, Traits::of(Gate::Unknown));
    match step {
        Step::Event(which) => {
            let (event, model) = &world.events[*which];
            let traits = Traits::of(Gate::Event(model.clone()));
            watch(frame, "event", traits, event.wait()).await?;
        }
        Step::Put(which) => {
            let (queue, item) = (&world.queues[*which], world.next());
            watch(frame, "put", unknown, queue.real.put(item)).await?;
            queue.put.borrow_mut().insert(item);
        }
        Step::Get(which) => {
            let queue = &world.queues[*which];
            let item = watch(frame, "get", unknown, queue.real.get()).await?;
            world.got(queue, item);
        }
        _ => unreachable!("only shared things are passed"),
    }
    Ok(())
}

/// Joins, cancels, aborts some task.
async fn of_task(frame: &Frame, step: &Step) -> Flow {
    let world = &frame.world;
    let (Step::Join(pick)
    | Step::WaitFor(pick)
    | Step::Cancel(pick)
    | Step::CancelWithin(pick, _)
    | Step::Request(pick)
    | Step::Abort(pick)) = step
    else {
        unreachable!("{step:?} is no plain step");
    };
    let Some(target) = world.pick(&frame.task, *pick) else { return Ok(()) };
    let Some(handle) = target.handle.borrow().clone() else { return Ok(()) };
    let itself = target.number == frame.task.number;
    world.say(&format!("{} {step:?}: {}", frame.task.name(), target.name()));
    let end = if itself { Gate::Unknown } else { Gate::End(target.clone()) };
    let mut traits = Traits::of(end);
    match step {
        Step::Join(_) => {
            traits.joins = Some(target.clone());
            let outcome = watch(frame, "join", traits, handle.join()).await?;
            return joined(frame, &target, outcome);
        }
        Step::WaitFor(_) => watch(frame, "wait", traits, handle.wait()).await?,
        Step::Cancel(_) => {
            traits.asks = Some(target.clone());
            watch(frame, "cancel", traits, handle.cancel()).await?;
            has_ended(frame, &target);
        }
        Step::CancelWithin(_, grace) => {
            traits = Traits::of_several();
            traits.asks = Some(target.clone());
            let cancel = handle.cancel_within(Duration::from_millis(*grace));
            watch(frame, "cancel_within", traits, cancel).await?;
            has_ended(frame, &target);
            world.check_dropped();
        }
        Step::Request(_) => {
            world.asks(&target);
            handle.request_cancel();
        }
        _ => {
            handle.abort();
            if !itself {
                has_ended(frame, &target);
            }
            world.check_dropped();
        }
    }
    Ok(())
}

fn has_ended(frame: &Frame, target: &TaskModel) {
    let live = target.live.get();
    frame.world.check(!live, || format!("C5: {} lives on after its cancel", target.name()));
}

/// Checks what `join` returned against the model (C6). The error of another task is passed on.
fn joined(frame: &Frame, target: &TaskModel, outcome: Result<usize, TaskError<Fault>>) -> Flow {
    let (end, error) = match outcome {
        Ok(number) => {
            let right = number == target.number;
            frame.world.check(right, || "G6: the value of another task".to_owned());
            (TaskEnd::Ok, None)
        }
        Err(TaskError::Failed(error)) => (TaskEnd::Failed, Some(error)),
        Err(TaskError::Cancelled(error)) => (TaskEnd::Cancelled, Some(error)),
        Err(TaskError::Panicked(_)) => (TaskEnd::Panicked, None),
        Err(TaskError::Aborted) => (TaskEnd::Aborted, None),
        Err(TaskError::Taken) => {
            let taken = target.taken.get() || target.group.is_some();
            frame.world.check(taken, || format!("G6: {} was not taken", target.name()));
            return Ok(());
        }
    };
    target.taken.set(true);
    let name = target.name();
    frame.world.say(&format!("{} joined {name}: {end:?}", frame.task.name()));
    let ended = target.ended.get();
    frame.world.check(target.allows(end), || format!("C6: {name}: {ended:?} became {end:?}"));
    match error {
        Some(error) if target.number % 2 == 1 => Err(error),
        _ => Ok(()),
    }
}
