//! Random calls of a broadcast channel, compared with a plain model: see `model_queues`.

use curium::sync::broadcast::{Receiver, Sender, TryRecvError, broadcast};
use futures::FutureExt;

use crate::plain::Random;
use crate::random_programs::seeds;

/// All that was sent, and how much of it each receiver has had or missed.
struct Model {
    capacity: usize,
    sent: Vec<u32>,
    positions: Vec<usize>,
    /// The oldest item that is kept.
    oldest: usize,
}

impl Model {
    /// What an item that is not kept for any receiver leaves behind.
    fn trim(&mut self) {
        let least = self.positions.iter().copied().min().unwrap_or(self.sent.len());
        let kept = self.sent.len().saturating_sub(self.capacity);
        self.oldest = self.oldest.max(least).max(kept);
    }

    fn recv(&mut self, at: usize, is_over: bool) -> Result<u32, TryRecvError> {
        let position = self.positions[at];
        if position == self.sent.len() {
            return Err(if is_over { TryRecvError::Closed } else { TryRecvError::Empty });
        }
        if position < self.oldest {
            self.positions[at] = self.oldest;
            return Err(TryRecvError::Lagged((self.oldest - position) as u64));
        }
        self.positions[at] += 1;
        Ok(self.sent[position])
    }
}

struct Pair {
    senders: Vec<Sender<u32>>,
    receivers: Vec<Receiver<u32>>,
    model: Model,
}

impl Pair {
    fn step(&mut self, random: &mut Random, context: &str) {
        let Pair { senders, receivers, model } = self;
        let (to, from) = (random.below(senders.len().max(1)), random.below(receivers.len().max(1)));
        match random.below(20) {
            0..6 if !senders.is_empty() => {
                let item = random.below(1_000) as u32;
                let sent = senders[to].send(item).is_ok();
                assert_eq!(sent, !receivers.is_empty(), "{context}: send");
                model.sent.extend(sent.then_some(item));
            }
            6..13 if !receivers.is_empty() => {
                let (answer, said) =
                    (receivers[from].try_recv(), model.recv(from, senders.is_empty()));
                assert_eq!(answer, said, "{context}: recv");
            }
            13 if !receivers.is_empty() => {
                // A call that is dropped takes nothing.
                let empty = receivers[from].is_empty() && !senders.is_empty();
                let waits = empty && receivers[from].recv().now_or_never().is_none();
                assert_eq!(waits, empty, "{context}: a dropped call");
            }
            14 if !receivers.is_empty() => {
                receivers.push(receivers[from].clone());
                model.positions.push(model.positions[from]);
            }
            15 if !senders.is_empty() => {
                receivers.push(senders[to].subscribe());
                model.positions.push(model.sent.len());
            }
            16 | 17 if !receivers.is_empty() => {
                drop(receivers.swap_remove(from));
                model.positions.swap_remove(from);
            }
            18 if !senders.is_empty() => senders.push(senders[to].clone()),
            19 if !senders.is_empty() && random.below(4) == 0 => drop(senders.swap_remove(to)),
            _ => {}
        }
        model.trim();
    }
}

/// Q6, Y3: a broadcast channel does what the plain model does.
#[test]
fn a_broadcast_channel_does_what_its_model_does() {
    for seed in seeds(2_000) {
        let mut random = Random::new(seed);
        let capacity = 1 + random.below(4);
        let (sender, receiver) = broadcast(capacity);
        let model = Model { capacity, sent: Vec::new(), positions: vec![0], oldest: 0 };
        let mut pair = Pair { senders: vec![sender], receivers: vec![receiver], model };
        for step in 0..80 {
            let context = format!("seed {seed}, step {step}");
            pair.step(&mut random, &context);
            let kept = pair.model.sent.len() - pair.model.oldest;
            let shown = pair.receivers.first().map(|receiver| receiver.statistics().len);
            assert!(shown.is_none_or(|shown| shown == kept), "{context}: {shown:?}, {kept}");
        }
    }
}
