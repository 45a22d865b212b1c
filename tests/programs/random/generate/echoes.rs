//! Cancellations that are swallowed, put back, dropped, or passed on in errors that do not show it.

use std::rc::Rc;

use super::{Generator, Place, TIMES};
use crate::random::program::{Body, Limit, Pick, Shape, Step, Then};

const THEN: [Then; 12] = [
    Then::Swallow,
    Then::Swallow,
    Then::Forget,
    Then::Forget,
    Then::Rethrow,
    Then::Replace,
    Then::PutBack,
    Then::PutBack,
    Then::PutBack,
    Then::Ask(Shape::Known),
    Then::Ask(Shape::Opaque),
    Then::Ask(Shape::Bare),
];

const SHAPES: [Shape; 6] =
    [Shape::Known, Shape::Known, Shape::Known, Shape::Opaque, Shape::Opaque, Shape::Bare];

impl Generator {
    pub(super) fn shape(&mut self) -> Shape {
        self.random.of(&SHAPES)
    }

    pub(super) fn then(&mut self) -> Then {
        self.random.of(&THEN)
    }

    /// Timeouts in one another, each of which may expire while an error of the inner one is on its
    /// way.
    pub(super) fn echoes(&mut self, place: Place) -> Step {
        let mut body = self.source(place);
        for _ in 0..2 + self.random.below(2) {
            body = self.passed_on(place, body);
            let limit = match self.random.below(6) {
                _ if self.deadlocks => Limit::Max,
                0 => Limit::Max,
                1 => Limit::Ignore(self.random.of(&TIMES)),
                _ => Limit::After(self.random.of(&TIMES)),
            };
            let timeout = Step::Timeout(limit, self.shape(), self.random.one_in(2), body);
            body = Rc::new(match self.random.below(7) {
                0 | 1 => vec![timeout, self.wait(place)],
                2 | 3 => vec![timeout, Step::Check, self.wait(place)],
                // Another arm has the error of the outer timeout for a while.
                4 => vec![Step::All(vec![self.holds_on(), Rc::new(vec![timeout])])],
                _ => vec![timeout],
            });
        }
        Step::Repeat(1, body)
    }

    fn holds_on(&mut self) -> Body {
        let cleanup = Rc::new(vec![Step::Sleep(self.random.of(&TIMES))]);
        let sleep = Rc::new(vec![Step::Sleep(20)]);
        Rc::new(vec![Step::Catch(sleep, cleanup, self.then())])
    }

    /// Steps that end in an error of some kind, or in none.
    fn source(&mut self, place: Place) -> Body {
        let time = self.random.of(&TIMES);
        Rc::new(match self.random.below(6) {
            0 => self.of_child(place),
            1 => vec![Step::Sleep(time), Step::Fail],
            2 => vec![self.group(place)],
            3 => vec![Step::All(vec![
                self.caught(place, vec![Step::Sleep(time)]),
                self.caught(place, vec![Step::Sleep(20)]),
            ])],
            _ => vec![Step::Sleep(time + 5)],
        })
    }

    /// The cancellation of a child, got by a `join`. This task requests it, or another.
    fn of_child(&mut self, place: Place) -> Vec<Step> {
        let wait = Rc::new(vec![self.random.pick_one(Step::Sleep(20), Step::Event(0))]);
        let child = Step::Spawn(false, 0, wait);
        let request = self.random.pick_one(Step::Request(Pick::Newest), Step::Cancel(Pick::Newest));
        let time = self.random.of(&TIMES);
        let join = self.bounded(place, Step::Join(Pick::Newest));
        match self.random.below(3) {
            0 => {
                vec![child, Step::Spawn(false, 0, Rc::new(vec![Step::Request(Pick::Any(1))])), join]
            }
            1 => vec![child, Step::Sleep(time), request, join],
            _ => {
                let cleanup = Rc::new(vec![request, join]);
                let sleep = Rc::new(vec![Step::Sleep(time + 5)]);
                vec![child, Step::Catch(sleep, cleanup, self.then())]
            }
        }
    }

    fn caught(&mut self, place: Place, body: Vec<Step>) -> Body {
        let cleanup = Rc::new(vec![self.wait(place)]);
        Rc::new(vec![Step::Catch(Rc::new(body), cleanup, self.then())])
    }

    /// The error of the body is caught, or not.
    fn passed_on(&mut self, place: Place, body: Body) -> Body {
        match self.random.below(3) {
            0 => body,
            1 => {
                let mut steps = self.caught(place, body.to_vec()).to_vec();
                steps.push(self.wait(place));
                Rc::new(steps)
            }
            _ => self.caught(place, body.to_vec()),
        }
    }
}
