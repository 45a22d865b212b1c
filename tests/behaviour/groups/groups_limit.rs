//! A limit of the members that run at once: `limit`, `spawn_when_free` (G10).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{self, testing};
use curium::{Result, TaskCancelled, TaskGroup, ignore_after, sleep, spawn};
use futures::FutureExt;

use crate::support::time::{SECOND, secs};

type Group = TaskGroup<TaskCancelled>;

/// How many members run, and the most that have run at once.
#[derive(Default)]
struct Running {
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Running {
    async fn member(self: Rc<Self>) -> Result<()> {
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
        let slept = sleep(SECOND).await;
        self.now.set(self.now.get() - 1);
        slept
    }
}

/// G10: at most as many members run as the limit says, and the next one starts when one has ended.
#[test]
fn at_most_the_limit_of_members_run() {
    testing::run(async || {
        let running = Rc::new(Running::default());
        let begun = kernel::now();
        Group::scope(async |g| {
            g.limit(3);
            for _ in 0..10 {
                g.spawn_when_free(running.clone().member()).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(running.most.get(), 3);
        assert_eq!(kernel::now() - begun, secs(4));
    });
}

/// G10: without a limit, or when it is taken away, no member waits.
#[test]
fn without_a_limit_no_member_waits() {
    testing::run(async || {
        Group::scope(async |g| {
            g.spawn_when_free(sleep(SECOND)).now_or_never().unwrap()?;
            g.limit(1);
            assert!(g.spawn_when_free(sleep(SECOND)).now_or_never().is_none());
            g.limit(usize::MAX);
            g.spawn_when_free(sleep(SECOND)).now_or_never().unwrap()?;
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G10: members that are spawned without a wait have a place; daemons have none.
#[test]
fn other_members_have_a_place_and_daemons_have_none() {
    testing::run(async || {
        let begun = kernel::now();
        Group::scope(async |g| {
            g.limit(2);
            g.spawn_daemon(sleep(Duration::MAX));
            g.spawn(sleep(secs(2)));
            g.spawn(sleep(secs(3)));
            g.spawn(sleep(secs(5)));
            g.spawn_when_free(async {}).await?;
            // The second of the three has ended.
            assert_eq!(kernel::now() - begun, secs(3));
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G10, Y2: those that wait are served in the order of arrival, and a later one overtakes none.
#[test]
fn places_are_given_in_the_order_of_arrival() {
    testing::run(async || {
        let begun = Rc::new(RefCell::new(Vec::new()));
        let group = Rc::new(Group::new());
        group.limit(1);
        for number in 0..4 {
            let (group, begun) = (group.clone(), begun.clone());
            spawn(async move {
                let member = async move {
                    begun.borrow_mut().push(number);
                    sleep(SECOND).await
                };
                group.spawn_when_free(member).await.map(drop)
            });
        }
        sleep(secs(1)).await.unwrap();
        // The place is free, and the next waiter has it.
        assert!(group.spawn_when_free(async {}).now_or_never().is_none());
        sleep(secs(5)).await.unwrap();
        assert_eq!(*begun.borrow(), [0, 1, 2, 3]);
        group.join().await.unwrap();
    });
}

/// G10: a wait that is cancelled spawns nothing, and holds up no other.
#[test]
fn a_cancelled_wait_spawns_nothing() {
    testing::run(async || {
        let spawned = Rc::new(Cell::new(0));
        let one = || {
            let spawned = spawned.clone();
            async move { spawned.set(spawned.get() + 1) }
        };
        Group::scope(async |g| {
            g.limit(1);
            g.spawn(sleep(secs(2)));
            assert!(ignore_after(SECOND, g.spawn_when_free(one())).await?.is_none());
            g.spawn_when_free(one()).await?;
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(spawned.get(), 1);
    });
}

/// G10, Y3: a wait that is dropped with its place passes it on.
#[test]
fn a_dropped_wait_passes_its_place_on() {
    testing::run(async || {
        let group = Group::new();
        group.limit(1);
        group.spawn(sleep(SECOND));
        let mut first = Box::pin(group.spawn_when_free(async {}));
        let mut second = Box::pin(group.spawn_when_free(async {}));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        sleep(secs(2)).await.unwrap();
        drop(first);
        second.await.unwrap();
        group.join().await.unwrap();
    });
}

/// G10: a higher limit lets those that wait go on; a lower one ends no member.
#[test]
fn a_limit_may_change() {
    testing::run(async || {
        let running = Rc::new(Running::default());
        let group = Rc::new(Group::new());
        group.limit(0);
        let (spawner, members) = (group.clone(), running.clone());
        let spawning = spawn(async move {
            for _ in 0..6 {
                spawner.spawn_when_free(members.clone().member()).await?;
            }
            Ok::<_, TaskCancelled>(())
        });
        sleep(SECOND / 2).await.unwrap();
        assert_eq!(running.now.get(), 0);
        group.limit(4);
        sleep(SECOND / 2).await.unwrap();
        assert_eq!(running.now.get(), 4);
        group.limit(1);
        assert_eq!(group.len(), 4);
        sleep(SECOND).await.unwrap();
        assert_eq!(running.now.get(), 1);
        spawning.await.unwrap();
        group.join().await.unwrap();
    });
}

/// G10, G9: a member that is started has a place from when it is ready.
#[test]
fn a_started_member_has_a_place_when_it_is_ready() {
    testing::run(async || {
        let begun = kernel::now();
        Group::scope(async |g| {
            g.limit(1);
            g.start(async |ready| {
                ready.set(());
                sleep(secs(3)).await
            })
            .await?;
            g.spawn_when_free(async {}).await?;
            assert_eq!(kernel::now() - begun, secs(3));
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G10, G2: a failed member cancels a body that waits for a place.
#[test]
fn a_failed_member_cancels_a_body_that_waits_for_a_place() {
    testing::run(async || {
        let ended = TaskGroup::<std::io::Error>::scope(async |g| {
            g.limit(1);
            g.spawn(async {
                sleep(SECOND).await?;
                Err::<(), _>(std::io::Error::other("its own"))
            });
            g.spawn_when_free(async {}).await?;
            Ok(())
        });
        assert_eq!(ended.await.unwrap_err().to_string(), "its own");
    });
}

/// G10, G7: a task that waits for a place in a group that ends meanwhile panics, as one that spawns
/// in an ended group does.
#[test]
fn a_wait_in_a_group_that_ends_is_a_panic_with_the_line() {
    testing::run(async || {
        let group = Group::new();
        group.limit(0);
        let by_ref = group.by_ref();
        let waiting = spawn(async move { by_ref.spawn_when_free(async {}).await.map(drop) });
        testing::settle().await.unwrap();
        group.join().await.unwrap();
        let panic = waiting.join().await.unwrap().unwrap_err().to_string();
        assert!(panic.contains("the group has ended"), "{panic}");
        assert!(panic.contains("groups_limit.rs:"), "{panic}");
    });
}

/// G10: the limit of a group is not that of the next one.
#[test]
fn a_later_group_has_no_limit() {
    testing::run(async || {
        for _ in 0..2 {
            Group::scope(async |g| {
                g.spawn(sleep(SECOND));
                g.spawn_when_free(async {}).now_or_never().expect("no limit")?;
                g.limit(0);
                Ok(())
            })
            .await
            .unwrap();
        }
    });
}
