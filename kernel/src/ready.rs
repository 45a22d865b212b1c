//! The ready queue: FIFO, or shuffled by a seed.

/// The tasks that will be polled next, behind those of the round that goes on.
///
/// By their places alone: a place that is queued is let to nobody else.
///
/// A round is taken out whole and then belongs to the run alone (`tick.rs`), so a task in it costs
/// no look in here.
pub(crate) struct ReadyQueue {
    tasks: Vec<u32>,
    /// With a seed, each turn takes any of the ready tasks: the same ones for the same seed.
    random: Option<SplitMix>,
}

impl ReadyQueue {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        ReadyQueue { tasks: Vec::new(), random: seed.map(SplitMix) }
    }

    #[inline]
    pub(crate) fn push(&mut self, task: u32) {
        self.tasks.push(task);
    }

    /// The first task of the next round; the others go into `round`, which is empty, the next one
    /// last. With a seed there are no others.
    #[inline]
    pub(crate) fn next_round(&mut self, round: &mut Vec<u32>) -> Option<u32> {
        if self.tasks.len() > 1 {
            if let Some(random) = &mut self.random {
                // Rounds of one, so that whoever is made ready meanwhile may come first.
                let any = random.next() % self.tasks.len() as u64;
                return Some(self.tasks.swap_remove(any as usize));
            }
            std::mem::swap(&mut self.tasks, round);
            round.reverse();
            return round.pop();
        }
        self.tasks.pop()
    }

    /// What is left of a round comes first again.
    pub(crate) fn put_back(&mut self, round: &mut Vec<u32>) {
        round.reverse();
        round.append(&mut self.tasks);
        std::mem::swap(&mut self.tasks, round);
    }

    /// Takes all of them.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.tasks)
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
