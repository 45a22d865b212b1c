//! A call of another core and its answer, beside tokio and a pair of flume's channels.
//!
//! ```sh
//! cargo run --release -p curium-bench --bin calls -- [ROUNDS] [--one-core]
//! ```
//!
//! Two threads are pinned to two cores, or with `--one-core` to one. A task of the first has a
//! trivial future run by the second and waits for its value, one after the other:
//!
//! - `curium`: `core.call`;
//! - `tokio`: `spawn` by the handle of the other thread's `current_thread` runtime, and an await of
//!   the `JoinHandle`;
//! - `flume`: a request over one channel and the answer over another, between two kernels.
//!
//! The samples go round robin. A cell is the median of the nanoseconds a call, wall time and
//! processor time of both threads, and then each peer's time divided by Curium's in the same round.

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bench::cores;
use kernel::{Cores, TaskCancelled, kernels};
use rustix::time::{ClockId, clock_gettime};

const CALLS: u32 = 20_000;

/// A sample: wall time and processor time of a call, in nanoseconds.
type Sample = [f64; 2];

/// Measures from its making to its end.
struct Meter(Instant, f64);

fn processor() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

impl Meter {
    fn start() -> Self {
        Meter(Instant::now(), processor())
    }

    fn stop(self) -> Sample {
        let wall = self.0.elapsed().as_secs_f64() * 1e9;
        [wall, processor() - self.1].map(|time| time / f64::from(CALLS))
    }
}

fn curium(on: [usize; 2]) -> Sample {
    let samples = kernels(Cores::pinned(on), async |core| {
        if core.index() == 1 {
            return Ok(None);
        }
        let meter = Meter::start();
        for call in 0..CALLS {
            assert_eq!(core.call(1, move || async move { call }).await?, call);
        }
        Ok::<_, TaskCancelled>(Some(meter.stop()))
    });
    samples.expect("none fails").into_iter().flatten().next().expect("core 0 measures")
}

fn tokio(on: [usize; 2]) -> Sample {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (give, take) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            cores::pin(on[1]).expect("a core");
            let other = runtime();
            give.send(other.handle().clone()).expect("it is awaited");
            let _ = other.block_on(stopped);
        });
        let measure = scope.spawn(move || {
            cores::pin(on[0]).expect("a core");
            let other = take.recv().expect("a handle");
            runtime().block_on(async move {
                let meter = Meter::start();
                for call in 0..CALLS {
                    assert_eq!(other.spawn(async move { call }).await.expect("no panic"), call);
                }
                let sample = meter.stop();
                drop(stop);
                sample
            })
        });
        measure.join().expect("no panic")
    })
}

fn flume(on: [usize; 2]) -> Sample {
    let (ask, asked) = flume::bounded(1);
    let (answer, answered) = flume::bounded(1);
    let samples = kernels(Cores::pinned(on), async |core| {
        if core.index() == 1 {
            for _ in 0..CALLS {
                let call: u32 = asked.recv_async().await.expect("it is asked");
                answer.send_async(call).await.expect("it is awaited");
            }
            return Ok(None);
        }
        let meter = Meter::start();
        for call in 0..CALLS {
            ask.send_async(call).await.expect("it is served");
            assert_eq!(answered.recv_async().await, Ok(call));
        }
        Ok::<_, TaskCancelled>(Some(meter.stop()))
    });
    samples.expect("none fails").into_iter().flatten().next().expect("core 0 measures")
}

/// A runtime and its workload.
type Run = (&'static str, fn([usize; 2]) -> Sample);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(9);
    let allowed = cores::allowed()?;
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    let one_core = words.iter().any(|word| word == "--one-core");
    let on = if one_core { [last, last] } else { [first, last] };
    let runs: [Run; 3] = [("curium", curium), ("tokio", tokio), ("flume", flume)];
    let mut samples = [(); 3].map(|()| Vec::new());
    for round in 0..=rounds {
        for ((_, run), samples) in runs.iter().zip(&mut samples) {
            let sample = run(on);
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    for ((name, _), of_it) in runs.iter().zip(&samples) {
        let of = |at: usize| median(of_it.iter().map(|sample| sample[at]).collect());
        let ratio = |at: usize| {
            let pairs = of_it.iter().zip(&samples[0]);
            median(pairs.map(|(peer, ours)| peer[at] / ours[at]).collect())
        };
        let ([wall, used], [by_wall, by_used]) = ([of(0), of(1)], [ratio(0), ratio(1)]);
        println!("{name:8} {wall:8.0} ns, × {by_wall:.2}; {used:8.0} ns used, × {by_used:.2}");
    }
    Ok(())
}
