//! The model of C16: whose cancellation an error passes on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::{CancelReason, TaskId};

use super::held::{Carried, Held, Holds};
use super::model::Sure;
use super::program::Ms;
use super::scope::{Kind, Left, Scope};

/// What the model knows of the cancellation that a scope has delivered.
#[derive(Default)]
pub(crate) struct Delivered {
    /// 0: none was delivered, or the model does not know which.
    id: Cell<usize>,
    copies: RefCell<Arc<AtomicUsize>>,
    /// How many waits inside may hold a copy that the model does not see.
    hidden: Cell<u32>,
}

impl Delivered {
    pub(crate) fn id(&self) -> usize {
        self.id.get()
    }

    pub(crate) fn set(&self, copy: &Carried) {
        self.id.set(copy.held().id);
        *self.copies.borrow_mut() = copy.copies.clone();
    }

    pub(crate) fn forget(&self) {
        self.id.set(0);
    }
}

/// While this is alive, a copy of a cancellation of these scopes may be where the model does not
/// see it.
pub(crate) struct Hidden(Vec<Rc<Scope>>);

impl Hidden {
    pub(crate) fn new(inside: &Rc<Scope>) -> Self {
        let scopes = inside.all();
        for scope in &scopes {
            scope.given.hidden.set(scope.given.hidden.get() + 1);
        }
        Hidden(scopes)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        for scope in &self.0 {
            scope.given.hidden.set(scope.given.hidden.get() - 1);
        }
    }
}

/// What the error that ended a scope's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The echo of the scope's own cancellation.
    Own,
    /// It passes on that of an outer scope, and its type does not show it.
    Outer,
    Real,
    Unknown,
}

impl Verdict {
    fn when(own: Option<bool>) -> Self {
        match own {
            Some(true) => Verdict::Own,
            Some(false) => Verdict::Real,
            None => Verdict::Unknown,
        }
    }
}

/// Whether one is true, if known.
fn any(known: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut none = Some(false);
    for one in known {
        match one {
            Some(true) => return one,
            Some(false) => {}
            None => none = None,
        }
    }
    none
}

impl Scope {
    /// The task of this scope.
    fn me(self: &Rc<Self>) -> Option<TaskId> {
        match &self.all().last()?.kind {
            Kind::Task(task) => task.id.get(),
            _ => None,
        }
    }

    /// Whether the program has a copy of the delivered cancellation, if known.
    fn has_copies(&self) -> Option<bool> {
        if self.given.id() != 0 && self.given.copies.borrow().load(Ordering::Relaxed) > 0 {
            return Some(true);
        }
        // A body may have taken over the copy of a member.
        let body = matches!(&self.kind, Kind::Body(group) if group.failing.get() != Sure::No);
        let unknown = body || self.unsure.get() || self.given.hidden.get() > 0;
        (!unknown && (!self.is_delivered() || self.given.id() != 0)).then_some(false)
    }

    /// Whether that is the delivered cancellation, if known.
    fn is_given(&self, held: Held) -> Option<bool> {
        if self.is_delivered() && self.given.id() == held.id {
            return Some(true);
        }
        let unknown = self.unsure.get() || (self.is_delivered() && self.given.id() == 0);
        (!unknown).then_some(false)
    }

    /// Whether `is` holds for an outer scope whose cancellation was delivered inside this one, if
    /// known.
    fn any_inside(self: &Rc<Self>, now: Ms, is: impl Fn(&Scope) -> Option<bool>) -> Option<bool> {
        any(self.around(now).iter().map(|outer| match outer.was_delivered_in(self) {
            Some(true) => is(outer),
            Some(false) => Some(false),
            None => is(outer).filter(|is| !is),
        }))
    }

    fn outer_has_copies(self: &Rc<Self>, now: Ms) -> Option<bool> {
        self.any_inside(now, Scope::has_copies)
    }

    /// What an error is that ends the body of a timeout, of a group, or of a task.
    pub(crate) fn verdict(self: &Rc<Self>, holds: Holds, now: Ms) -> Verdict {
        match holds {
            Holds::Seen(None) => Verdict::Real,
            Holds::Seen(Some(held)) => self.verdict_on(held, now),
            _ if self.unsure.get() => Verdict::Unknown,
            _ if !self.is_delivered() => Verdict::Real,
            Holds::Bare if !self.foreign.get() => Verdict::Own,
            Holds::Opaque if !self.foreign.get() => Verdict::when(self.has_copies()),
            Holds::Opaque => match (self.has_copies(), self.outer_has_copies(now)) {
                (Some(false), _) => Verdict::Real,
                (Some(true), Some(false)) => Verdict::Own,
                (Some(true), Some(true)) => Verdict::Outer,
                _ => Verdict::Unknown,
            },
            Holds::Bare => match (self.has_copies(), self.outer_has_copies(now)) {
                (Some(false), _) | (Some(true), Some(true)) => Verdict::Outer,
                (Some(true), Some(false)) => Verdict::Own,
                _ => Verdict::Unknown,
            },
        }
    }

    fn verdict_on(self: &Rc<Self>, held: Held, now: Ms) -> Verdict {
        let given = self.is_given(held);
        if given == Some(true) {
            return Verdict::Own;
        }
        let failing = match &self.kind {
            Kind::Body(group) => group.failing.get(),
            _ => Sure::No,
        };
        if failing != Sure::No && held.reason == CancelReason::GroupFailed {
            // That of a member which was cancelled for the same failure, unless it is an outer one.
            let outer = any(self.all()[1..].iter().map(|outer| outer.is_given(held)));
            let inside = self.any_inside(now, |outer| outer.is_given(held));
            return match (inside, outer, failing) {
                (Some(true), ..) => Verdict::Real,
                (Some(false), Some(false), Sure::Yes) => Verdict::Own,
                _ => Verdict::Unknown,
            };
        }
        if held.is_of_child(self.me()) {
            return match (self.unsure.get(), self.foreign.get(), self.is_delivered()) {
                (true, ..) => Verdict::Unknown,
                // The task itself has nothing outside.
                (_, true, _) => Verdict::Real,
                (_, _, true) => Verdict::Own,
                // A body that has joined a member counts as cancelled.
                (_, _, false) => Verdict::when((failing == Sure::No).then_some(false)),
            };
        }
        Verdict::when(given)
    }

    /// Whether the error passes on a cancellation that was delivered to this scope or to one around
    /// it, up to a shield, if known.
    pub(crate) fn echoes_around(self: &Rc<Self>, holds: Holds, now: Ms) -> Option<bool> {
        let me = self.me();
        let around = self.up_to_shield(now);
        match holds {
            Holds::Seen(None) => Some(false),
            Holds::Seen(Some(held)) if held.is_of_child(me) => any(around.iter().map(|scope| {
                let body =
                    matches!(&scope.kind, Kind::Body(group) if group.failing.get() != Sure::No);
                let vague = scope.unsure.get() || (body && !scope.is_delivered());
                (!vague).then_some(scope.is_delivered())
            })),
            Holds::Seen(Some(held)) => any(around.iter().map(|scope| {
                let given = scope.is_given(held);
                let body = matches!(&scope.kind, Kind::Body(_));
                // It may have taken over the copy of a member.
                let vague = body && held.reason == CancelReason::GroupFailed;
                given.filter(|given| *given || !vague)
            })),
            Holds::Opaque => any(around.iter().map(|scope| scope.has_copies())),
            Holds::Bare => any(around.iter().map(|scope| {
                let body =
                    matches!(&scope.kind, Kind::Body(group) if group.failing.get() != Sure::No);
                let vague = scope.unsure.get() || (body && !scope.is_delivered());
                (!vague).then_some(scope.is_delivered())
            })),
        }
    }

    /// Leaves the scope: what was swallowed inside is pending again (T5).
    pub(crate) fn close(self: &Rc<Self>, left: Left, now: Ms) -> Verdict {
        let (holds, verdict) = match left {
            Left::Error(holds) => (Some(holds), self.verdict(holds, now)),
            Left::Well | Left::Dropped => (None, Verdict::Real),
        };
        if matches!(self.kind, Kind::Shield(_) | Kind::Task(_)) {
            return verdict;
        }
        if holds == Some(Holds::Bare) && verdict == Verdict::Outer {
            return verdict;
        }
        let vague = holds == Some(Holds::Bare) && verdict == Verdict::Unknown;
        for outer in self.around(now) {
            let inside = outer.was_delivered_in(self);
            let maybe = inside != Some(false)
                || outer.was_delivered_since(self) == Some(true) && self.foreign.get();
            let (may, vague) = match outer.kind {
                Kind::Timeout(_) => (true, vague),
                // That of the task comes again if the scope's own hides it.
                Kind::Task(_) => match verdict {
                    Verdict::Own => (true, outer.was_delivered_since(self) != inside),
                    Verdict::Unknown => (true, true),
                    Verdict::Outer | Verdict::Real => (false, false),
                },
                _ => (false, false),
            };
            if !may || !outer.is_delivered() || !maybe {
                continue;
            }
            match outer.has_copies() {
                Some(true) => {}
                Some(false) if inside == Some(true) && !vague => outer.again.set(true),
                _ => {
                    outer.again.set(outer.again.get() || self.foreign.get());
                    outer.unsure.set(true);
                }
            }
        }
        verdict
    }

    /// Whether that was delivered to this scope or to one around it.
    pub(crate) fn knows(self: &Rc<Self>, held: Held) -> bool {
        self.all().iter().any(|scope| scope.is_given(held) == Some(true))
    }

    /// One of the delivered cancellations may be pending again.
    pub(crate) fn may_come_again(self: &Rc<Self>, now: Ms) {
        for scope in self.up_to_shield(now) {
            if scope.is_delivered() {
                scope.again.set(true);
                scope.unsure.set(true);
                scope.contested.set(true);
            }
        }
    }

    /// The program puts a cancellation back (C13), or a group does.
    pub(crate) fn put_back(self: &Rc<Self>, held: Held) {
        let all = self.all();
        let given = |scope: &&Rc<Scope>| scope.is_given(held) == Some(true);
        if let Some(scope) = all.iter().find(given) {
            scope.again.set(true);
            if scope.unsure.get() || scope.given.hidden.get() > 0 {
                // A wait may have got it before or after this.
                scope.unsure.set(true);
                scope.contested.set(true);
            }
            return;
        }
        for scope in all {
            let body = matches!(&scope.kind, Kind::Body(group) if group.failing.get() != Sure::No);
            let member = body && held.reason == CancelReason::GroupFailed;
            if scope.is_given(held).is_none() || member {
                scope.again.set(true);
                scope.unsure.set(true);
                scope.contested.set(true);
            }
        }
    }
}
