//! Runs a program: tasks, and the steps that contain other steps.

use std::cell::RefCell;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::{
    CancelReason, GroupRef, TaskGroup, TaskTimeout, ignore_after, timeout_after, timeout_at,
};

use super::caught::catch;
use super::echo::Verdict;
use super::groups;
use super::held::{Emptied, Holds};
use super::model::{
    Bare, Ended, Fault, GroupModel, Opaque, Planned, PlannedPanic, Stage, Sure, Tagged, TaskModel,
};
use super::program::{Body, Limit, Ms, Shape, Step};
use super::scope::{Kind, Left, Scope};
use super::sized::{self, Plain};
use super::steps;
use super::together;
use super::world::World;

pub(crate) type Flow = Result<(), Fault>;

/// The context in which a step runs.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) world: Rc<World>,
    pub(crate) task: Rc<TaskModel>,
    pub(crate) scope: Rc<Scope>,
    pub(crate) group: Option<(GroupRef<Fault>, Rc<GroupModel>)>,
    pub(crate) owned: Option<Rc<TaskGroup<Fault>>>,
}

impl Frame {
    /// Enters a scope below this one.
    pub(crate) fn enter(&self, kind: Kind) -> (Frame, Entered) {
        let scope = Scope::new(kind, Some(self.scope.clone()), self.world.next());
        let entered = Entered { frame: self.clone(), scope: scope.clone(), left: false };
        (Frame { scope, ..self.clone() }, entered)
    }

    /// Whether that reason is possible.
    pub(crate) fn check_reason(&self, reason: CancelReason) {
        let holds = match reason {
            CancelReason::Shutdown => self.world.main_ended.get(),
            CancelReason::GroupEnded => {
                let group = self.task.group.as_ref();
                group.is_some_and(|group| group.may_end(self.world.now()))
            }
            CancelReason::GroupFailed => {
                let bodies = self.scope.all();
                let bodies = bodies.iter().filter_map(|scope| match &scope.kind {
                    Kind::Body(group) => Some(group.clone()),
                    _ => None,
                });
                let mut groups = bodies.chain(self.task.group.clone());
                groups.any(|group| group.failing.get() != Sure::No)
            }
            _ => true,
        };
        self.world.check(holds, || format!("G2, G5, K5: {} was given {reason}", self.task.name()));
    }
}

/// An open scope of the model. Dropping it closes it, as the kernel closes its own.
pub(crate) struct Entered {
    frame: Frame,
    pub(crate) scope: Rc<Scope>,
    left: bool,
}

impl Entered {
    /// Leaves the scope. Returns what the error was.
    pub(crate) fn leave(mut self, left: Left) -> (Rc<Scope>, Verdict) {
        self.left = true;
        let verdict = self.scope.close(left, self.frame.world.now());
        (self.scope.clone(), verdict)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let body = match &self.scope.kind {
            Kind::Body(group) if panicking && self.frame.world.polling.get() => {
                group.stage.set(Stage::Leaving(false));
                true
            }
            _ => false,
        };
        // Without a running task there is no time, and no task to get the error.
        if !self.left && !body && self.frame.task.live.get() {
            self.scope.close(Left::Dropped, self.frame.world.now());
        }
    }
}

/// How a body with that result leaves its scope, if its error has that shape.
pub(crate) fn left_with(result: &Flow, shape: Shape) -> Left {
    match result {
        Ok(()) => Left::Well,
        Err(error) => Left::Error(Holds::shaped(error, shape)),
    }
}

/// A task of the program. It reports its end to the model.
pub(crate) struct TaskRun {
    world: Rc<World>,
    task: Rc<TaskModel>,
    inner: Running,
    polling: bool,
}

impl TaskRun {
    /// A task below `frame`, or main without one.
    pub(crate) fn new(
        world: &Rc<World>,
        below: Option<&Frame>,
        group: Option<(Rc<GroupModel>, bool)>,
        body: &Body,
    ) -> (Rc<TaskModel>, Self) {
        let number = world.tasks.borrow().len();
        let daemon = group.as_ref().is_some_and(|(_, daemon)| *daemon);
        let member = group.map(|(group, _)| group);
        let parent = below.map(|frame| frame.task.clone());
        let task = TaskModel::new(number, parent, member.clone(), daemon);
        let scope = Scope::new(Kind::Task(task.clone()), None, world.next());
        *task.root.borrow_mut() = Some(scope.clone());
        world.tasks.borrow_mut().push(task.clone());
        if let Some(group) = member {
            group.members.borrow_mut().push(task.clone());
        }
        let group = below.and_then(|frame| frame.group.clone());
        let frame = Frame { world: world.clone(), task: task.clone(), scope, group, owned: None };
        let inner = exec(&frame, body);
        (task.clone(), TaskRun { world: world.clone(), task, inner, polling: false })
    }
}

/// While a task is polled, and while it unwinds.
struct Polling<'a>(&'a World);

impl<'a> Polling<'a> {
    fn new(world: &'a World) -> Self {
        world.polling.set(true);
        Polling(world)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polling.set(false);
    }
}

impl Future for TaskRun {
    type Output = Result<usize, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (world, task) = (this.world.clone(), this.task.clone());
        world.begins_turn(&task, cx.waker());
        task.id.set(Some(kernel::current_task().id));
        if task.polls.replace(task.polls.get() + 1) == 0 {
            world.say(&format!("{} begins", task.name()));
        }
        world.observe(&task);
        let now = world.now();
        let mut due = world.leaves.borrow().clone();
        due.retain(|leaf| {
            leaf.task.number == task.number && leaf.scope.parks(leaf.parked.get(), now).is_err()
        });
        this.polling = true;
        let polled = {
            let _polling = Polling::new(&world);
            this.inner.as_mut().poll(cx)
        };
        this.polling = false;
        match polled {
            Poll::Pending => {
                for leaf in due {
                    leaf.overlooked.set(leaf.overlooked.get() + 1);
                    let still = world.leaves.borrow().iter().any(|l| l.number == leaf.number);
                    world.check(!still || leaf.overlooked.get() < 4, || {
                        format!("C2: {} of {} is not polled", leaf.kind, task.name())
                    });
                }
                world.ends_turn(&task);
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                world.ended(&task, Ended::Ok);
                world.main_ended.set(world.main_ended.get() || task.number == 0);
                Poll::Ready(Ok(task.number))
            }
            Poll::Ready(Err(error)) => {
                let verdict = task.root().verdict(Holds::of(&error), world.now());
                task.verdict.set(verdict);
                world.ended(&task, Ended::Error);
                world.main_ended.set(world.main_ended.get() || task.number == 0);
                let group = task.group.as_ref();
                Poll::Ready(Err(match group {
                    Some(group) => Tagged::wrap(Some(task.number), group.number, error),
                    None => error,
                }))
            }
        }
    }
}

impl Drop for TaskRun {
    fn drop(&mut self) {
        self.world.ended(&self.task, if self.polling { Ended::Panicked } else { Ended::Dropped });
        self.world.main_ended.set(self.world.main_ended.get() || self.task.number == 0);
    }
}

/// Runs the steps in order.
pub(crate) fn exec(frame: &Frame, body: &Body) -> Running {
    let (frame, body) = (frame.clone(), body.clone());
    Box::pin(async move {
        for step in body.iter() {
            frame.world.next();
            match step {
                Step::Fail => return Err(Planned(frame.task.number).into()),
                Step::Panic => resume_unwind(Box::new(PlannedPanic)),
                Step::Catch(body, cleanup, then) => catch(&frame, body, cleanup, *then).await?,
                Step::Timeout(limit, shape, pass, body) => {
                    timeout(&frame, *limit, *shape, *pass, body).await?;
                }
                Step::Shield(limit, body) => shield(&frame, *limit, body).await?,
                Step::Spawn(named, size, body) => spawn(&frame, *named, *size, body),
                Step::Scope(wait, body) => groups::scope(&frame, *wait, false, body).await?,
                Step::ScopeAll(body) => {
                    groups::scope(&frame, kernel::WaitPolicy::All, true, body).await?;
                }
                Step::Group(wait, ending, body) => {
                    groups::group(&frame, *wait, *ending, body).await?;
                }
                Step::Member(daemon, size, body) => {
                    groups::member(&frame, *daemon, *size, body);
                }
                Step::NextDone => groups::next_done(&frame).await?,
                Step::CancelRemaining => groups::cancel_remaining(&frame).await?,
                Step::All(bodies) => together::all(&frame, bodies).await?,
                Step::Unordered(bodies) => together::unordered(&frame, bodies).await?,
                Step::Race(one, other) => together::race(&frame, one, other).await?,
                Step::Repeat(times, body) => together::repeat(&frame, *times, body).await?,
                plain => steps::plain(&frame, plain).await?,
            }
        }
        Ok(())
    })
}

fn spawn(frame: &Frame, named: bool, size: usize, body: &Body) {
    let world = &frame.world;
    let (task, run) = TaskRun::new(world, Some(frame), None, body);
    world.say(&format!("{} spawns {}", frame.task.name(), task.name()));
    let how = Plain(named.then(|| task.name()));
    let handle = sized::start(how, size, task.number, run);
    world.keep(&task, handle);
}

/// Which scope was left, how, and what its error was.
type Note = Rc<RefCell<Option<(Rc<Scope>, Left, Verdict)>>>;
pub(crate) type Running = Pin<Box<dyn Future<Output = Flow>>>;

/// Runs a body in a scope of the model, and records how it was left.
fn inside(
    frame: &Frame,
    body: &Body,
    kind: impl FnOnce(Ms) -> Kind + 'static,
    shape: Shape,
) -> (Note, Running) {
    let note = Rc::new(RefCell::new(None));
    let (frame, body, left_in) = (frame.clone(), body.clone(), note.clone());
    let run = Box::pin(async move {
        let (inner, entered) = frame.enter(kind(frame.world.now()));
        let mut result = exec(&inner, &body).await;
        if let (Shape::Bare, Err(error)) = (shape, &mut result) {
            if kernel::cancelled(&**error).is_some() {
                *error = Box::new(Emptied);
            }
        }
        let left = left_with(&result, shape);
        let (scope, verdict) = entered.leave(left);
        *left_in.borrow_mut() = Some((scope, left, verdict));
        result
    });
    (note, run)
}

async fn timeout(frame: &Frame, limit: Limit, shape: Shape, pass: bool, body: &Body) -> Flow {
    let world = &frame.world;
    let kind = move |now: Ms| {
        Kind::Timeout(match limit {
            Limit::After(time) | Limit::Ignore(time) => Some(now + time),
            Limit::At(at) => Some(at),
            Limit::Max => None,
        })
    };
    let (note, run) = inside(frame, body, kind, shape);
    let settled = match shape {
        Shape::Known => call(frame, limit, run).await,
        Shape::Opaque => {
            let settled = call(frame, limit, async move { run.await.map_err(Opaque) }).await;
            settled.map(|result| result.map_err(|Opaque(error)| error))
        }
        Shape::Bare => {
            let settled = call(frame, limit, async move { run.await.map_err(Bare::of) }).await;
            settled.map(|result| result.map_err(Bare::into_fault))
        }
    };
    let (scope, left, verdict) = note.take().expect("a body that has ended has left its scope");
    let timed_out = settled.is_err();
    if verdict != Verdict::Unknown {
        let expected = verdict == Verdict::Own;
        world.check(expected == timed_out, || {
            format!("T2, T3, C16: {limit:?}, left {left:?}, {verdict:?}: timed out {timed_out}")
        });
    }
    let early = matches!(scope.kind, Kind::Timeout(at) if at.is_none_or(|at| at > world.now()));
    world.check(!(early && timed_out), || format!("T7: {limit:?} timed out early"));
    world.say(&format!("{} {limit:?}: timed out {timed_out}", frame.task.name()));
    match settled {
        Ok(result) => result,
        Err(Some(timeout)) if pass => Err(Box::new(timeout)),
        Err(_) => Ok(()),
    }
}

/// The kernel's own call. An error is a timeout.
async fn call<E: kernel::bounds::HoldsCancellation>(
    frame: &Frame,
    limit: Limit,
    run: impl Future<Output = Result<(), E>>,
) -> Result<Result<(), E>, Option<TaskTimeout>> {
    let ms = Duration::from_millis;
    match limit {
        Limit::After(time) => timeout_after(ms(time), run).await.map_err(Some),
        Limit::At(at) => timeout_at(frame.world.instant(at), run).await.map_err(Some),
        Limit::Max => timeout_after(Duration::MAX, run).await.map_err(Some),
        Limit::Ignore(time) => match ignore_after(ms(time), run).await {
            Ok(Some(())) => Ok(Ok(())),
            Ok(None) => Err(None),
            Err(error) => Ok(Err(error)),
        },
    }
}

async fn shield(frame: &Frame, limit: Option<Ms>, body: &Body) -> Flow {
    let kind = move |now| Kind::Shield(limit.map(|limit| now + limit));
    let (_, run) = inside(frame, body, kind, Shape::Known);
    match limit {
        Some(limit) => kernel::shield_for(Duration::from_millis(limit), run).await,
        None => kernel::shield(run).await,
    }
}
