//! Calls between cores in all directions, under cancels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use curium::kernel::{Cores, TaskCancelled, TaskGroup, kernels, sleep, timeout_after, yield_now};

const CORES: usize = 8;

/// Calls of each core. `CURIUM_CORE_CALLS` sets another number.
fn calls() -> u64 {
    std::env::var("CURIUM_CORE_CALLS").map_or(2_000, |calls| calls.parse().expect("a number"))
}

/// What became of the calls: each is counted once on its own side, and once on the other.
#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    late: AtomicU64,
}

/// Numbers without a pattern, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

async fn wait(yields: u64, slow: bool) -> Result<(), TaskCancelled> {
    for _ in 0..yields {
        yield_now().await?;
    }
    if slow { sleep(Duration::MAX).await } else { Ok(()) }
}

/// P2: eight cores call each other, a third of the calls under a timeout that most often ends them.
/// Each call gives its own value or ends in its own timeout, and each future that began has ended
/// when the call has.
#[test]
fn calls_in_all_directions_under_cancels_are_not_lost() {
    static COUNTS: Counts = Counts {
        begun: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        late: AtomicU64::new(0),
    };
    let ended = kernels(Cores::count(CORES), async |core| {
        TaskGroup::scope(async |group| {
            for worker in 0..16_u64 {
                let core = core.clone();
                let mut numbers = Numbers(worker * 100 + core.index() as u64);
                group.spawn(async move {
                    for call in 0..calls() / 16 {
                        let other = numbers.below(CORES as u64) as usize;
                        let (slow, yields) = (numbers.below(3) == 0, numbers.below(3));
                        let called = core.call(other, move || async move {
                            add(&COUNTS.begun);
                            let waited = wait(yields, slow).await;
                            add(&COUNTS.ended);
                            waited.map(|()| call)
                        });
                        add(&COUNTS.sent);
                        let limit = Duration::from_micros(numbers.below(200));
                        match slow {
                            true => {
                                let late = timeout_after(limit, async { called.await? }).await;
                                assert!(late.is_err(), "it never ends by itself: {late:?}");
                                add(&COUNTS.late);
                            }
                            false => {
                                assert_eq!(called.await??, call);
                                add(&COUNTS.answered);
                            }
                        }
                    }
                    Ok::<(), TaskCancelled>(())
                });
            }
            Ok::<(), TaskCancelled>(())
        })
        .await
    });
    ended.expect("no core fails");
    let [begun, ended, sent, answered, late] =
        [&COUNTS.begun, &COUNTS.ended, &COUNTS.sent, &COUNTS.answered, &COUNTS.late]
            .map(|count| count.load(Ordering::Relaxed));
    assert_eq!((begun, sent), (ended, answered + late), "{answered} {late}");
    // A call whose timeout is over at once is not sent.
    assert!(begun <= sent && begun >= answered);
    assert_eq!(sent, (calls() / 16) * 16 * CORES as u64);
    println!("{sent} calls: {answered} answered, {late} cancelled, {} not sent", sent - begun);
}
