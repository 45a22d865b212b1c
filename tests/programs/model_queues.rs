//! Random calls of queues and channels, polled and dropped by hand, compared with a plain model.
//!
//! `CURIUM_SEEDS=100000` runs as many cases of each, and `CURIUM_SEED` one: see `random_programs`.

use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use curium::sync::order::Order;
use curium::sync::{Closed, LifoQueue, PriorityQueue, Queue, Slot};

use crate::plain::Random;
use crate::plain::queue::{Answer, First, Model};
use crate::random_programs::seeds;

/// What a call of a queue returned.
enum Done<'q, O: Order<u32>> {
    Plain(Answer),
    Slot(Slot<'q, u32, O>),
}

type Call<'q, O> = Pin<Box<dyn Future<Output = Done<'q, O>> + 'q>>;

/// A queue beside its model.
struct Pair<'q, O: Order<u32>> {
    queue: &'q Queue<u32, O>,
    model: Model,
    calls: Vec<(usize, Call<'q, O>)>,
    slots: Vec<Slot<'q, u32, O>>,
    made: usize,
}

const NEVER: &str = "nothing is cancelled outside a kernel";

impl<'q, O: Order<u32> + 'q> Pair<'q, O> {
    /// The next call, and what the model says of it.
    fn call(&mut self, kind: usize) -> (Call<'q, O>, Answer) {
        let (queue, id, item) = (self.queue, self.made, self.made as u32 % 7 * 100 + 1);
        self.made += 1;
        match kind {
            0 => {
                let get = async move {
                    let got = queue.next().await.expect(NEVER);
                    Done::Plain(got.map_or(Answer::End, Answer::Got))
                };
                (Box::pin(get), self.model.get(Some(id)))
            }
            1 => {
                let put = async move {
                    let put = queue.put_unless_closed(item).await.expect(NEVER);
                    Done::Plain(put.map_or_else(
                        |Closed(back)| {
                            assert_eq!(back, item);
                            Answer::End
                        },
                        |()| Answer::Put,
                    ))
                };
                (Box::pin(put), self.model.put(Some(id), item))
            }
            _ => {
                let hold = async move {
                    let slot = queue.reserve_unless_closed().await.expect(NEVER);
                    slot.map_or(Done::Plain(Answer::End), Done::Slot)
                };
                (Box::pin(hold), self.model.hold(Some(id)))
            }
        }
    }

    /// Polls a call once. Keeps it if it waits.
    fn poll(&mut self, id: usize, mut call: Call<'q, O>) -> Answer {
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
        match item {
            None => {
                let got = self.queue.try_get().map_or(Answer::Waits, Answer::Got);
                let said = self.model.get(None);
                (got, if said == Answer::End { Answer::Waits } else { said })
            }
            Some(item) => {
                let put = self.queue.try_put(item).map_or(Answer::Waits, |()| Answer::Put);
                let said = self.model.put(None, item);
                (put, if said == Answer::End { Answer::Waits } else { said })
            }
        }
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
                self.queue.close();
                self.model.close();
                ("close", Answer::Waits, Answer::Waits)
            }
            _ => nothing,
        }
    }

    fn assert_same(&self, context: &str) {
        let (now, model) = (self.queue.statistics(), &self.model);
        assert_eq!(
            (now.len, now.getters, now.putters),
            (model.len(), model.getters(), model.putters()),
            "{context}"
        );
        assert_eq!((now.held, now.closed), (model.held, model.closed), "{context}");
        assert_eq!(now.unfinished, model.unfinished, "{context}");
    }
}

/// One case: so many random steps, and then every call is polled or dropped.
fn compare<O: Order<u32>>(queue: &Queue<u32, O>, first: First, seed: u64, random: &mut Random) {
    let model = Model::new(queue.maxsize().unwrap_or(usize::MAX), first);
    let mut pair = Pair { queue, model, calls: Vec::new(), slots: Vec::new(), made: 0 };
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
        compare(&queue, first, seed, &mut random);
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
