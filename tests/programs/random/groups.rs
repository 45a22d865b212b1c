//! The groups of a program, and the checks when one is left.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use kernel::{TaskCancelled, TaskGroup, WaitPolicy};

use super::budget::Cost;
use super::echo::{Hidden, Verdict};
use super::gate::Gate;
use super::held::Holds;
use super::leaf::{Traits, watch};
use super::model::{Ended, Fault, GroupModel, OwnError, Stage, Sure, Tagged};
use super::program::{Body, Ending, Shape};
use super::run::{Flow, Frame, TaskRun, exec, left_with};
use super::scope::{Kind, Left, Parked};
use super::sized::{self, Member};

/// Records that a group's future is gone.
struct Gone(Frame, Rc<GroupModel>);

impl Drop for Gone {
    fn drop(&mut self) {
        let (world, group) = (&self.0.world, &self.1);
        if !group.is_open() {
            return;
        }
        let running = world.polling.get() && world.running.get() == group.owner.number;
        let panicking = std::thread::panicking() && running;
        group.stage.set(if panicking { Stage::Left } else { Stage::Dropped });
        if panicking {
            let living = group.living().len();
            world.check(living == 0, || format!("G1: {living} outlive a group that panicked"));
        }
    }
}

fn open(frame: &Frame, wait: WaitPolicy, own: bool) -> (Rc<GroupModel>, Gone) {
    let mut groups = frame.world.groups.borrow_mut();
    let (owner, around) = (frame.task.clone(), frame.scope.clone());
    let group = GroupModel::new(groups.len(), wait, owner, around, own);
    groups.push(group.clone());
    frame.world.say(&format!("{} opens group {} {wait:?}", frame.task.name(), group.number));
    (group.clone(), Gone(frame.clone(), group))
}

impl GroupModel {
    /// The body has ended, and the group is being left.
    fn leaves(&self, frame: &Frame, well: bool) {
        self.stage.set(Stage::Leaving(well));
        self.leaving.set((frame.world.next(), frame.world.now()));
    }

    /// The wait for its members, as a leaf.
    fn parked(&self) -> Parked {
        let (seq, at) = self.leaving.get();
        Parked { seq, at, composite: false, as_of: None }
    }
}

/// `scope_all`, or `scope_with`.
pub(crate) async fn scope(frame: &Frame, wait: WaitPolicy, all: bool, body: &Body) -> Flow {
    let (group, gone) = open(frame, wait, false);
    let inside = {
        let (frame, group, body) = (frame.clone(), group.clone(), body.clone());
        async move |by| {
            let (mut inner, entered) = frame.enter(Kind::Body(group.clone()));
            inner.group = Some((by, group.clone()));
            inner.owned = None;
            let result = exec(&inner, &body).await;
            let left = left_with(&result, Shape::Known);
            let (_, verdict) = entered.leave(left);
            if let Left::Error(holds) = left {
                let of_owner = frame.scope.echoes_around(holds, frame.world.now());
                group.body.set(Some(OwnError { verdict, holds, of_owner }));
            }
            group.leaves(&frame, result.is_ok());
            result.map_err(|error| Tagged::wrap(None, group.number, error))
        }
    };
    let outcome = if all {
        let ended = Leaving::new(frame, &group, TaskGroup::<Fault>::scope_all(inside)).await;
        ended.map_err(|errors| std::iter::once(errors.first).chain(errors.others).collect())
    } else {
        let ended = Leaving::new(frame, &group, TaskGroup::<Fault>::scope_with(wait, inside)).await;
        ended.map_err(|error| vec![error])
    };
    let result = left(frame, &group, all, outcome);
    drop(gone);
    result
}

/// A group made by `new`, and ended in the way that the program says.
pub(crate) async fn group(frame: &Frame, wait: WaitPolicy, ending: Ending, body: &Body) -> Flow {
    let (model, gone) = open(frame, wait, true);
    let group = Rc::new(TaskGroup::<Fault>::with(wait));
    let mut inner = frame.clone();
    inner.group = Some((group.by_ref(), model.clone()));
    inner.owned = Some(group.clone());
    let result = exec(&inner, body).await;
    drop(inner);
    model.leaves(frame, true);
    let outcome = match ending {
        Ending::Drop => {
            drop((group, gone));
            frame.world.check_dropped();
            return result;
        }
        Ending::Join => {
            Leaving::new(frame, &model, group.join()).await.map_err(|error| vec![error])
        }
        Ending::JoinAll => Leaving::new(frame, &model, group.join_all())
            .await
            .map_err(|errors| std::iter::once(errors.first).chain(errors.others).collect()),
    };
    let left = left(frame, &model, matches!(ending, Ending::JoinAll), outcome);
    drop((group, gone));
    result.and(left)
}

/// Watches a group that is being left: a pending cancellation of the owner reaches the members.
struct Leaving<F> {
    inner: Pin<Box<F>>,
    frame: Frame,
    group: Rc<GroupModel>,
    /// The wait may keep a cancellation of the owner until the members have ended.
    hidden: Option<Hidden>,
}

impl<F> Leaving<F> {
    fn new(frame: &Frame, group: &Rc<GroupModel>, inner: F) -> Self {
        let (frame, group) = (frame.clone(), group.clone());
        Leaving { inner: Box::pin(inner), frame, group, hidden: None }
    }
}

impl<F: Future> Future for Leaving<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.inner.as_mut().poll(cx);
        self.frame.world.budget.spend(Cost::UNSEEN);
        let Leaving { frame, group, hidden, .. } = &mut *self;
        let (frame, group) = (&*frame, &*group);
        if polled.is_pending() && matches!(group.stage.get(), Stage::Leaving(_)) {
            group.waited.set(true);
            hidden.get_or_insert_with(|| Hidden::new(&frame.scope));
            frame.world.observe(&frame.task);
            let due = frame.scope.parks(Some(group.parked()), frame.world.now()).is_err();
            let failed = group.stage.get() == Stage::Leaving(false);
            let tasks = kernel::tasks();
            let requested = |id| tasks.iter().any(|task| Some(task.id) == id && task.cancelled);
            let missed = group.living().into_iter().find(|member| !requested(member.id.get()));
            if let Some(member) = missed.filter(|_| due || failed) {
                let name = member.name();
                frame.world.fault(&format!("G1: {name} is not cancelled with its group"));
            }
            if !due && group.lost_at.get().0 == 0 {
                frame.scope.contest(frame.world.now());
            }
            if due && !failed && group.lost_at.get().0 == 0 {
                group.lost_at.set((frame.world.next(), frame.world.now()));
                frame.world.say(&format!(
                    "{} waits for group {} and is cancelled at {} ms",
                    frame.task.name(),
                    group.number,
                    frame.world.now()
                ));
                group.lost.replace(frame.scope.lose_track(frame.world.now()));
            }
        }
        polled
    }
}

/// A group was left with these errors.
fn left(frame: &Frame, group: &GroupModel, all: bool, outcome: Result<(), Vec<Fault>>) -> Flow {
    let world = &frame.world;
    let well = group.stage.replace(Stage::Left) == Stage::Leaving(true);
    let number = group.number;
    for member in group.living() {
        world.fault(&format!("G1: {} outlives group {number}", member.name()));
    }
    world.say(&format!("{} left group {number}: {outcome:?}", frame.task.name()));
    if outcome.as_ref().map_or_else(|errors| errors[0].is::<TaskCancelled>(), |()| true) {
        for (scope, delivered) in group.lost.take() {
            scope.regain_track(delivered);
        }
    }
    let Err(errors) = outcome else {
        world.check(well && group.failing.get() != Sure::Yes, || {
            format!("G2, G3: group {number} ended well, but its body {well}")
        });
        return Ok(());
    };
    let waited = check_errors(frame, group, &errors);
    if all {
        check_complete(frame, group, &errors);
    }
    if well && !waited {
        // The owner may have been cancelled, which is not told beside another error.
        frame.scope.lose_track(world.now());
    }
    let first = errors.into_iter().next().expect("an error of a group");
    let tag = first.downcast_ref::<Tagged>().filter(|tag| tag.group == group.number);
    if tag.is_none_or(|tag| tag.task.is_some()) {
        kept_from_the_caller(frame, group);
    }
    Err(match first.downcast::<TaskCancelled>() {
        Ok(cancelled) => world.copies.carry(*cancelled).into(),
        Err(error) => error,
    })
}

/// The group returned another error than the body's own. A cancellation of the owner that this one
/// passes on is put back.
fn kept_from_the_caller(frame: &Frame, group: &GroupModel) {
    let Some(OwnError { verdict, holds, of_owner }) = group.body.get() else { return };
    if verdict == Verdict::Own || of_owner == Some(false) {
        return;
    }
    match holds {
        Holds::Seen(Some(held)) if frame.scope.knows(held) && verdict != Verdict::Unknown => {
            frame.scope.put_back(held);
        }
        _ => frame.scope.may_come_again(frame.world.now()),
    }
}

/// Every error has a source, and they are in order. True if one says that the wait was cancelled.
fn check_errors(frame: &Frame, group: &GroupModel, errors: &[Fault]) -> bool {
    let world = &frame.world;
    let mut waited = false;
    let mut last = 0;
    for error in errors {
        if let Some(cancelled) = error.downcast_ref::<TaskCancelled>() {
            // Seen only now, although it came while the group was waiting.
            let lost = group.lost_at.get();
            let as_of = (lost.0 != 0).then_some(lost);
            waited = true;
            if group.waited.get() && as_of.is_none() {
                frame.scope.lose_track(world.now());
                continue;
            }
            let parked = Some(Parked { as_of, ..group.parked() });
            let (copy, now) = (world.copies.carry(cancelled.clone()), world.now());
            let seq = if lost.0 != 0 { lost.0 } else { world.next() };
            if let Err(fault) = frame.scope.deliver(parked, &copy, now, seq) {
                world.fault(&format!("group {}: {fault}", group.number));
            }
            continue;
        }
        let tag = error.downcast_ref::<Tagged>().filter(|tag| tag.group == group.number);
        world.check(tag.is_some(), || format!("G3: an error from elsewhere: {error}"));
        if let Some(task) = tag.and_then(|tag| tag.task) {
            let ended = world.tasks.borrow()[task].ended_at.get();
            world.check(ended > last, || format!("G3: the error of t{task} is out of order"));
            last = ended;
        }
    }
    waited
}

/// `scope_all` gives every failure (G3).
fn check_complete(frame: &Frame, group: &GroupModel, errors: &[Fault]) {
    let tags = || errors.iter().filter_map(|error| error.downcast_ref::<Tagged>());
    let listed: BTreeSet<usize> = tags().filter_map(|tag| tag.task).collect();
    let world = &frame.world;
    let own = tags().any(|tag| tag.task.is_none());
    let first = tags().next().is_some_and(|tag| tag.task.is_none());
    let expected = match group.body.get() {
        None => Some(false),
        Some(OwnError { verdict: Verdict::Own, .. }) => Some(false),
        Some(OwnError { verdict: Verdict::Unknown, .. }) => None,
        // Beside other errors it is only given if it is real.
        Some(error) => error.of_owner.and_then(|echo| (!echo).then_some(true)),
    };
    world.check(group.own || expected.is_none_or(|expected| expected == own), || {
        format!("G3, C16: the own error of the body of group {}: given {own}", group.number)
    });
    let echo = group.body.get().is_some_and(|error| error.of_owner == Some(true));
    world.check(!(own && echo) || first, || {
        format!("G3, C16: the echo of its body is beside the errors of group {}", group.number)
    });
    for member in group.members.borrow().iter() {
        let root = member.root();
        // A failure after a delivery is kept if the group was being torn down.
        let torn_down = group.failing.get() == Sure::Yes
            && group.failed_at.get() < member.ended_at.get()
            && member.verdict.get() == Verdict::Real;
        let failed = member.ended.get() == Some(Ended::Error)
            && !root.unsure.get()
            && (!root.is_delivered() || torn_down)
            && !member.daemon
            && member.to_group.get();
        let echo = root.is_delivered() && member.verdict.get() == Verdict::Own;
        world.check(!echo || !listed.contains(&member.number), || {
            format!("C16: {} only passes its cancellation on, and is listed", member.name())
        });
        world.check(!failed || group.own || listed.contains(&member.number), || {
            format!("G3: the failure of {} is silent", member.name())
        });
    }
}

pub(crate) fn member(frame: &Frame, daemon: bool, size: usize, body: &Body) {
    let world = &frame.world;
    let Some((by, group)) = &frame.group else { return };
    let open = group.is_open();
    if daemon && !open {
        return;
    }
    let (task, run) = TaskRun::new(world, Some(frame), Some((group.clone(), daemon)), body);
    world.say(&format!("{} spawns {} in {}", frame.task.name(), task.name(), group.number));
    let handle = sized::start(Member { group: by, daemon }, size, task.number, run);
    world.check(handle.is_ok() == open, || {
        format!("G7: spawned {} in group {}, open {open}", handle.is_ok(), group.number)
    });
    let Ok(handle) = handle else { return };
    world.keep(&task, handle);
    if group.failing.get() == Sure::Yes || group.stage.get() == Stage::Leaving(false) {
        let requested = |info: kernel::TaskInfo| Some(info.id) == task.id.get() && info.cancelled;
        world.check(kernel::tasks().into_iter().any(requested), || {
            format!("G7: {} is born in a group that is torn down, and lives", task.name())
        });
    }
}

pub(crate) async fn next_done(frame: &Frame) -> Flow {
    let (Some(group), Some((_, model))) = (&frame.owned, &frame.group) else { return Ok(()) };
    let traits = Traits::of(Gate::Unknown);
    let next = watch(frame, "next_done", traits, group.next_done()).await?;
    let world = &frame.world;
    let Some(done) = next else {
        let left = model.living().iter().filter(|member| !member.daemon).count();
        world.check(left == 0, || format!("G6: {left} live, and no member is left"));
        return Ok(());
    };
    let members = model.members.borrow();
    let member = members.iter().find(|member| member.id.get() == Some(done.id));
    world.check(member.is_some_and(|member| member.allows(done.end)), || {
        format!("C6, G6: {done:?} of group {}", model.number)
    });
    Ok(())
}

pub(crate) async fn cancel_remaining(frame: &Frame) -> Flow {
    let (Some(group), Some((_, model))) = (&frame.owned, &frame.group) else { return Ok(()) };
    for member in model.living().iter().filter(|member| !member.daemon) {
        frame.world.asks(member);
    }
    let traits = Traits { cost: Cost::UNSEEN, ..Traits::of(Gate::Unknown) };
    watch(frame, "cancel_remaining", traits, group.cancel_remaining()).await?;
    let left = model.living().iter().filter(|member| !member.daemon).count();
    frame.world.check(left == 0, || format!("G1: {left} live after cancel_remaining"));
    Ok(())
}
