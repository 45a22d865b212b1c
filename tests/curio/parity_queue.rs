//! What curio's tests of its plain queue check and no other file here does.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskCancelled, sleep, spawn, testing, timeout_after};
use sync::Queue;

type Log = Rc<RefCell<Vec<String>>>;

/// Takes items and logs them, until it gets `None`. Each item takes it some time.
fn consumer(
    queue: &Rc<Queue<Option<u32>>>,
    log: &Log,
    name: &'static str,
    work: Duration,
) -> Task<(), TaskCancelled> {
    let (queue, log) = (queue.clone(), log.clone());
    spawn(async move {
        while let Some(item) = queue.get().await? {
            log.borrow_mut().push(format!("{name} got {item}"));
            if !work.is_zero() {
                sleep(work).await?;
            }
            queue.task_done().expect("an item was put");
        }
        queue.task_done().expect("an item was put");
        log.borrow_mut().push(format!("{name} done"));
        Ok(())
    })
}

/// Y2, Y4: two waiting getters are served in turns, in order of arrival. `join` returns when every
/// item is done.
#[test]
fn two_consumers_take_turns_and_join_waits_for_all_items() {
    testing::run(async || {
        let (queue, log) = (Rc::new(Queue::unbounded()), Log::default());
        let consumers = ["a", "b"].map(|name| consumer(&queue, &log, name, Duration::ZERO));
        testing::settle().await?;
        for n in 0..4 {
            queue.put(Some(n)).await?;
            testing::settle().await?;
        }
        for _ in 0..2 {
            queue.put(None).await?;
        }
        queue.join().await?;
        log.borrow_mut().push("joined".to_owned());
        for consumer in consumers {
            consumer.join().await?.unwrap();
        }
        let expected = ["a got 0", "b got 1", "a got 2", "b got 3", "a done", "b done", "joined"];
        assert_eq!(log.take(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y4, K1: a put into a queue without a bound neither parks nor switches: all items are in the
/// queue before the consumer runs, although it was waiting.
#[test]
fn puts_without_a_bound_are_all_done_before_the_consumer_runs() {
    testing::run(async || {
        let (queue, log) = (Rc::new(Queue::unbounded()), Log::default());
        let consumer = consumer(&queue, &log, "a", Duration::ZERO);
        testing::settle().await?;
        for n in 0..4 {
            queue.put(Some(n)).await?;
        }
        queue.put(None).await?;
        log.borrow_mut().push("all put".to_owned());
        queue.join().await?;
        consumer.join().await?.unwrap();
        let expected = ["all put", "a got 0", "a got 1", "a got 2", "a got 3", "a done"];
        assert_eq!(log.take(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: a put into a full queue parks until there is room (the first item goes to the waiting getter
/// and needs none). The order is always the same, and `join` returns after the last item is done.
#[test]
fn a_full_queue_holds_its_producer_back_always_in_the_same_way() {
    let run = || {
        testing::run(async || {
            let (queue, log) = (Rc::new(Queue::bounded(2)), Log::default());
            let consumer = consumer(&queue, &log, "a", Duration::from_secs(1));
            testing::settle().await?;
            let started = kernel::now();
            for n in 0..4 {
                queue.put(Some(n)).await?;
                assert!(queue.len() <= 2);
                log.borrow_mut().push(format!("put {n}"));
            }
            queue.put(None).await?;
            queue.join().await?;
            assert_eq!(kernel::now() - started, Duration::from_secs(4));
            consumer.join().await?.unwrap();
            Ok::<_, TaskCancelled>(log.take())
        })
        .unwrap()
    };
    let expected =
        ["put 0", "put 1", "put 2", "a got 0", "a got 1", "put 3", "a got 2", "a got 3", "a done"];
    assert_eq!(run(), expected);
    assert_eq!(run(), expected);
}

/// T4, Y3: a get can time out. It takes nothing, then or later.
#[test]
fn a_get_that_timed_out_takes_nothing() {
    testing::run(async || {
        let queue = Queue::unbounded();
        let second = Duration::from_secs(1);
        let started = kernel::now();
        assert!(timeout_after(second, queue.get()).await.is_err());
        assert_eq!(kernel::now() - started, second);
        queue.put(1).await?;
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.get().await?, 1);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: `len` counts the items in the queue, `unfinished` those that are not done.
#[test]
fn a_queue_counts_its_items() {
    testing::run(async || {
        let queue = Queue::bounded(2);
        assert_eq!((queue.len(), queue.is_empty(), queue.maxsize()), (0, true, Some(2)));
        queue.put("one").await?;
        queue.put("two").await?;
        assert_eq!((queue.len(), queue.unfinished()), (2, 2));
        queue.get().await?;
        assert_eq!((queue.len(), queue.unfinished()), (1, 2));
        queue.task_done().unwrap();
        assert_eq!((queue.len(), queue.unfinished()), (1, 1));
        assert!(format!("{queue:?}").contains("len: 1"), "{queue:?}");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: the tasks that wait in `join` wake in order of arrival.
#[test]
fn who_joins_a_queue_wakes_in_order_of_arrival() {
    testing::run(async || {
        let (queue, log) = (Rc::new(Queue::unbounded()), Log::default());
        queue.put(()).await?;
        for n in 0..12 {
            let (queue, log) = (queue.clone(), log.clone());
            spawn(async move {
                queue.join().await?;
                log.borrow_mut().push(n.to_string());
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::settle().await?;
        queue.get().await?;
        queue.task_done().unwrap();
        testing::settle().await?;
        assert_eq!(log.take(), (0..12).map(|n: u32| n.to_string()).collect::<Vec<_>>());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
