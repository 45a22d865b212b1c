//! Polls that spend their budget, combinators whose arms are ready at once, and floods.

use std::rc::Rc;

use super::{Generator, Place};
use crate::random::program::{Body, Flood, Pick, Ready, Step};
use crate::random::world::{EVENTS, QUEUES};

/// Operations in a row: about a budget, far fewer, or more.
const OPERATIONS: [u32; 10] = [1, 2, 5, 60, 126, 127, 128, 129, 200, 300];

const READY: [Ready; 6] =
    [Ready::Event, Ready::Item, Ready::Item, Ready::Permit, Ready::Lock, Ready::Ended];

impl Generator {
    /// Operations that are ready, one after the other.
    pub(super) fn busy(&mut self, place: Place) -> Step {
        let operations = self.random.of(&OPERATIONS);
        self.operations(place, operations)
    }

    fn operations(&mut self, place: Place, operations: u32) -> Step {
        match self.random.of(&READY) {
            // The only one that may have to wait.
            Ready::Lock => self.bounded(place, Step::Busy(Ready::Lock, operations)),
            ready => Step::Busy(ready, operations),
        }
    }

    /// What another thread posts: a few letters, or far more than are served at once.
    pub(super) fn flood(&mut self) -> Flood {
        let letters = match self.random.below(12) {
            0 => 2_000,
            _ => self.random.of(&[0, 1, 8, 9, 63, 64, 65, 100, 300]),
        };
        let size = self.random.of(&[0, 0, 1, 64, 1_024, 102_400]);
        // Fewer large ones, to limit the memory.
        let letters = if size > 1_024 { letters.min(20) } else { letters };
        let cancels = (0..self.random.of(&[0, 0, 1, 3, 40])).map(|_| self.pick()).collect();
        Flood { letters, size, cancels, wakes: self.random.of(&[0, 1, 2, 100]) }
    }

    /// Spends most or all of a budget before that step begins.
    pub(super) fn after_many(&mut self, step: Step) -> Body {
        let ready = self.random.pick_one(Ready::Event, Ready::Item);
        let operations = self.random.of(&[126, 127, 128, 128, 129, 255, 256]);
        Rc::new(vec![Step::Busy(ready, operations), step])
    }

    /// Combinators over leaves most of which are ready.
    pub(super) fn rush(&mut self, place: Place) -> Step {
        match self.random.below(5) {
            0 | 1 => {
                let race = Step::Race(self.arm(place, 1), self.arm(place, 1));
                Step::Repeat(self.random.of(&OPERATIONS), Rc::new(vec![race]))
            }
            2 => self.arms(place, &OPERATIONS),
            3 => {
                let arms = self.arms(place, &[1, 1, 2, 5]);
                Step::Repeat(self.random.of(&[1, 20, 43, 64, 70]), Rc::new(vec![arms]))
            }
            _ => {
                let steps = [self.busy(place), self.arms(place, &OPERATIONS), self.busy(place)];
                Step::Repeat(1, Rc::new(steps.to_vec()))
            }
        }
    }

    fn arms(&mut self, place: Place, operations: &[u32]) -> Step {
        let width = 2 + self.random.below(4);
        let arms = (0..width).map(|_| {
            let operations = self.random.of(operations);
            self.arm(place, operations)
        });
        let arms = arms.collect();
        let unordered = !self.deadlocks && self.random.one_in(2);
        if unordered { Step::Unordered(arms) } else { Step::All(arms) }
    }

    /// A leaf that is ready so often, one that becomes ready later, or one that requests a cancel.
    fn arm(&mut self, place: Place, operations: u32) -> Body {
        let step = match self.random.below(12) {
            0 => Step::Yield,
            1 => Step::Sleep(self.random.of(&[0, 0, 1, 2])),
            2 => Step::Foreign(self.random.below(4) as u32, true),
            3 => Step::Request(Pick::Any(self.random.below(16))),
            4 => {
                let (event, queue) = (self.random.below(EVENTS), self.random.below(QUEUES));
                let wait = self.random.pick_one(Step::Event(event), Step::Get(queue));
                self.bounded(place, wait)
            }
            _ => self.operations(place, operations),
        };
        Rc::new(vec![step])
    }
}
