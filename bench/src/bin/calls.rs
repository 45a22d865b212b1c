//! A call of another core and its answer, beside tokio and a pair of flume's channels.
//!
//! ```sh
//! cargo run --release -p curium-bench --bin calls -- [ROUNDS] [--one-core] [--only NAME]
//! ```
//!
//! Two threads are pinned to two cores, or with `--one-core` to one. A task of the first has a
//! trivial future run by the second and waits for its value, one after the other:
//!
//! - `curium`: `core.call`;
//! - `tokio`: `spawn` by the handle of the other thread's `current_thread` runtime, and an await of
//!   the `JoinHandle`;
//! - `tokio-bare`: the same of runtimes without `enable_all`, which have neither sockets nor timers
//!   and so sleep on a futex instead of a poll;
//! - `flume`: a request over one channel and the answer over another, between two kernels.
//!
//! The samples go round robin. A cell is the median of the nanoseconds a call, wall time and
//! processor time of both threads, and then each peer's time divided by Curium's in the same round.
//! With `--only`, one of the runs alone: to count its instructions or its system calls.

use std::error::Error;
use std::sync::mpsc;
use std::thread;

use bench::cores;
use bench::pairs::{self, Meter, Sample};
use tokio::runtime::Builder;

use kernel::{Cores, TaskCancelled, kernels};

const CALLS: u32 = 20_000;

fn curium(on: [usize; 2]) -> Sample {
    let samples = kernels(Cores::pinned(on), async |core| {
        if core.index() == 1 {
            return Ok(None);
        }
        let meter = Meter::start();
        for call in 0..CALLS {
            assert_eq!(core.call(1, move || async move { call }).await?, call);
        }
        Ok::<_, TaskCancelled>(Some(meter.stop(CALLS)))
    });
    samples.expect("none fails").into_iter().flatten().next().expect("core 0 measures")
}

fn tokio(on: [usize; 2]) -> Sample {
    tokio_of(on, |builder| builder.enable_all())
}

fn tokio_without_io(on: [usize; 2]) -> Sample {
    tokio_of(on, |builder| builder)
}

fn tokio_of(on: [usize; 2], with: fn(&mut Builder) -> &mut Builder) -> Sample {
    let runtime = move || with(&mut Builder::new_current_thread()).build().expect("a runtime");
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
                let sample = meter.stop(CALLS);
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
        Ok::<_, TaskCancelled>(Some(meter.stop(CALLS)))
    });
    samples.expect("none fails").into_iter().flatten().next().expect("core 0 measures")
}

fn main() -> Result<(), Box<dyn Error>> {
    let (rounds, on) = pairs::chosen()?;
    let runs: [fn([usize; 2]) -> Sample; 4] = [curium, tokio, tokio_without_io, flume];
    let names = ["curium", "tokio", "tokio-bare", "flume"];
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "--only") {
        let name = words.get(at + 1).and_then(|word| names.iter().position(|name| name == word));
        let chosen = name.ok_or_else(|| format!("--only one of {names:?}"))?;
        pairs::compare(rounds, [names[chosen]], &[|| runs[chosen](on)]);
        return Ok(());
    }
    pairs::compare(rounds, names, &runs.map(|run| move || run(on)));
    Ok(())
}
