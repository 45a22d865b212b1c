//! The ready queue: FIFO, or shuffled by a seed.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::cell::TaskCell;

/// The tasks that will be polled next.
pub(crate) struct ReadyQueue {
    tasks: VecDeque<Rc<TaskCell>>,
    /// With a seed, each turn takes any of the ready tasks: the same ones for the same seed.
    random: Option<SplitMix>,
}

impl ReadyQueue {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        ReadyQueue { tasks: VecDeque::new(), random: seed.map(SplitMix) }
    }

    pub(crate) fn push(&mut self, task: Rc<TaskCell>) {
        self.tasks.push_back(task);
    }

    pub(crate) fn pop(&mut self) -> Option<Rc<TaskCell>> {
        if let Some(random) = &mut self.random {
            let len = self.tasks.len() as u64;
            if len > 1 {
                let any = random.next() % len;
                self.tasks.swap(0, any as usize);
            }
        }
        self.tasks.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// Sebastiano Vigna's SplitMix64: small, and good enough to shuffle with.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
