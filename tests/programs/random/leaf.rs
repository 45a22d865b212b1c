//! A watched leaf: it reports everything that it returns to the model, which checks it.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use kernel::TaskCancelled;

use super::budget::Cost;
use super::echo::Hidden;
use super::gate::Gate;
use super::held::Carried;
use super::model::{PlannedPanic, TaskModel};
use super::run::Frame;
use super::scope::{Parked, Scope};

/// A leaf that is being polled, as other tasks may see it.
pub(crate) struct LeafState {
    pub(crate) number: u64,
    pub(crate) kind: &'static str,
    pub(crate) task: Rc<TaskModel>,
    pub(crate) scope: Rc<Scope>,
    pub(crate) parked: Cell<Option<Parked>>,
    /// How often its task was polled without it, since it was ready.
    pub(crate) overlooked: Cell<u32>,
}

/// The special properties of a leaf.
#[derive(Clone)]
pub(crate) struct Traits {
    pub(crate) gate: Gate,
    /// Made of several leaves.
    pub(crate) composite: bool,
    /// The task that its first poll requests to cancel.
    pub(crate) asks: Option<Rc<TaskModel>>,
    /// The task whose outcome it joins.
    pub(crate) joins: Option<Rc<TaskModel>>,
    /// What its completion uses of the budget.
    pub(crate) cost: Cost,
    /// One of very many: not in the trace, unless something happens to it.
    pub(crate) quiet: bool,
}

impl Traits {
    pub(crate) fn of(gate: Gate) -> Self {
        let (asks, joins, cost) = (None, None, Cost::ONE);
        Traits { gate, composite: false, asks, joins, cost, quiet: false }
    }

    /// The traits of a combinator of several leaves.
    pub(crate) fn of_several() -> Self {
        Traits { composite: true, cost: Cost::UNSEEN, ..Traits::of(Gate::Unknown) }
    }
}

pub(crate) struct Watched<F> {
    inner: Pin<Box<F>>,
    frame: Frame,
    traits: Traits,
    state: Rc<LeafState>,
    first: bool,
    done: bool,
    joining: bool,
    /// A combinator of several leaves may keep a copy for a while.
    hidden: Option<Hidden>,
}

/// Watches a leaf in a frame.
pub(crate) fn watch<F>(frame: &Frame, kind: &'static str, traits: Traits, inner: F) -> Watched<F> {
    let state = Rc::new(LeafState {
        number: frame.world.next(),
        kind,
        task: frame.task.clone(),
        scope: frame.scope.clone(),
        parked: Cell::new(None),
        overlooked: Cell::new(0),
    });
    let (frame, inner) = (frame.clone(), Box::pin(inner));
    let (done, joining, hidden) = (false, false, None);
    Watched { inner, frame, traits, state, first: true, done, joining, hidden }
}

impl<F, T> Future for Watched<F>
where
    F: Future<Output = Result<T, TaskCancelled>>,
{
    /// A copy of a cancellation that the model can count.
    type Output = Result<T, Carried>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let world = this.frame.world.clone();
        if world.is_endless() {
            resume_unwind(Box::new(PlannedPanic));
        }
        world.observe(&this.frame.task);
        this.state.overlooked.set(0);
        let first = std::mem::replace(&mut this.first, false);
        if let (true, Some(target)) = (first, &this.traits.asks) {
            world.asks(target);
        }
        let now = world.now();
        let opens = this.traits.gate.opens(this.state.number, first, now);
        let polled = this.inner.as_mut().poll(cx);
        let polled = polled.map_err(|cancelled| world.copies.carry(cancelled));
        world.next();
        match &polled {
            Poll::Pending => this.parked(opens),
            Poll::Ready(Ok(_)) => this.completed(opens),
            Poll::Ready(Err(cancelled)) => this.cancelled(opens, cancelled),
        }
        polled
    }
}

impl<F> Watched<F> {
    fn name(&self) -> String {
        format!("{} {} {}", self.frame.task.name(), self.state.kind, self.state.number)
    }

    fn fault(&self, text: &str) {
        self.frame.world.fault(&format!("{}: {text}", self.name()));
    }

    fn parked(&mut self, opens: Option<bool>) {
        let world = self.frame.world.clone();
        let refused = opens == Some(true) && self.traits.cost.0 > 0;
        if opens == Some(true) && !(refused && world.budget.may_be_spent()) {
            self.fault("C1, Y3: parks though it could complete");
        }
        if refused || matches!(self.traits.gate, Gate::Again) {
            let task = &self.frame.task;
            task.goes_again.set(task.goes_again.get() || !task.out_woken.get());
        }
        if self.traits.composite {
            self.hidden.get_or_insert_with(|| Hidden::new(&self.state.scope));
            // One of its leaves may have completed.
            world.budget.spend(Cost(0, self.traits.cost.1));
        }
        if let Err(fault) = self.state.scope.parks(self.state.parked.get(), world.now()) {
            self.fault(&fault);
        }
        if self.state.parked.get().is_none() {
            let (at, composite) = (world.now(), self.traits.composite);
            self.state.parked.set(Some(Parked { seq: world.next(), at, composite, as_of: None }));
            world.leaves.borrow_mut().push(self.state.clone());
            world.say(&format!("{} parks at {at} ms", self.name()));
        }
        if let (false, Some(target)) = (self.joining, &self.traits.joins) {
            self.joining = true;
            target.joining.set(target.joining.get() + 1);
        }
    }

    fn completed(&mut self, opens: Option<bool>) {
        let world = self.frame.world.clone();
        if opens == Some(false) {
            self.fault("Y2, C5: completes though it is not its turn");
        }
        if world.budget.is_spent() && self.traits.cost.0 > 0 {
            self.fault("K2: completes though the budget of this poll is spent");
        }
        world.budget.spend(self.traits.cost);
        if !(self.traits.quiet && self.state.parked.get().is_none()) {
            world.say(&format!("{} completes at {} ms", self.name(), world.now()));
        }
        self.traits.gate.taken(self.state.number);
        self.finished();
    }

    fn cancelled(&mut self, opens: Option<bool>, cancelled: &Carried) {
        let world = self.frame.world.clone();
        let (now, reason) = (world.now(), cancelled.held().reason);
        world.say(&format!("{} cancelled at {now} ms: {reason}", self.name()));
        let itself = self.traits.asks.as_ref();
        let itself = itself.is_some_and(|target| target.number == self.frame.task.number);
        if itself {
            self.state.scope.deliver_to_oneself(cancelled, world.next());
        } else {
            // With the budget spent, the cancellation comes first.
            if opens == Some(true) && !world.budget.may_be_spent() {
                self.fault("C1: cancelled though it could complete");
            }
            let (parked, seq) = (self.state.parked.get(), world.next());
            if let Err(fault) = self.state.scope.deliver(parked, cancelled, now, seq) {
                self.fault(&fault);
            }
        }
        self.frame.check_reason(reason);
        self.traits.gate.left(self.state.number);
        self.finished();
    }

    fn finished(&mut self) {
        self.done = true;
        self.hidden = None;
        let leaves = &self.frame.world.leaves;
        leaves.borrow_mut().retain(|leaf| leaf.number != self.state.number);
        if let (true, Some(target)) = (std::mem::take(&mut self.joining), &self.traits.joins) {
            target.joining.set(target.joining.get() - 1);
        }
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if !self.done {
            if !self.first {
                self.traits.gate.left(self.state.number);
            }
            self.finished();
        }
    }
}
