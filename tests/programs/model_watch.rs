//! Random calls of a watch and of a channel for one value, compared with plain models: see
//! `model_queues`.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use curium::sync::watch::{Receiver, Sender};
use curium::sync::{TryRecvError, oneshot, watch};
use futures::FutureExt;

use crate::plain::Random;
use crate::random_programs::seeds;

const NEVER: &str = "nothing is cancelled outside a kernel";

/// A wait for a change, which gives its receiver back.
type Call = Pin<Box<dyn Future<Output = (Receiver<u32>, bool)>>>;

/// A call, what its receiver had seen, and whether it was woken.
struct Waiting {
    call: Call,
    seen: u64,
    woken: bool,
}

/// A watch beside its model: the value, its version, and what each receiver has seen.
struct Pair {
    senders: Vec<Sender<u32>>,
    receivers: Vec<(Receiver<u32>, u64)>,
    waiting: Vec<Waiting>,
    value: u32,
    version: u64,
}

impl Pair {
    fn new(value: u32) -> Self {
        let (sender, receiver) = watch(value);
        let (senders, receivers) = (vec![sender], vec![(receiver, 0)]);
        Pair { senders, receivers, waiting: Vec::new(), value, version: 0 }
    }

    fn wake_all(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.woken = true);
    }

    fn replaced(&mut self, value: u32) {
        (self.value, self.version) = (value, self.version + 1);
        self.wake_all();
    }

    /// Polls a wait, which ends if there is a change, or no sender, or if it was woken.
    fn poll(&mut self, mut waiting: Waiting, context: &str) {
        let has_changed = waiting.seen != self.version;
        let ends = has_changed || self.senders.is_empty() || waiting.woken;
        match waiting.call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                assert!(!ends, "{context}: a wait");
                self.waiting.push(waiting);
            }
            Poll::Ready((receiver, changed)) => {
                assert_eq!((true, has_changed), (ends, changed), "{context}: a wait that ended");
                self.receivers.push((receiver, self.version));
            }
        }
    }

    fn on_senders(&mut self, random: &mut Random, context: &str) {
        let at = random.below(self.senders.len());
        match random.below(8) {
            0..3 => {
                let (value, old) = (random.below(1_000) as u32, self.value);
                assert_eq!(*self.senders[at].send(value), old, "{context}: send");
                self.replaced(value);
            }
            3 => {
                self.senders[at].send_modify(|value| *value += 1);
                self.replaced(self.value + 1);
            }
            4 => self.senders.push(self.senders[at].clone()),
            5 => self.receivers.push((self.senders[at].subscribe(), self.version)),
            6 => {
                // The wait for the last receiver to go.
                let closed = self.senders[at].closed().now_or_never().is_some();
                let is_alone = self.receivers.is_empty() && self.waiting.is_empty();
                assert_eq!((closed, self.senders[at].is_closed()), (is_alone, is_alone));
            }
            _ => {
                drop(self.senders.swap_remove(at));
                if self.senders.is_empty() {
                    self.wake_all();
                }
            }
        }
    }

    fn on_receivers(&mut self, random: &mut Random, context: &str) {
        let at = random.below(self.receivers.len());
        let (receiver, seen) = &mut self.receivers[at];
        assert_eq!(receiver.has_changed(), *seen != self.version, "{context}: has_changed");
        match random.below(8) {
            0..3 => {
                let (mut receiver, seen) = self.receivers.swap_remove(at);
                let call = Box::pin(async move {
                    let changed = receiver.changed().await.expect(NEVER);
                    (receiver, changed)
                });
                self.poll(Waiting { call, seen, woken: false }, context);
            }
            3 if *seen == self.version && !self.senders.is_empty() => {
                // A wait that is dropped sees nothing.
                assert!(receiver.changed().now_or_never().is_none(), "{context}: a dropped wait");
            }
            4 => assert_eq!(*receiver.borrow(), self.value, "{context}: borrow"),
            5 => {
                assert_eq!(*receiver.borrow_and_update(), self.value, "{context}: update");
                *seen = self.version;
            }
            6 => {
                let clone = (receiver.clone(), *seen);
                self.receivers.push(clone);
            }
            7 => drop(self.receivers.swap_remove(at)),
            _ => {}
        }
    }

    fn step(&mut self, random: &mut Random, context: &str) {
        match random.below(8) {
            0..3 if !self.senders.is_empty() => self.on_senders(random, context),
            3..6 if !self.receivers.is_empty() => self.on_receivers(random, context),
            6 if !self.waiting.is_empty() => {
                let waiting = self.waiting.swap_remove(random.below(self.waiting.len()));
                self.poll(waiting, context);
            }
            7 if !self.waiting.is_empty() && random.below(3) == 0 => {
                drop(self.waiting.swap_remove(random.below(self.waiting.len())));
            }
            _ => {}
        }
    }

    fn assert_same(&self, context: &str) {
        let of_sender = self.senders.first().map(Sender::statistics);
        let of_receiver = self.receivers.first().map(|(receiver, _)| receiver.statistics());
        let Some(shown) = of_sender.or(of_receiver) else { return };
        let asleep = self.waiting.iter().filter(|waiting| !waiting.woken).count();
        let said = (self.version, self.senders.len(), asleep);
        assert_eq!((shown.version, shown.senders, shown.waiting), said, "{context}");
        assert_eq!(shown.receivers, self.receivers.len() + self.waiting.len(), "{context}");
    }
}

/// Q5: a watch does what the plain model does.
#[test]
fn a_watch_does_what_its_model_does() {
    for seed in seeds(2_000) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(7);
        for step in 0..80 {
            let context = format!("seed {seed}, step {step}");
            pair.step(&mut random, &context);
            pair.assert_same(&context);
        }
    }
}

/// Where the value of a channel for one is.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    NotSent,
    Sent(u32),
    /// It was taken, refused, or will never come.
    Gone,
}

/// Q4: a channel for one value does what the plain model does.
#[test]
fn a_channel_for_one_value_does_what_its_model_does() {
    for seed in seeds(2_000) {
        let mut random = Random::new(seed);
        let (sender, mut receiver) = oneshot();
        let (mut sender, mut value, mut is_closed) = (Some(sender), Value::NotSent, false);
        for step in 0..12 {
            let context = format!("seed {seed}, step {step}");
            match random.below(6) {
                0 => {
                    let Some(sender) = sender.take() else { continue };
                    let sent = sender.send(step).is_ok();
                    assert_eq!(sent, !is_closed, "{context}: send");
                    value = if sent { Value::Sent(step) } else { Value::Gone };
                }
                1 if value == Value::NotSent => {
                    drop(sender.take());
                    value = Value::Gone;
                }
                2 if random.below(3) == 0 => {
                    receiver.close();
                    is_closed = true;
                }
                3 => {
                    let answer = receiver.recv().now_or_never().map(|got| got.expect(NEVER));
                    let said = match value {
                        Value::NotSent if !is_closed => None,
                        Value::Sent(value) => Some(Some(value)),
                        _ => Some(None),
                    };
                    assert_eq!(answer, said, "{context}: recv");
                    value = if let Value::Sent(_) = value { Value::Gone } else { value };
                }
                4 => {
                    let said = match value {
                        Value::NotSent if !is_closed => Err(TryRecvError::Empty),
                        Value::Sent(value) => Ok(value),
                        _ => Err(TryRecvError::Closed),
                    };
                    assert_eq!(receiver.try_recv(), said, "{context}: try_recv");
                    value = if let Value::Sent(_) = value { Value::Gone } else { value };
                }
                _ => {
                    let Some(sender) = &sender else { continue };
                    let closed = sender.closed().now_or_never().is_some();
                    assert_eq!((closed, sender.is_closed()), (is_closed, is_closed), "{context}");
                }
            }
        }
    }
}
