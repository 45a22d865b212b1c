//! Random calls of queues and channels, polled and dropped by hand, compared with a plain model.
//!
//! `CURIUM_SEEDS=100000` runs as many cases of each, and `CURIUM_SEED` one: see `random_programs`.

use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use curium::sync::order::{Fifo, Order};
use curium::sync::{
    Closed, LifoQueue, PriorityQueue, Queue, Receiver, Sender, Slot, UniversalQueue, channel,
};

use crate::plain::Random;
use crate::plain::queue::{Answer, First, Model};
use crate::random_programs::seeds;

/// What a call returned.
enum Done<'q, O: Order<u32>> {
    Plain(Answer),
    Slot(Slot<'q, u32, O>),
}

type Call<'q, O> = Pin<Box<dyn Future<Output = Done<'q, O>> + 'q>>;

/// What is compared with the model.
trait Subject {
    type Order: Order<u32>;

    /// Whether it has slots.
    const HOLDS: bool = true;

    fn get(&self) -> Call<'_, Self::Order>;
    fn put(&self, item: u32) -> Call<'_, Self::Order>;
    fn hold(&self) -> Call<'_, Self::Order>;
    fn try_get(&self) -> Option<u32>;
    fn try_put(&self, item: u32) -> bool;
    fn close(&self);

    /// The items, the getters, the putters and the held slots, and whether it is closed.
    fn state(&self) -> (usize, usize, usize, usize, bool);
}

fn put<'q, O: Order<u32>>(item: u32, put: Result<(), Closed<u32>>) -> Done<'q, O> {
    Done::Plain(match put {
        Ok(()) => Answer::Put,
        Err(Closed(back)) => {
            assert_eq!(back, item);
            Answer::End
        }
    })
}

fn held<O: Order<u32>>(slot: Result<Slot<'_, u32, O>, Closed<()>>) -> Done<'_, O> {
    slot.map_or(Done::Plain(Answer::End), Done::Slot)
}

fn got<'q, O: Order<u32>>(item: Option<u32>) -> Done<'q, O> {
    Done::Plain(item.map_or(Answer::End, Answer::Got))
}

impl<O: Order<u32>> Subject for Queue<u32, O> {
    type Order = O;

    fn get(&self) -> Call<'_, O> {
        Box::pin(async { got(self.next().await.expect(NEVER)) })
    }

    fn put(&self, item: u32) -> Call<'_, O> {
        Box::pin(async move { put(item, self.put_unless_closed(item).await.expect(NEVER)) })
    }

    fn hold(&self) -> Call<'_, O> {
        Box::pin(async { held(self.reserve_unless_closed().await.expect(NEVER)) })
    }

    fn try_get(&self) -> Option<u32> {
        self.try_get()
    }

    fn try_put(&self, item: u32) -> bool {
        self.try_put(item).is_ok()
    }

    fn close(&self) {
        self.close();
    }

    fn state(&self) -> (usize, usize, usize, usize, bool) {
        let now = self.statistics();
        (now.len, now.getters, now.putters, now.held, now.closed)
    }
}

impl Subject for (Sender<u32>, Receiver<u32>) {
    type Order = Fifo<u32>;

    fn get(&self) -> Call<'_, Fifo<u32>> {
        Box::pin(async { got(self.1.recv().await.expect(NEVER)) })
    }

    fn put(&self, item: u32) -> Call<'_, Fifo<u32>> {
        // One kind of put for odd items, one for even ones.
        if item % 2 == 0 {
            return Box::pin(async move { put(item, self.0.put(item).await.expect(NEVER)) });
        }
        Box::pin(async move {
            let mut hand = Some(item);
            let done = self.0.put_from(&mut hand).await.expect(NEVER);
            assert_eq!(done.is_ok(), hand.is_none());
            put(item, done.map_err(|Closed(())| Closed(item)))
        })
    }

    fn hold(&self) -> Call<'_, Fifo<u32>> {
        Box::pin(async { held(self.0.reserve().await.expect(NEVER)) })
    }

    fn try_get(&self) -> Option<u32> {
        self.1.try_recv().ok()
    }

    fn try_put(&self, item: u32) -> bool {
        self.0.try_put(item).is_ok()
    }

    fn close(&self) {
        self.0.close();
    }

    fn state(&self) -> (usize, usize, usize, usize, bool) {
        let now = self.0.statistics();
        (now.len, now.waiting_receivers, now.waiting_senders, now.held, now.closed)
    }
}

impl Subject for UniversalQueue<u32> {
    type Order = Fifo<u32>;

    const HOLDS: bool = false;

    fn get(&self) -> Call<'_, Fifo<u32>> {
        Box::pin(async { got(self.next().await.expect(NEVER)) })
    }

    fn put(&self, item: u32) -> Call<'_, Fifo<u32>> {
        Box::pin(async move { put(item, self.put_unless_closed(item).await.expect(NEVER)) })
    }

    fn hold(&self) -> Call<'_, Fifo<u32>> {
        unreachable!("it has no slots")
    }

    fn try_get(&self) -> Option<u32> {
        self.try_get()
    }

    fn try_put(&self, item: u32) -> bool {
        self.try_put(item).is_ok()
    }

    fn close(&self) {
        self.close();
    }

    fn state(&self) -> (usize, usize, usize, usize, bool) {
        let now = self.statistics();
        (now.len, now.getters, now.putters, now.held, now.closed)
    }
}

/// A queue or a channel beside its model.
struct Pair<'q, S: Subject> {
    subject: &'q S,
    model: Model,
    calls: Vec<(usize, Call<'q, S::Order>)>,
    slots: Vec<Slot<'q, u32, S::Order>>,
    made: usize,
}

const NEVER: &str = "nothing is cancelled outside a kernel";

impl<'q, S: Subject> Pair<'q, S> {
    /// The next call, and what the model says of it.
    fn call(&mut self, kind: usize) -> (Call<'q, S::Order>, Answer) {
        let (subject, id, item) = (self.subject, self.made, self.made as u32 % 7 * 100 + 1);
        let item = item + id as u32 % 2;
        self.made += 1;
        match kind {
            0 => (subject.get(), self.model.get(Some(id))),
            1 => (subject.put(item), self.model.put(Some(id), item)),
            _ if S::HOLDS => (subject.hold(), self.model.hold(Some(id))),
            _ => (subject.get(), self.model.get(Some(id))),
        }
    }

    /// Polls a call once. Keeps it if it waits.
    fn poll(&mut self, id: usize, mut call: Call<'q, S::Order>) -> Answer {
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                self.calls.push((id, call));
                Answer::Waits
            }
            Poll::Ready(Done::Plain(answer)) => answer,
            Poll::Ready(Done::Slot(slot)) => {
                self.slots.push(slot);
                Answer::Holds
            }
        }
    }

    fn try_now(&mut self, item: Option<u32>) -> (Answer, Answer) {
        let (done, said) = match item {
            None => (self.subject.try_get().map(Answer::Got), self.model.get(None)),
            Some(item) => {
                let put = self.subject.try_put(item).then_some(Answer::Put);
                (put, self.model.put(None, item))
            }
        };
        let said = if said == Answer::End { Answer::Waits } else { said };
        (done.unwrap_or(Answer::Waits), said)
    }

    /// One random step. Returns what it was and the answers of the queue and of the model.
    fn step(&mut self, random: &mut Random) -> (&'static str, Answer, Answer) {
        let nothing = ("nothing", Answer::Waits, Answer::Waits);
        match random.below(40) {
            kind @ 0..15 => {
                let id = self.made;
                let (call, said) = self.call(kind % 3);
                ("a new call", self.poll(id, call), said)
            }
            15..25 if !self.calls.is_empty() => {
                let (id, call) = self.calls.swap_remove(random.below(self.calls.len()));
                let said = self.model.poll(id);
                ("a later poll", self.poll(id, call), said)
            }
            25..29 if !self.calls.is_empty() => {
                let (id, call) = self.calls.swap_remove(random.below(self.calls.len()));
                drop(call);
                self.model.drop(id);
                ("a drop of a call", Answer::Waits, Answer::Waits)
            }
            29..34 if !self.slots.is_empty() => {
                let slot = self.slots.swap_remove(random.below(self.slots.len()));
                let item = (random.below(3) > 0).then_some(7);
                self.model.release(item);
                if let Some(item) = item {
                    slot.put(item);
                }
                ("the use of a slot", Answer::Waits, Answer::Waits)
            }
            34..39 => {
                let item = (random.below(2) == 0).then_some(8);
                let (answer, said) = self.try_now(item);
                ("a try", answer, said)
            }
            39 if random.below(8) == 0 => {
                self.subject.close();
                self.model.close();
                ("close", Answer::Waits, Answer::Waits)
            }
            _ => nothing,
        }
    }

    fn assert_same(&self, context: &str) {
        let model = &self.model;
        let said = (model.len(), model.getters(), model.putters(), model.held, model.closed);
        assert_eq!(self.subject.state(), said, "{context}");
    }
}

/// One case: random steps on both.
fn compare<S: Subject>(subject: &S, model: Model, seed: u64, random: &mut Random) {
    let mut pair = Pair { subject, model, calls: Vec::new(), slots: Vec::new(), made: 0 };
    for step in 0..60 {
        let (what, answer, said) = pair.step(random);
        let context = format!("seed {seed}, step {step}: {what}");
        assert_eq!(answer, said, "{context}");
        pair.assert_same(&context);
    }
}

fn compare_all<Q, O>(make: fn(usize) -> Q, first: First)
where
    Q: Deref<Target = Queue<u32, O>>,
    O: Order<u32>,
{
    for seed in seeds(2_000) {
        let mut random = Random::new(seed);
        let queue = make(random.below(4));
        let model = Model::new(queue.maxsize().unwrap_or(usize::MAX), first);
        compare(&*queue, model, seed, &mut random);
    }
}

/// Q1, Q2, Y2, Y3, Y5: a queue does what the plain model does.
#[test]
fn a_queue_does_what_its_model_does() {
    let make = |bound| match bound {
        0 => Box::new(Queue::unbounded()),
        bound => Box::new(Queue::bounded(bound)),
    };
    compare_all(make, |_| 0);
}

/// Q1, Q2, Y2, Y3, Y5: the same for a priority queue.
#[test]
fn a_priority_queue_does_what_its_model_does() {
    let make = |bound| match bound {
        0 => PriorityQueue::unbounded(),
        bound => PriorityQueue::bounded(bound),
    };
    compare_all(make, |items| {
        let smallest = items.iter().enumerate().min_by_key(|(at, (_, item))| (*item, *at));
        smallest.expect("an item").0
    });
}

/// Q1, Q2, Y2, Y3, Y5: the same for a last-in-first-out queue.
#[test]
fn a_lifo_queue_does_what_its_model_does() {
    let make = |bound| match bound {
        0 => LifoQueue::unbounded(),
        bound => LifoQueue::bounded(bound),
    };
    compare_all(make, |items| items.len() - 1);
}

/// Q1, Q2, Q3, Y2, Y3, Y5: a channel does what the plain model does, with places and without.
#[test]
fn a_channel_does_what_its_model_does() {
    for seed in seeds(4_000) {
        let mut random = Random::new(seed);
        let capacity = random.below(6).saturating_sub(2);
        let model = Model::new(capacity, |_| 0);
        compare(&channel(capacity), model, seed, &mut random);
    }
}

/// U2, Q1, Y2, Y3, Y5: a universal queue does what the plain model does, in futures of no executor.
#[test]
fn a_universal_queue_does_what_its_model_does() {
    for seed in seeds(2_000) {
        let mut random = Random::new(seed);
        let queue = match random.below(4) {
            0 => UniversalQueue::unbounded(),
            bound => UniversalQueue::bounded(bound),
        };
        let mut model = Model::new(queue.maxsize().unwrap_or(usize::MAX), |_| 0);
        model.direct = true;
        compare(&queue, model, seed, &mut random);
    }
}
