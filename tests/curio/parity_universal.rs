//! What curio's tests of its queue between threads check and no other file here does.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use curium::kernel::{self, TaskCancelled, ignore_after};
use curium::sync::UniversalQueue;

const MAX: Duration = Duration::MAX;

/// U1, U2: the items of a task reach a thread in order, and `join` in the task returns when the
/// thread has done all of them.
#[test]
fn a_task_feeds_a_thread_and_joins_the_queue() {
    let queue = Arc::new(UniversalQueue::unbounded());
    let consumer = thread::spawn({
        let queue = queue.clone();
        move || {
            let mut got = Vec::new();
            while let Some(item) = queue.get_blocking(MAX).unwrap() {
                got.push(item);
                queue.task_done().unwrap();
            }
            queue.task_done().unwrap();
            got
        }
    });
    kernel::run(async || {
        for item in 0..4 {
            queue.put(Some(item)).await?;
        }
        queue.put(None).await?;
        queue.join().await
    })
    .unwrap();
    assert_eq!(queue.unfinished(), 0);
    assert_eq!(consumer.join().unwrap(), [0, 1, 2, 3]);
}

/// U2, T4: a task whose gets time out again and again gets every item of a thread, once and in
/// order.
#[test]
fn gets_that_time_out_lose_no_item_of_a_thread() {
    let queue = Arc::new(UniversalQueue::unbounded());
    let producer = thread::spawn({
        let queue = queue.clone();
        move || {
            for item in 0..200 {
                queue.put_blocking(item, MAX).unwrap();
                thread::yield_now();
            }
        }
    });
    let got = kernel::run(async || {
        let mut got = Vec::new();
        while got.len() < 200 {
            got.extend(ignore_after(Duration::from_micros(10), queue.get()).await?);
        }
        Ok::<_, TaskCancelled>(got)
    });
    assert_eq!(got.unwrap(), Vec::from_iter(0..200));
    producer.join().unwrap();
}

/// U1, U2: three kernels drain one queue, each item once, while a fourth fills it.
#[test]
fn three_kernels_drain_one_queue() {
    let queue = Arc::new(UniversalQueue::bounded(4));
    let consumers = [(); 3].map(|()| {
        let queue = queue.clone();
        thread::spawn(move || {
            kernel::run(async || {
                let mut got = Vec::new();
                while let Some(item) = queue.next().await? {
                    got.push(item);
                }
                Ok::<_, TaskCancelled>(got)
            })
            .unwrap()
        })
    });
    kernel::run(async || {
        for item in 0..1000 {
            queue.put(item).await?;
        }
        queue.close();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
    let parts = consumers.map(|consumer| consumer.join().unwrap());
    assert!(parts.iter().all(|part| part.is_sorted()), "each kernel gets them in order");
    let mut got = parts.concat();
    got.sort_unstable();
    assert_eq!(got, Vec::from_iter(0..1000));
}
