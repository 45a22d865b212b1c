//! A kernel on each of several cores (P1).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use curium::kernel::{
    CancelReason, Core, CoreError, CoreErrors, Cores, Kernel, TaskCancelled, cancelled, kernels,
    now, run, sleep,
};

/// The cancellation of an error that must hold one.
fn reason(error: &io::Error) -> CancelReason {
    cancelled(error).expect("a cancellation").reason()
}

async fn for_ever() -> io::Result<()> {
    Ok(sleep(Duration::MAX).await?)
}

/// P1: the values come in the order of the cores, and main borrows from the code around the call.
#[test]
fn each_core_gives_its_value() {
    let (words, polled) = (["one", "two", "three"], AtomicUsize::new(0));
    let values = kernels(3, async |core| {
        polled.fetch_add(1, Ordering::Relaxed);
        assert_eq!(Core::current().map(|core| core.index()), Some(core.index()));
        Ok::<_, TaskCancelled>((core.count(), words[core.index()]))
    });
    assert_eq!(values.expect("none fails"), [(3, "one"), (3, "two"), (3, "three")]);
    assert_eq!(polled.into_inner(), 3);
}

/// P1: the first failure cancels the other main functions, which clean up and are awaited. A core
/// that ends only because of that has not failed.
#[test]
fn a_failure_cancels_the_others() {
    let cleaned_up = AtomicUsize::new(0);
    let failed = kernels(3, async |core| {
        if core.index() == 1 {
            return Err(io::Error::other("no disk"));
        }
        let error = for_ever().await.expect_err("it is cancelled");
        assert_eq!(reason(&error), CancelReason::PeerFailed { core: 1 });
        sleep(Duration::from_millis(1)).await?; // the cleanup may wait
        cleaned_up.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(error)
    });
    let CoreErrors { first, others } = failed.expect_err("core 1 fails");
    assert!(matches!(first, CoreError::Failed { core: 1, .. }), "{first:?}");
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(cleaned_up.into_inner(), 2);
}

/// P1: all errors are kept with their core, the first one first.
#[test]
fn every_error_is_kept() {
    let failed = kernels(3, async |core| match core.index() {
        1 => Err(io::Error::other("no disk")),
        0 => {
            for_ever().await.expect_err("it is cancelled");
            Err(io::Error::other("no cleanup"))
        }
        _ => for_ever().await,
    });
    let failed = failed.expect_err("core 1 fails");
    let cores: Vec<usize> = failed.iter().map(CoreError::core).collect();
    assert_eq!(cores, [1, 0]);
    assert_eq!(failed.to_string(), "core 1 failed: no disk; core 0 failed: no cleanup");
}

/// P1: a core that has ended well before another fails has its value dropped.
#[test]
fn a_failure_after_another_core_has_ended_is_the_only_result() {
    let failed = kernels(2, async |core| {
        if core.index() == 0 {
            return Ok(());
        }
        core.call(0, async || ()).await?; // it still serves
        Err(io::Error::other("late"))
    });
    assert_eq!(failed.expect_err("core 1 fails").to_string(), "core 1 failed: late");
}

/// P1: a panic cancels the others and goes on when all have ended.
#[test]
fn a_panic_goes_on_last() {
    let cleaned_up = AtomicUsize::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        kernels(2, async |core| {
            assert_eq!(core.index(), 1, "core 0 panics");
            let error = for_ever().await.expect_err("it is cancelled");
            assert_eq!(reason(&error), CancelReason::PeerFailed { core: 0 });
            cleaned_up.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(error)
        })
    }));
    let payload = panicked.expect_err("it goes on");
    assert!(payload.downcast_ref::<String>().expect("a message").contains("core 0 panics"));
    assert_eq!(cleaned_up.into_inner(), 1);
}

/// P1: a core that cannot have its place does not start; the others are born cancelled, and run to
/// the first await point that would park.
#[test]
#[cfg(target_os = "linux")]
fn without_one_core_the_others_are_born_cancelled() {
    let allowed = allowed_processors()[0];
    let begun = AtomicUsize::new(0);
    let failed = kernels(Cores::pinned([allowed, 1_000_000]), async |core| {
        assert_eq!(core.index(), 0);
        begun.fetch_add(1, Ordering::Relaxed);
        let error = for_ever().await.expect_err("it is cancelled");
        assert_eq!(reason(&error), CancelReason::PeerFailed { core: 1 });
        Err::<(), _>(error)
    });
    let failed = failed.expect_err("core 1 has no processor");
    let text = failed.to_string();
    assert!(text.starts_with("core 1 could not start: its thread cannot be pinned"), "{text}");
    assert!(failed.others.is_empty(), "{failed:?}");
    assert_eq!(begun.into_inner(), 1);
}

/// P1: a builder that panics is the panic of its core.
#[test]
fn a_builder_that_panics_cancels_the_others() {
    let cores = Cores::count(2).builder(|core| {
        assert_eq!(core, 0, "no settings for core 1");
        Kernel::builder()
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| kernels(cores, async |_| for_ever().await)));
    let payload = panicked.expect_err("it goes on");
    assert!(payload.downcast_ref::<String>().expect("a message").contains("settings for core 1"));
}

/// P1: each kernel has the settings that the builder gives for its core.
#[test]
fn each_kernel_has_settings() {
    let virtual_clock = Cores::count(2).builder(|_| Kernel::builder().virtual_clock());
    let slept = kernels(virtual_clock, async |core| {
        let (begun, hours) = (now(), 1 + core.index() as u32);
        sleep(Duration::from_secs(3600) * hours).await?;
        Ok::<_, TaskCancelled>((now() - begun).as_secs() / 3600)
    });
    assert_eq!(slept.expect("none fails"), [1, 2]);
}

/// P1: the threads are where they should be, with their nice values and names.
#[test]
#[cfg(target_os = "linux")]
fn threads_are_pinned_niced_and_named() {
    let processor = *allowed_processors().last().expect("this thread runs somewhere");
    let here = kernels(Cores::pinned([processor]).nice(19), async |_| {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread");
        // The fields after the name, which may have spaces; the nice value is the 19th of all.
        let (head, tail) = stat.rsplit_once(')').expect("a name");
        let nice = tail.split_whitespace().nth(16).expect("a nice value").to_owned();
        let name = head.split_once('(').expect("a name").1.to_owned();
        Ok::<_, TaskCancelled>((allowed_processors(), nice, name))
    });
    let here = here.expect("it does not fail").pop().expect("a core");
    assert_eq!(here, (vec![processor], "19".to_owned(), "core 0".to_owned()));
}

/// The processors on which this thread may run.
#[cfg(target_os = "linux")]
pub(super) fn allowed_processors() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a thread");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let numbers = list.expect("a list").trim().split(',').flat_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.parse::<usize>().expect("a number")..=to.parse().expect("a number")
    });
    numbers.collect()
}

/// P1: it blocks the thread, so it is refused inside a kernel.
#[test]
fn it_is_refused_inside_a_kernel() {
    let panicked = catch_unwind(|| run(async || kernels(1, async |_| Ok::<(), TaskCancelled>(()))));
    let payload = panicked.expect_err("it is refused");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.starts_with("kernel::kernels was called inside a running"), "{message}");
}

/// P1: no core at all is a mistake of the program.
#[test]
#[should_panic(expected = "`kernels` needs at least one core")]
fn no_core_is_refused() {
    let _ = Cores::count(0);
}
