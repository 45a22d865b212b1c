//! Generates a program from a seed.
//!
//! It uses few different times, so that deadlines coincide, and few tasks, locks and events, so
//! that tasks interact.

use std::rc::Rc;

use kernel::WaitPolicy;

use super::program::{Body, Ending, Limit, Ms, Pick, Program, Shape, Step, Then};
use super::sized::SIZES;
use super::world::{EVENTS, LOCKS, QUEUES, SEMAPHORES};

mod echoes;
mod rush;

/// Sebastiano Vigna's SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick_one<T>(&mut self, one: T, other: T) -> T {
        if self.one_in(2) { one } else { other }
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}

const TIMES: [Ms; 10] = [0, 1, 2, 3, 5, 5, 8, 10, 10, 20];
const POLICIES: [WaitPolicy; 6] = [
    WaitPolicy::All,
    WaitPolicy::All,
    WaitPolicy::All,
    WaitPolicy::Any,
    WaitPolicy::FirstOk,
    WaitPolicy::None,
];

/// The position of a step.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// In main, which no task cancels: a step that may wait for ever gets a timeout.
    main: bool,
    /// In a group, or in one of its members.
    group: bool,
    /// In the body of a `new()` group, where `next_done` can be called.
    owner: bool,
}

impl Place {
    fn deeper(self) -> Self {
        Place { depth: self.depth + 1, ..self }
    }

    fn task(self) -> Self {
        Place { main: false, owner: false, ..self.deeper() }
    }
}

struct Generator {
    random: Random,
    fuel: usize,
    /// Whether the tasks use locks, permits and queues more than in other programs.
    contended: bool,
    /// Without timeouts and bounded times: such programs may deadlock.
    deadlocks: bool,
}

/// The program of a seed.
pub(crate) fn program(seed: u64) -> Program {
    make(seed, false)
}

/// A program that may deadlock.
pub(crate) fn deadlocking(seed: u64) -> Program {
    make(seed, true)
}

fn make(seed: u64, deadlocks: bool) -> Program {
    let mut random = Random(seed);
    let fuel = 15 + random.below(60);
    let contended = random.one_in(3);
    let mut generator = Generator { random, fuel, contended, deadlocks };
    let place = Place { depth: 0, main: true, group: false, owner: false };
    let mut main = Vec::new();
    if generator.contended {
        // All at once, before anything else.
        for _ in 0..4 + generator.random.below(5) {
            let steps = (0..3).map(|_| generator.contend(place.task())).collect();
            main.push(Step::Spawn(false, generator.size(), Rc::new(steps)));
        }
    }
    while generator.fuel > 0 && main.len() < 16 {
        let step = generator.step(place);
        main.push(step);
    }
    // Usually time for the other tasks before the shutdown.
    if generator.random.below(4) > 0 {
        main.push(Step::Sleep(1 + generator.random.of(&TIMES) * 3));
    }
    Program { seed, plain: false, main: Rc::new(main) }
}

impl Generator {
    fn body(&mut self, place: Place) -> Body {
        let long = 1 + self.random.below(4);
        let mut steps = Vec::new();
        while self.fuel > 0 && steps.len() < long {
            let step = self.step(place);
            steps.push(step);
        }
        if steps.is_empty() {
            steps.push(Step::Yield);
        }
        Rc::new(steps)
    }

    fn bodies(&mut self, place: Place) -> Vec<Body> {
        let width = 2 + self.random.below(2);
        (0..width).map(|_| self.body(place)).collect()
    }

    /// Half of all futures have their own size.
    fn size(&mut self) -> usize {
        if self.random.one_in(2) { 0 } else { self.random.of(&SIZES) }
    }

    fn step(&mut self, place: Place) -> Step {
        self.fuel = self.fuel.saturating_sub(1);
        let leaf = place.depth >= 6 || self.fuel == 0;
        if self.contended && place.depth < 6 && self.random.one_in(2) {
            return self.contend(place);
        }
        match self.random.below(if leaf { 11 } else { 31 }) {
            0..=2 => self.wait(place),
            3 => self.wait_long(place),
            4..=5 => self.touch_task(place),
            6 => self.touch_shared(),
            7 => self.mishap(place),
            8 => self.in_group(place),
            9 => self.of_tasks(place),
            // A thread for each flood is slow while many tests run.
            10 => match self.random.below(5) {
                0 | 1 => Step::Flood(self.flood()),
                // Its waker is kept, so the kernel waits for seconds before it reports a deadlock.
                2 | 3 if !self.deadlocks => Step::Expose,
                _ => self.wait(place),
            },
            11..=14 => Step::Spawn(self.random.one_in(2), self.size(), self.body(place.task())),
            15..=17 => self.timeout(place),
            18..=20 => self.group(place),
            21 => self.shield(place),
            22 => self.catch(place),
            23 => self.hold(place),
            24 => self.rush(place),
            25 => self.busy(place),
            26..=28 => self.echoes(place.deeper()),
            _ => self.together(place),
        }
    }

    fn wait(&mut self, place: Place) -> Step {
        let time = self.random.of(&TIMES);
        match self.random.below(8) {
            0..=2 => Step::Sleep(time),
            3 => Step::SleepUntil(time),
            4 | 5 => Step::Yield,
            6 => Step::Check,
            _ if place.main => Step::Foreign(self.random.below(4) as u32, true),
            _ => Step::Foreign(self.random.below(4) as u32, self.random.one_in(2)),
        }
    }

    /// A step that may wait for ever.
    fn wait_long(&mut self, place: Place) -> Step {
        let step = match self.random.below(7) {
            0 => Step::SleepForever,
            1 => Step::ForeignForever,
            2 => Step::Condition,
            3 => Step::Put(self.random.below(QUEUES)),
            4 | 5 => Step::Get(self.random.below(QUEUES)),
            _ => Step::Event(self.random.below(EVENTS)),
        };
        match step {
            Step::SleepForever if self.deadlocks => Step::Yield,
            step => self.bounded(place, step),
        }
    }

    /// Main gets a timeout round it. Other tasks often do.
    fn bounded(&mut self, place: Place, step: Step) -> Step {
        if self.deadlocks || !(place.main || self.random.one_in(4)) {
            return step;
        }
        let limit = Limit::After(self.random.of(&TIMES));
        Step::Timeout(limit, Shape::Known, self.random.one_in(4), Rc::new(vec![step]))
    }

    fn pick(&mut self) -> Pick {
        match self.random.below(8) {
            0 => Pick::Running,
            1 => Pick::Parent,
            2..=4 => Pick::Newest,
            _ => Pick::Any(self.random.below(16)),
        }
    }

    fn touch_task(&mut self, place: Place) -> Step {
        let pick = self.pick();
        let step = match self.random.below(8) {
            0..=2 => Step::Cancel(pick),
            3..=5 => return Step::Request(pick),
            6 => Step::CancelWithin(pick, self.random.of(&TIMES)),
            _ => return Step::Abort(pick),
        };
        self.bounded(place, step)
    }

    fn of_tasks(&mut self, place: Place) -> Step {
        let pick = self.pick();
        let step = if self.random.one_in(4) { Step::WaitFor(pick) } else { Step::Join(pick) };
        self.bounded(place, step)
    }

    fn touch_shared(&mut self) -> Step {
        match self.random.below(5) {
            0 | 1 => Step::Set(self.random.below(EVENTS)),
            2 => Step::Clear(self.random.below(EVENTS)),
            _ => Step::Notify(1 + self.random.below(2)),
        }
    }

    fn mishap(&mut self, place: Place) -> Step {
        match self.random.below(3) {
            _ if place.main => Step::Yield,
            0 | 1 => Step::Fail,
            _ => Step::Panic,
        }
    }

    fn in_group(&mut self, place: Place) -> Step {
        match self.random.below(3) {
            0 if place.owner => self.bounded(place, Step::CancelRemaining),
            1 if place.owner => self.bounded(place, Step::NextDone),
            _ if place.group => self.member(place),
            _ => self.wait(place),
        }
    }

    fn member(&mut self, place: Place) -> Step {
        let daemon = self.random.one_in(6);
        let mut body = self.body(place.task());
        if self.random.one_in(4) {
            Rc::make_mut(&mut body).push(self.mishap(place.task()));
        }
        Step::Member(daemon, self.size(), body)
    }

    fn timeout(&mut self, place: Place) -> Step {
        let time = self.random.of(&TIMES);
        let limit = match self.random.below(8) {
            0..=3 => Limit::After(time),
            4 | 5 => Limit::At(time),
            6 => Limit::Ignore(time),
            _ => Limit::Max,
        };
        let limit = if self.deadlocks { Limit::Max } else { limit };
        let (shape, pass) = (self.shape(), self.random.one_in(2));
        let body = match self.random.below(4) {
            0 => Rc::new(vec![self.catch(place.deeper()), self.wait(place)]),
            1 => Rc::new(vec![self.swallowed(), self.wait(place)]),
            _ => self.body(place.deeper()),
        };
        Step::Timeout(limit, shape, pass, body)
    }

    /// A sleep in its own timeout, which ignores every error.
    fn swallowed(&mut self) -> Step {
        let (limit, time) = (self.random.of(&TIMES), self.random.of(&TIMES));
        let sleep = Rc::new(vec![Step::Sleep(time)]);
        let ignored = Step::Catch(sleep, Rc::new(vec![Step::Yield]), Then::Swallow);
        let limit = if self.deadlocks { Limit::Max } else { Limit::After(limit) };
        Step::Timeout(limit, Shape::Known, false, Rc::new(vec![ignored]))
    }

    fn group(&mut self, place: Place) -> Step {
        let own = self.random.one_in(3);
        let inside = Place { group: true, owner: own, ..place.deeper() };
        let mut steps = Vec::new();
        for _ in 0..=self.random.below(3) {
            if self.fuel > 0 {
                steps.push(self.member(inside));
            }
        }
        if self.random.one_in(3) {
            // A failure of a member that is being joined goes to the joiner.
            steps.push(self.bounded(inside, Step::Join(Pick::Newest)));
        }
        steps.extend(self.body(inside).iter().cloned());
        let (wait, body) = (self.random.of(&POLICIES), Rc::new(steps));
        if own {
            let endings = [Ending::Join, Ending::JoinAll, Ending::JoinAll, Ending::Drop];
            return Step::Group(wait, self.random.of(&endings), body);
        }
        if self.random.one_in(2) { Step::ScopeAll(body) } else { Step::Scope(wait, body) }
    }

    fn shield(&mut self, place: Place) -> Step {
        let time = 1 + self.random.of(&TIMES);
        let limit = self.random.one_in(3).then_some(time);
        Step::Shield(limit, self.body(place.deeper()))
    }

    fn catch(&mut self, place: Place) -> Step {
        Step::Catch(self.body(place.deeper()), self.body(place.deeper()), self.then())
    }

    fn hold(&mut self, place: Place) -> Step {
        let inside = place.deeper();
        let step = if self.random.one_in(2) {
            Step::Lock(self.random.below(LOCKS), self.body(inside))
        } else {
            let (which, n) = (self.random.below(SEMAPHORES), 1 + self.random.below(2));
            Step::Permits(which, n, self.body(inside))
        };
        self.bounded(place, step)
    }

    /// Few things and many tasks that want them, some of which leave in between.
    fn contend(&mut self, place: Place) -> Step {
        let time = self.random.of(&[0, 1, 1, 2]);
        let inside = Rc::new(vec![self.random.pick_one(Step::Yield, Step::Sleep(time))]);
        let wanted = match self.random.below(8) {
            0 | 1 => Step::Lock(0, inside),
            2 | 3 => Step::Permits(0, 1 + self.random.below(2), inside),
            4 | 5 => Step::Get(0),
            6 => Step::Event(0),
            _ => Step::Put(0),
        };
        let wanted = self.bounded(place, wanted);
        match self.random.below(8) {
            0 => wanted,
            1 => Step::Repeat(1, self.after_many(wanted)),
            2 => {
                let (one, other) = (self.after_many(wanted.clone()), self.after_many(wanted));
                let race = Step::Race(one.clone(), other.clone());
                self.random.pick_one(race, Step::All(vec![one, other]))
            }
            3 => {
                let other = self.random.pick_one(Step::Yield, Step::Sleep(time));
                let (wanted, other) = (Rc::new(vec![wanted]), Rc::new(vec![other]));
                let first = self.random.one_in(2);
                if first { Step::Race(wanted, other) } else { Step::Race(other, wanted) }
            }
            4 => Step::Request(Pick::Any(self.random.below(16))),
            5 => Step::Abort(Pick::Any(self.random.below(16))),
            6 => self.touch_shared(),
            _ if self.random.one_in(2) => Step::Spawn(false, self.size(), self.after_many(wanted)),
            _ => Step::Spawn(false, self.size(), Rc::new(vec![wanted.clone(), wanted])),
        }
    }

    fn together(&mut self, place: Place) -> Step {
        let inside = place.deeper();
        match self.random.below(3) {
            0 => Step::All(self.bodies(inside)),
            // Its wakers outlive a task's polls, so the kernel waits for seconds before it reports
            // a deadlock.
            1 if self.deadlocks => Step::All(self.bodies(inside)),
            1 => Step::Unordered(self.bodies(inside)),
            _ => Step::Race(self.body(inside), self.body(inside)),
        }
    }
}
