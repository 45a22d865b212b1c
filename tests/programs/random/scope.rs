//! The model of cancellation: scopes, their pending cancellations, and which leaves may get them.
//!
//! Every task, timeout, group body and shield of a program is one `Scope` here. The leaves report
//! what they returned to the model, which checks it against the rules.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use kernel::CancelReason;

use super::echo::Delivered;
use super::held::{Carried, Holds};
use super::model::{GroupModel, Sure, TaskModel};
use super::program::Ms;

pub(crate) enum Kind {
    Task(Rc<TaskModel>),
    /// With its deadline, if it has one.
    Timeout(Option<Ms>),
    Body(Rc<GroupModel>),
    Shield(Option<Ms>),
}

/// A target of a cancellation.
pub(crate) struct Scope {
    pub(crate) kind: Kind,
    parent: Option<Rc<Scope>>,
    entered: u64,
    /// When a leaf returned its cancellation; 0 if none has.
    delivered: Cell<u64>,
    /// Swallowed in an inner call (T5), or put back (C13), it is delivered again.
    pub(super) again: Cell<bool>,
    /// The cancellation of an outer scope was returned by a leaf inside.
    pub(super) foreign: Cell<bool>,
    /// Those outer scopes.
    passed: RefCell<Vec<Rc<Scope>>>,
    /// More than one may have been delivered unseen.
    pub(super) contested: Cell<bool>,
    /// Which cancellation was delivered.
    pub(super) given: Delivered,
    /// The model is uncertain where the kernel has delivered nothing, and checks nothing.
    pub(crate) unsure: Cell<bool>,
}

/// A leaf, as the model sees it.
#[derive(Clone, Copy)]
pub(crate) struct Parked {
    pub(crate) seq: u64,
    pub(crate) at: Ms,
    /// A combinator of several leaves: some may be newer than it.
    pub(crate) composite: bool,
    /// When it was cancelled, if that was earlier and only its end was seen.
    pub(crate) as_of: Option<(u64, Ms)>,
}

/// How a scope was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Well,
    Error(Holds),
    Dropped,
}

impl Scope {
    pub(crate) fn new(kind: Kind, parent: Option<Rc<Scope>>, entered: u64) -> Rc<Self> {
        Rc::new(Scope {
            kind,
            parent,
            entered,
            delivered: Cell::new(0),
            again: Cell::new(false),
            foreign: Cell::new(false),
            passed: RefCell::default(),
            contested: Cell::new(false),
            given: Delivered::default(),
            unsure: Cell::new(false),
        })
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.delivered.get() != 0
    }

    /// The scopes from here outward to the shield that holds, or to the task, and whether there is
    /// a shield.
    fn path(self: &Rc<Self>, now: Ms) -> (Vec<Rc<Scope>>, bool) {
        let mut path = Vec::new();
        let mut at = Some(self.clone());
        while let Some(scope) = at {
            if matches!(scope.kind, Kind::Shield(end) if end.is_none_or(|end| end > now)) {
                return (path, true);
            }
            at = scope.parent.clone();
            path.push(scope);
        }
        (path, false)
    }

    /// The scopes from here outward to the shield that holds, or to the task.
    pub(super) fn up_to_shield(self: &Rc<Self>, now: Ms) -> Vec<Rc<Scope>> {
        self.path(now).0
    }

    /// The scopes around this one, up to the shield that holds.
    pub(super) fn around(&self, now: Ms) -> Vec<Rc<Scope>> {
        self.parent.as_ref().map(|parent| parent.path(now).0).unwrap_or_default()
    }

    /// A leaf inside has returned the cancellation of that outer scope.
    fn passes(&self, outer: &Rc<Scope>) {
        self.foreign.set(true);
        self.passed.borrow_mut().push(outer.clone());
    }

    /// Whether its cancellation was delivered after that inner scope was entered.
    pub(super) fn was_delivered_since(&self, inner: &Scope) -> Option<bool> {
        (!self.unsure.get()).then_some(self.delivered.get() > inner.entered)
    }

    /// Whether its cancellation was delivered inside that inner scope, if known.
    pub(super) fn was_delivered_in(self: &Rc<Self>, inner: &Scope) -> Option<bool> {
        // Another arm may have got it, which the kernel takes for the same if it is not the task's.
        let since = self.delivered.get() > inner.entered && !matches!(self.kind, Kind::Task(_));
        let inside = inner.passed.borrow().iter().any(|outer| Rc::ptr_eq(outer, self));
        let unknown = self.unsure.get() || inner.unsure.get() || (since && !inside);
        (!unknown).then_some(inside)
    }

    /// All the scopes up to the task.
    pub(crate) fn all(self: &Rc<Self>) -> Vec<Rc<Scope>> {
        let outer = |scope: &Rc<Scope>| scope.parent.clone();
        std::iter::successors(Some(self.clone()), outer).collect()
    }

    fn has_shield(self: &Rc<Self>) -> bool {
        self.all().iter().any(|scope| matches!(scope.kind, Kind::Shield(_)))
    }

    /// Whether it has been cancelled.
    fn fired(&self, now: Ms) -> Sure {
        match &self.kind {
            Kind::Task(task) if task.cancelled_at.get() != 0 => Sure::Yes,
            Kind::Timeout(Some(deadline)) if *deadline <= now => Sure::Yes,
            Kind::Body(group) => group.failing.get(),
            _ => Sure::No,
        }
    }

    fn is_pending(&self, now: Ms) -> bool {
        self.fired(now) == Sure::Yes && (self.delivered.get() == 0 || self.again.get())
    }

    fn is_certain(&self, now: Ms) -> bool {
        !self.unsure.get() && self.is_pending(now)
    }

    /// Whether the leaf was parked when the cancellation came (C2).
    fn came_after(&self, leaf: Option<Parked>, now: Ms) -> bool {
        let Some(leaf) = leaf else { return false };
        match &self.kind {
            Kind::Task(task) => task.cancelled_at.get() > leaf.seq,
            Kind::Timeout(Some(deadline)) => leaf.at < *deadline && *deadline <= now,
            Kind::Body(group) => {
                group.failing.get() != Sure::No && group.failed_at.get() > leaf.seq
            }
            _ => false,
        }
    }

    /// Whether that had happened when a leaf was cancelled of which only the end was seen.
    fn came_before(&self, leaf: Option<Parked>) -> bool {
        let Some((seq, at)) = leaf.and_then(|leaf| leaf.as_of) else { return true };
        match &self.kind {
            Kind::Task(task) => task.cancelled_at.get() < seq,
            Kind::Timeout(Some(deadline)) => *deadline <= at,
            Kind::Body(group) => group.failed_at.get() < seq,
            _ => true,
        }
    }

    /// Whether it was certainly cancelled before the other one.
    fn fired_before(&self, other: &Scope) -> bool {
        matches!((self.fired_at(), other.fired_at()), (Some(one), Some(two)) if one < two)
    }

    /// When it was cancelled, among the events. Timeouts are not events, and give none.
    fn fired_at(&self) -> Option<u64> {
        match &self.kind {
            Kind::Task(task) => Some(task.cancelled_at.get()),
            Kind::Body(group) => Some(group.failed_at.get()),
            _ => None,
        }
    }

    /// Whether a shield that held this scope's cancellation back has ended since the leaf parked.
    fn let_through(&self, path: &[Rc<Scope>], leaf: Option<Parked>) -> bool {
        leaf.is_some_and(|leaf| {
            let ended = |scope: &Rc<Scope>| {
                matches!(scope.kind, Kind::Shield(Some(end)) if leaf.at < end || leaf.composite)
            };
            path.iter().any(ended) && (leaf.seq < self.delivered.get() || leaf.composite)
        })
    }

    fn may_be_served(&self, path: &[Rc<Scope>], leaf: Option<Parked>, now: Ms) -> bool {
        let early = || leaf.is_some_and(|leaf| leaf.seq < self.delivered.get());
        (self.unsure.get() && self.fired(now) != Sure::No)
            || (self.fired(now) != Sure::No && (self.delivered.get() == 0 || self.again.get()))
            || self.is_pending(now)
            || (self.came_after(leaf, now) && early())
            || (self.fired(now) != Sure::No && self.let_through(path, leaf))
    }

    fn matches(&self, reason: CancelReason) -> bool {
        match &self.kind {
            Kind::Task(task) if task.requested.get() => {
                matches!(reason, CancelReason::Requested { .. })
            }
            Kind::Task(task) => match reason {
                CancelReason::Timeout => false,
                CancelReason::GroupFailed => task.group.is_some(),
                _ => true,
            },
            Kind::Timeout(_) => reason == CancelReason::Timeout,
            Kind::Body(_) => reason == CancelReason::GroupFailed,
            Kind::Shield(_) => false,
        }
    }

    /// The leaf in this scope has parked. Returns what it should have returned instead.
    pub(crate) fn parks(self: &Rc<Self>, leaf: Option<Parked>, now: Ms) -> Result<(), String> {
        let (path, _) = self.path(now);
        for scope in &path {
            if scope.is_certain(now) {
                return Err(format!("C2, C3: parked although {} is pending", scope.name()));
            }
            let plain = !self.has_shield() && leaf.is_some_and(|leaf| !leaf.composite);
            let sure = !scope.unsure.get() && scope.fired(now) == Sure::Yes;
            if plain && sure && scope.came_after(leaf, now) {
                return Err(format!("C2: was parked when {} came, and parks on", scope.name()));
            }
        }
        Ok(())
    }

    /// The leaf in this scope has returned a cancellation.
    pub(crate) fn deliver(
        self: &Rc<Self>,
        leaf: Option<Parked>,
        copy: &Carried,
        now: Ms,
        seq: u64,
    ) -> Result<(), String> {
        let (path, shielded) = self.path(now);
        let (id, reason) = (copy.held().id, copy.held().reason);
        let all = self.all();
        let known = all.iter().find(|scope| scope.is_delivered() && scope.given.id() == id);
        let fits = |scope: &Rc<Scope>| {
            let due = scope.came_before(leaf) && scope.may_be_served(&path, leaf, now);
            let same = match known {
                Some(known) => Rc::ptr_eq(known, scope),
                // A body may take over the copy of a member.
                None => scope.given.id() == 0 || matches!(scope.kind, Kind::Body(_)),
            };
            due && same && scope.matches(reason)
        };
        let served = path.iter().rposition(fits);
        let Some(at) = served else { return Err(not_due(&path, shielded, reason)) };
        let as_of = leaf.and_then(|leaf| leaf.as_of);
        let farther = |scope: &&Rc<Scope>| {
            // A cancellation that was only seen at the end may have been returned before the outer
            // one came.
            let first = as_of.is_none() || scope.fired_before(&path[at]);
            scope.is_certain(now) && scope.came_before(leaf) && first
        };
        if let Some(outer) = path[at + 1..].iter().find(farther) {
            return Err(format!("C7, T3: {} was outermost, but {reason} came", outer.name()));
        }
        let served = &path[at];
        let alone = path.iter().filter(|scope| fits(scope)).count() == 1;
        if alone || served.is_certain(now) {
            served.given.set(copy);
        } else {
            served.given.forget();
        }
        let vague = served.fired(now) == Sure::Maybe
            || (served.let_through(&path, leaf) && !served.is_pending(now));
        served.delivered.set(seq);
        served.again.set(false);
        served.contested.set(served.contested.get() || served.unsure.get());
        for inner in &path[..at] {
            inner.passes(served);
            let body = matches!(inner.kind, Kind::Body(_)) && reason == CancelReason::GroupFailed;
            if vague || served.unsure.get() || body {
                inner.unsure.set(true);
                inner.contested.set(true);
            }
        }
        Ok(())
    }

    /// A task awaited its own end: it gets the error at once, whatever shields there are (C5).
    pub(crate) fn deliver_to_oneself(self: &Rc<Self>, copy: &Carried, seq: u64) {
        let all = self.all();
        for scope in &all {
            match scope.kind {
                Kind::Task(_) => {
                    scope.given.set(copy);
                    scope.delivered.set(seq);
                    scope.again.set(false);
                }
                _ => scope.passes(&all[all.len() - 1]),
            }
        }
    }

    /// A cancellation may have been delivered here unseen. Returns those that the model was sure
    /// of.
    pub(crate) fn lose_track(self: &Rc<Self>, now: Ms) -> Vec<(Rc<Scope>, u64)> {
        let mut path = self.path(now).0;
        if path.iter().all(|scope| scope.fired(now) == Sure::No) {
            return Vec::new();
        }
        path.retain(|scope| !scope.unsure.replace(true));
        path.into_iter().map(|scope| (scope.clone(), scope.delivered.get())).collect()
    }

    /// The delivered cancellation was seen later.
    pub(crate) fn regain_track(self: &Rc<Self>, delivered: u64) {
        if self.delivered.get() == delivered && !self.contested.get() {
            self.unsure.set(false);
        }
    }

    /// Another one may have been delivered, about which the model is uncertain already.
    pub(crate) fn contest(self: &Rc<Self>, now: Ms) {
        for scope in self.path(now).0 {
            scope.contested.set(scope.contested.get() || scope.unsure.get());
        }
    }

    pub(crate) fn may_be_cancelled(&self, now: Ms) -> bool {
        self.unsure.get() || self.fired(now) != Sure::No
    }

    /// Whether the model does not know if it is cancelled.
    fn is_vague(&self, now: Ms) -> bool {
        self.unsure.get() || self.fired(now) == Sure::Maybe
    }

    /// What `check_cancellation` must return, if known.
    pub(crate) fn sees_pending(self: &Rc<Self>, now: Ms) -> Option<bool> {
        let all = self.all();
        match all.iter().any(|scope| scope.is_vague(now)) {
            true => None,
            false => Some(all.iter().any(|scope| scope.is_pending(now))),
        }
    }

    fn name(&self) -> String {
        match &self.kind {
            Kind::Task(task) => format!("the cancel of t{}", task.number),
            Kind::Timeout(deadline) => format!("the timeout of {deadline:?} ms"),
            Kind::Body(group) => format!("the failure of group {}", group.number),
            Kind::Shield(end) => format!("the shield until {end:?}"),
        }
    }
}

fn not_due(path: &[Rc<Scope>], shielded: bool, reason: CancelReason) -> String {
    let shield = if shielded { ", in a shield" } else { "" };
    let names: Vec<String> = path.iter().map(|scope| scope.name()).collect();
    format!(
        "C4, C7, T4: cancelled ({reason}) though nothing of the kind was due{shield}: {}",
        names.join(" in ")
    )
}
