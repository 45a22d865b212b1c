//! What curio's tests of asynchronous generators check, with the streams that a program of Curium
//! uses: those of the crate `futures`, with leaves inside.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use kernel::{TaskCancelled, sleep, spawn, testing};

type Log = Rc<RefCell<Vec<String>>>;

/// Logs when it is dropped.
struct Cleanup(Log);

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.0.borrow_mut().push("clean".to_owned());
    }
}

/// Counts down, one number per second, and holds a value that must be cleaned up.
fn countdown(from: u32, log: Log) -> impl stream::Stream<Item = Result<u32, TaskCancelled>> {
    stream::try_unfold((from, Cleanup(log)), async |(left, cleanup)| {
        if left == 0 {
            return Ok(None);
        }
        sleep(Duration::from_secs(1)).await?;
        Ok(Some((left, (left - 1, cleanup))))
    })
}

/// C2, C9: the values of a stream are cleaned up when it is exhausted, before its consumer
/// continues; also when it is cancelled in between, which it yields as an item.
#[test]
fn a_stream_cleans_up_when_it_is_exhausted_or_cancelled() {
    testing::run(async || {
        let log = Log::default();
        let numbers: Vec<u32> = countdown(3, log.clone()).try_collect().await?;
        log.borrow_mut().push(format!("{numbers:?}"));
        assert_eq!(log.take(), ["clean", "[3, 2, 1]"]);

        let lines = log.clone();
        let consumer = spawn(async move {
            let mut numbers = std::pin::pin!(countdown(5, lines.clone()));
            while let Some(number) = numbers.next().await {
                lines.borrow_mut().push(match number {
                    Ok(number) => number.to_string(),
                    Err(cancelled) => cancelled.to_string(),
                });
            }
            Ok::<_, TaskCancelled>(())
        });
        testing::advance(Duration::from_millis(2500)).await?;
        consumer.cancel().await?;
        consumer.join().await?.unwrap();
        let lines = log.take();
        assert_eq!(lines[..3], ["5", "4", "clean"]);
        assert!(lines[3].contains("was cancelled") && lines.len() == 4, "{lines:?}");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
