//! A random program: a tree of steps that can be printed, read and run again.

use std::fmt;
use std::rc::Rc;

use kernel::WaitPolicy;

/// Steps in order; the first error ends them.
pub(crate) type Body = Rc<Vec<Step>>;

/// Milliseconds.
pub(crate) type Ms = u64;

/// The task that a step refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pick {
    Running,
    Parent,
    Newest,
    /// Of those spawned so far, the one with this number, modulo their count.
    Any(usize),
}

/// A leaf that is ready at once, again and again, or mostly.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ready {
    Event,
    Item,
    Permit,
    Lock,
    /// The end of a task that has ended.
    Ended,
}

/// The form in which a timeout is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    After(Ms),
    At(Ms),
    /// `ignore_after`.
    Ignore(Ms),
    Max,
}

/// The type of the error with which the body of a timeout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The kernel can look into it.
    Known,
    /// It cannot, and the error keeps what it was made of.
    Opaque,
    /// It cannot, and a cancellation becomes a variant without a field.
    Bare,
}

/// What becomes of an error that was caught.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Swallow,
    /// Swallowed before the cleanup.
    Forget,
    Rethrow,
    Replace,
    PutBack,
    /// `unless_cancelled` decides, for an error of that shape.
    Ask(Shape),
}

/// How a `new()` group is ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    Join,
    JoinAll,
    Drop,
}

/// What another thread posts.
#[derive(Debug, Clone)]
pub(crate) struct Flood {
    /// Tasks to spawn, and how many bytes the future of each holds.
    pub(crate) letters: u32,
    pub(crate) size: usize,
    /// Tasks to cancel.
    pub(crate) cancels: Vec<Pick>,
    /// How often each of its wakers is used, before the letters and after them.
    pub(crate) wakes: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Sleep(Ms),
    SleepUntil(Ms),
    SleepForever,
    Yield,
    Check,
    /// A foreign future that is pending so often, bare or in `cancellable`.
    Foreign(u32, bool),
    ForeignForever,
    Fail,
    Panic,
    Catch(Body, Body, Then),
    /// The shape of its error; whether a timeout is passed on.
    Timeout(Limit, Shape, bool, Body),
    Shield(Option<Ms>, Body),
    /// Whether it has a name, and how many bytes its future holds.
    Spawn(bool, usize, Body),
    Scope(WaitPolicy, Body),
    ScopeAll(Body),
    Group(WaitPolicy, Ending, Body),
    Member(bool, usize, Body),
    NextDone,
    CancelRemaining,
    Join(Pick),
    WaitFor(Pick),
    Cancel(Pick),
    CancelWithin(Pick, Ms),
    Request(Pick),
    Abort(Pick),
    Lock(usize, Body),
    Permits(usize, usize, Body),
    Event(usize),
    Set(usize),
    Clear(usize),
    Condition,
    Notify(usize),
    Put(usize),
    Get(usize),
    All(Vec<Body>),
    Unordered(Vec<Body>),
    Race(Body, Body),
    /// So many operations that are ready, one after the other.
    Busy(Ready, u32),
    Repeat(u32, Body),
    Flood(Flood),
    /// Other threads may wake this task from now on.
    Expose,
}

impl Step {
    /// The steps inside.
    pub(crate) fn bodies(&self) -> Vec<&Body> {
        match self {
            Step::Catch(body, cleanup, _) => vec![body, cleanup],
            Step::Race(one, other) => vec![one, other],
            Step::All(bodies) | Step::Unordered(bodies) => bodies.iter().collect(),
            Step::Timeout(.., body)
            | Step::Shield(_, body)
            | Step::Spawn(_, _, body)
            | Step::Scope(_, body)
            | Step::ScopeAll(body)
            | Step::Group(_, _, body)
            | Step::Member(_, _, body)
            | Step::Lock(_, body)
            | Step::Repeat(_, body)
            | Step::Permits(_, _, body) => vec![body],
            _ => Vec::new(),
        }
    }

    /// The step without what is inside it.
    fn head(&self) -> String {
        match self {
            Step::Catch(_, _, then) => format!("Catch {then:?}"),
            Step::Timeout(limit, shape, pass, _) => {
                let pass = if *pass { " pass" } else { "" };
                format!("Timeout {limit:?} {shape:?}{pass}")
            }
            Step::Shield(limit, _) => format!("Shield {limit:?}"),
            Step::Spawn(named, size, _) => {
                format!("Spawn{} of {size}", if *named { " named" } else { "" })
            }
            Step::Scope(wait, _) => format!("Scope {wait:?}"),
            Step::ScopeAll(_) => "ScopeAll".to_owned(),
            Step::Group(wait, ending, _) => format!("Group {wait:?} {ending:?}"),
            Step::Member(daemon, size, _) => {
                format!("Member{} of {size}", if *daemon { " daemon" } else { "" })
            }
            Step::Lock(lock, _) => format!("Lock {lock}"),
            Step::Permits(which, n, _) => format!("Permits {which} n={n}"),
            Step::All(_) => "All".to_owned(),
            Step::Unordered(_) => "Unordered".to_owned(),
            Step::Race(..) => "Race".to_owned(),
            Step::Repeat(times, _) => format!("Repeat {times}"),
            plain => format!("{plain:?}"),
        }
    }
}

/// A program: the steps of main.
pub(crate) struct Program {
    pub(crate) seed: u64,
    /// Every future has its own size, whatever the steps say.
    pub(crate) plain: bool,
    pub(crate) main: Body,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program of seed {}", self.seed)?;
        show(f, &self.main, 1)
    }
}

fn show(f: &mut fmt::Formatter<'_>, body: &Body, depth: usize) -> fmt::Result {
    for step in body.iter() {
        writeln!(f, "{:indent$}{}", "", step.head(), indent = depth * 2)?;
        for (at, inner) in step.bodies().into_iter().enumerate() {
            if at > 0 {
                writeln!(f, "{:indent$}---", "", indent = depth * 2)?;
            }
            show(f, inner, depth + 1)?;
        }
    }
    Ok(())
}
