//! A `UniversalQueue` of 16 items between eight threads and four kernels, with cancellations, time
//! limits and drops at random moments: each item arrives once.
//!
//! `CURIUM_ITEMS` sets the number of items.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use curium::kernel::{
    self, TaskCancelled, TaskError, TaskGroup, ignore_after, sleep, spawn, yield_now,
};
use curium::sync::{TryPutError, UniversalQueue};
use futures::FutureExt;

/// The number of plain threads on each side, and of kernels.
const THREADS: u64 = 4;
const KERNELS: u64 = 2;
/// The number of tasks of a kernel.
const TASKS: u64 = 4;

struct Shared {
    queue: UniversalQueue<usize>,
    items: usize,
    next: AtomicUsize,
    /// How often each item was got.
    got: Vec<AtomicU8>,
    /// Waits that ended without an item or a slot: by a time limit, a cancellation or a drop.
    given_up: AtomicUsize,
    began: Instant,
}

/// The sides of the queue. Each in its turn pauses, so that the other one has to wait.
const PRODUCERS: u128 = 0;
const CONSUMERS: u128 = 2;

/// For how long a side that pauses does nothing before it looks whether it may go on.
const NAP: Duration = Duration::from_micros(50);

impl Shared {
    fn new(items: usize) -> Self {
        Shared {
            queue: UniversalQueue::bounded(16),
            items,
            next: AtomicUsize::new(0),
            got: (0..items).map(|_| AtomicU8::new(0)).collect(),
            given_up: AtomicUsize::new(0),
            began: Instant::now(),
        }
    }

    /// Whether a side of the queue pauses. There are four phases of half a millisecond, which is
    /// longer than the time limits.
    fn pauses(&self, side: u128) -> bool {
        self.began.elapsed().as_micros() / 500 % 4 == side
    }

    fn nap(&self, side: u128) {
        while self.pauses(side) {
            thread::sleep(NAP);
        }
    }

    async fn nap_in_a_task(&self, side: u128) -> Result<(), TaskCancelled> {
        while self.pauses(side) {
            sleep(NAP).await?;
        }
        Ok(())
    }

    /// The next item to put.
    fn make(&self) -> Option<usize> {
        let item = self.next.fetch_add(1, Ordering::Relaxed);
        (item < self.items).then_some(item)
    }

    fn get(&self, item: usize) {
        let before = self.got[item].fetch_add(1, Ordering::Relaxed);
        assert_eq!(before, 0, "item {item} was got twice");
    }

    fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// Random numbers (xorshift).
struct Dice(Cell<u64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(Cell::new(0x9E37_79B9_7F4A_7C15 ^ (seed + 1)))
    }

    fn below(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % n
    }

    /// A time limit: none, at once, or some microseconds.
    fn limit(&self) -> Duration {
        match self.below(4) {
            0 => Duration::MAX,
            1 => Duration::ZERO,
            _ => Duration::from_micros(self.below(30)),
        }
    }
}

fn produce_in_a_thread(shared: &Shared, dice: &Dice) {
    while let Some(mut item) = shared.make() {
        shared.nap(PRODUCERS);
        while let Err(back) = shared.queue.put_blocking(item, dice.limit()) {
            let TryPutError::Full(back) = back else { panic!("it is open") };
            item = back;
            shared.give_up();
            thread::yield_now();
        }
    }
}

fn consume_in_a_thread(shared: &Shared, dice: &Dice) {
    loop {
        shared.nap(CONSUMERS);
        match shared.queue.next_blocking(dice.limit()) {
            Ok(Some(item)) => shared.get(item),
            Ok(None) => return,
            Err(_) => {
                shared.give_up();
                thread::yield_now();
            }
        }
    }
}

/// Awaits a call in one of several ways, most of which may end it early: a time limit, a drop, a
/// cancellation. `None`: it ended early.
async fn disturbed<T: 'static>(
    dice: &Dice,
    call: impl Future<Output = Result<T, TaskCancelled>>,
) -> Result<Option<T>, TaskCancelled> {
    match dice.below(3) {
        0 => call.await.map(Some),
        1 => ignore_after(dice.limit(), call).await,
        _ => {
            let turns = dice.below(3);
            let patience = async {
                for _ in 0..turns {
                    yield_now().await?;
                }
                Ok::<_, TaskCancelled>(())
            };
            futures::select_biased! {
                done = call.fuse() => done.map(Some),
                left = patience.fuse() => left.map(|()| None),
            }
        }
    }
}

async fn produce_in_a_task(shared: &'static Shared, dice: &Dice) -> Result<(), TaskCancelled> {
    while let Some(item) = shared.make() {
        shared.nap_in_a_task(PRODUCERS).await?;
        let mut hand = Some(item);
        while hand.is_some() {
            if dice.below(4) == 0 {
                hand = put_in_a_victim(shared, dice, hand).await?;
            } else {
                disturbed(dice, shared.queue.put_from(&mut hand)).await?;
            }
            if hand.is_some() {
                shared.give_up();
                yield_now().await?;
            }
        }
    }
    Ok(())
}

/// Puts in a task that is cancelled after some turns. Returns the item if it was not put.
async fn put_in_a_victim(
    shared: &'static Shared,
    dice: &Dice,
    mut hand: Option<usize>,
) -> Result<Option<usize>, TaskCancelled> {
    let victim = spawn(async move {
        let _ = shared.queue.put_from(&mut hand).await;
        Ok::<_, TaskCancelled>(hand)
    });
    for _ in 0..dice.below(3) {
        yield_now().await?;
    }
    victim.request_cancel();
    victim.await
}

async fn consume_in_a_task(shared: &'static Shared, dice: &Dice) -> Result<(), TaskCancelled> {
    loop {
        shared.nap_in_a_task(CONSUMERS).await?;
        let next = if dice.below(4) == 0 {
            get_in_a_victim(shared, dice).await?
        } else {
            disturbed(dice, shared.queue.next()).await?
        };
        match next {
            Some(Some(item)) => shared.get(item),
            Some(None) => return Ok(()),
            None => {
                shared.give_up();
                yield_now().await?;
            }
        }
    }
}

/// Gets in a task that is cancelled after some turns.
async fn get_in_a_victim(
    shared: &'static Shared,
    dice: &Dice,
) -> Result<Option<Option<usize>>, TaskCancelled> {
    let victim = spawn(async move { shared.queue.next().await });
    for _ in 0..dice.below(3) {
        yield_now().await?;
    }
    victim.request_cancel();
    match victim.join().await? {
        Ok(next) => Ok(Some(next)),
        Err(TaskError::Cancelled(_)) => Ok(None),
        Err(error) => panic!("{error}"),
    }
}

fn run_tasks<F>(seed: u64, work: impl Fn(Dice) -> F)
where
    F: Future<Output = Result<(), TaskCancelled>> + 'static,
{
    kernel::run(async || {
        TaskGroup::<TaskCancelled>::scope(async |group| {
            for task in 0..TASKS {
                group.spawn(work(Dice::new(seed * TASKS + task)));
            }
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// U2: of many items between eight threads and four kernels none is lost and none comes twice,
/// although waits end at random moments.
#[test]
fn each_item_of_a_universal_queue_arrives_once() {
    let items = std::env::var("CURIUM_ITEMS").map_or(100_000, |text| text.parse().unwrap());
    let shared: &'static Shared = Box::leak(Box::new(Shared::new(items)));
    let producers: Vec<_> = (0..THREADS)
        .map(|seed| thread::spawn(move || produce_in_a_thread(shared, &Dice::new(seed))))
        .chain((10..10 + KERNELS).map(|seed| {
            let work = move |dice| async move { produce_in_a_task(shared, &dice).await };
            thread::spawn(move || run_tasks(seed, work))
        }))
        .collect();
    let consumers: Vec<_> = (20..20 + THREADS)
        .map(|seed| thread::spawn(move || consume_in_a_thread(shared, &Dice::new(seed))))
        .chain((30..30 + KERNELS).map(|seed| {
            let work = move |dice| async move { consume_in_a_task(shared, &dice).await };
            thread::spawn(move || run_tasks(seed, work))
        }))
        .collect();
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    shared.queue.close();
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    let lost = shared.got.iter().filter(|got| got.load(Ordering::Relaxed) == 0).count();
    let given_up = shared.given_up.load(Ordering::Relaxed);
    println!("{items} items, {given_up} waits ended early, {:?}", shared.began.elapsed());
    assert_eq!(lost, 0, "items are lost");
    assert_eq!(shared.queue.unfinished(), items);
    assert!(given_up > items / 100, "hardly any wait has ended early: {given_up}");
    let shown = format!("{:?}", shared.queue);
    assert!(shown.contains("getters: 0, putters: 0"), "{shown}");
}
