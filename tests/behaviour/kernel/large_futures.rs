//! Futures of every size: the stack that a spawn needs, and that nothing else differs.

use std::hint::black_box;
use std::thread;

use kernel::{GroupRef, TaskCancelled, TaskGroup, run, spawn, spawn_named, yield_now};

use crate::support::children;

const SIZE: usize = 1 << 20;

/// A future that holds so many bytes while it waits.
async fn large<const BYTES: usize>() -> Result<u8, TaskCancelled> {
    let bytes = [7_u8; BYTES];
    yield_now().await?;
    Ok(black_box(&bytes)[BYTES - 1])
}

/// Each in its own function, so that its frame is gone when the next one begins.
#[inline(never)]
fn spawn_here() {
    drop(spawn(large::<SIZE>()));
}

#[inline(never)]
fn spawn_by_name() {
    drop(spawn_named("large", large::<SIZE>()));
}

#[inline(never)]
fn spawn_member(group: GroupRef<TaskCancelled>) {
    drop(group.spawn(large::<SIZE>()));
}

#[inline(never)]
fn spawn_daemon(group: &TaskGroup<TaskCancelled>) {
    drop(group.spawn_daemon(large::<SIZE>()));
}

#[inline(never)]
fn try_spawn(group: &TaskGroup<TaskCancelled>) {
    drop(group.try_spawn(large::<SIZE>()).expect("it is open"));
}

fn spawn_in_every_way() {
    run(async || {
        spawn_here();
        spawn_by_name();
        TaskGroup::<TaskCancelled>::scope(async |g| {
            spawn_member(g);
            Ok(())
        })
        .await?;
        let group = TaskGroup::<TaskCancelled>::new();
        spawn_daemon(&group);
        try_spawn(&group);
        group.join().await
    })
    .unwrap();
}

/// G8: spawning a large future takes little more than three times its size of the stack in an
/// unoptimized build: the caller's copy, and two moves into its box. If it takes more, a signal
/// ends the child.
#[test]
fn a_large_future_is_spawned_on_a_small_stack() {
    if children::role().is_some() {
        let stack = 3 * SIZE + 256 * 1024;
        let thread = thread::Builder::new().stack_size(stack).spawn(spawn_in_every_way);
        return thread.unwrap().join().unwrap();
    }
    children::run(children::this_test!(), "spawn");
}

/// G6, K3: futures of every size around the limit up to which boxes are reused, alternating, so
/// that a reused box meets futures that fit and futures that do not.
#[test]
fn futures_of_every_size_give_their_values() {
    macro_rules! of_sizes {
        ($($bytes:literal),*) => {
            [$(|| (spawn(large::<$bytes>()), spawn(large::<$bytes>())) as _),*]
        };
    }
    type Pair = (kernel::Task<u8, TaskCancelled>, kernel::Task<u8, TaskCancelled>);
    let sizes: [fn() -> Pair; 10] = of_sizes![1, 8, 100, 900, 990, 1000, 1010, 1024, 5000, 100_000];
    run(async || {
        for _ in 0..3 {
            for spawn in sizes.iter().chain(sizes.iter().rev()) {
                let (one, other) = spawn();
                other.abort();
                assert_eq!(one.join().await?.unwrap(), 7);
            }
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
