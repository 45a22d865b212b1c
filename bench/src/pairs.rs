//! Programs that work on two cores, beside each other: what they are run on, and their medians.

use std::io;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::cores;

/// A sample: wall time and processor time of an item, in nanoseconds.
pub type Sample = [f64; 2];

/// Measures from its making to its end.
#[derive(Debug)]
pub struct Meter(Instant, f64);

fn processor() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

impl Meter {
    /// Begins to measure.
    pub fn start() -> Self {
        Meter(Instant::now(), processor())
    }

    /// What each of so many items took.
    pub fn stop(self, items: u32) -> Sample {
        let wall = self.0.elapsed().as_secs_f64() * 1e9;
        [wall, processor() - self.1].map(|time| time / f64::from(items))
    }
}

/// The number of rounds and the two cores that the words of the command line choose: `[ROUNDS]
/// [--one-core]`.
pub fn chosen() -> io::Result<(usize, [usize; 2])> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(9);
    let allowed = cores::allowed()?;
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    let one_core = words.iter().any(|word| word == "--one-core");
    Ok((rounds, if one_core { [last, last] } else { [first, last] }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Takes the samples round robin, the first round only to warm up, and prints a line for each: the
/// medians, and the quotients of each by the first in the same round.
pub fn compare<const N: usize>(rounds: usize, names: [&str; N], runs: &[impl Fn() -> Sample; N]) {
    let mut samples = [(); N].map(|()| Vec::new());
    for round in 0..=rounds {
        for (run, samples) in runs.iter().zip(&mut samples) {
            let sample = run();
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    for (name, of_it) in names.iter().zip(&samples) {
        let of = |at: usize| median(of_it.iter().map(|sample| sample[at]).collect());
        let ratio = |at: usize| {
            let pairs = of_it.iter().zip(&samples[0]);
            median(pairs.map(|(peer, ours)| peer[at] / ours[at]).collect())
        };
        let ([wall, used], [by_wall, by_used]) = ([of(0), of(1)], [ratio(0), ratio(1)]);
        println!("  {name:14} {wall:8.0} ns, × {by_wall:.2}; {used:8.0} ns used, × {by_used:.2}");
    }
}
