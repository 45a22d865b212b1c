//! Many children, of which none is left (O2).

use std::fs;
use std::io;
use std::time::Duration;

use curium::kernel::{self, TaskGroup, cancelled, spawn, timeout_after, yield_now};
use curium::process::Command;

use crate::support::children;
use crate::support::process::open_descriptors;

/// The children of this process, zombies included.
fn children_of_this_process() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    let lists = tasks.map(|task| of(task.unwrap()).unwrap_or_default());
    lists.map(|list| list.split_whitespace().count()).sum()
}

async fn one(number: usize) -> io::Result<()> {
    match number % 3 {
        0 => assert!(Command::new("/bin/true").output().await?.status.success()),
        1 => {
            let mut sleeper = Command::new("/bin/sleep");
            let call = timeout_after(Duration::from_millis(1), sleeper.arg("100").output());
            call.await.unwrap_err();
        }
        _ => {
            let call = spawn(Command::new("/bin/sleep").arg("100").output());
            // Some are cancelled before they are started, some later.
            for _ in 0..number % 7 {
                yield_now().await?;
            }
            call.request_cancel();
            let error = io::Error::from(call.await.unwrap_err());
            assert!(cancelled(&error).is_some());
        }
    }
    Ok(())
}

/// O2: after 1,000 runs, of which a third is cancelled and a third times out, no child is left, not
/// even as a zombie, and no descriptor.
#[test]
fn no_child_is_left_after_a_thousand_runs() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let before = open_descriptors();
    kernel::run(async || {
        let child = Command::new("sleep").arg("100").spawn().await.unwrap();
        assert_eq!(children_of_this_process(), 1, "they are counted");
        drop(child);
    });
    kernel::run(async || {
        TaskGroup::<io::Error>::scope(async |group| {
            group.limit(32);
            for number in 0..1_000 {
                group.spawn_when_free(one(number)).await?;
            }
            Ok(())
        })
        .await
    })
    .unwrap();
    // Starts that were left when they were under way are undone in the background.
    let started = std::time::Instant::now();
    while children_of_this_process() > 0 || open_descriptors() > before {
        assert!(started.elapsed().as_secs() < 20, "{} children", children_of_this_process());
        std::thread::yield_now();
    }
}
