//! How cores stop (P4).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curium::kernel::{
    CancelReason, CoreError, Cores, Kernel, TaskCancelled, cancelled, kernels, now, shield, sleep,
};
use curium::sync::UniversalEvent;

/// Cores whose clocks are virtual, with what they report.
fn on_virtual_clocks(count: usize) -> (Cores, Arc<Mutex<Vec<String>>>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = reports.clone();
    let cores = Cores::count(count).builder(move |core| {
        let sink = sink.clone();
        Kernel::builder().virtual_clock().on_report(move |report| {
            sink.lock().expect("no panic").push(format!("core {core}: {report}"));
        })
    });
    (cores, reports)
}

/// P4: a stop is seen in all cores, and main functions that end by themselves are not cancelled.
#[test]
fn a_stop_is_seen_in_every_core() {
    let cores = Cores::count(3).drain(Duration::from_secs(60));
    let stopped = kernels(cores, async |core| {
        if core.index() == 1 {
            assert!(!core.is_stopping());
            core.stop();
            core.stop(); // does nothing more
        }
        core.stopping().await?;
        Ok::<_, TaskCancelled>(core.is_stopping())
    });
    assert_eq!(stopped.expect("none fails"), [true; 3]);
}

/// P4: when the time to drain is over, the main functions that are left are cancelled, and have
/// the time of their cleanup.
#[test]
fn after_the_time_to_drain_the_main_functions_are_cancelled() {
    let (cores, reports) = on_virtual_clocks(2);
    let failed = kernels(cores.drain(Duration::from_secs(10)), async |core| {
        core.stop();
        let begun = now();
        if core.index() == 0 {
            return Ok(());
        }
        let error = sleep(Duration::MAX).await.expect_err("it is cancelled");
        assert_eq!(error.reason(), CancelReason::Shutdown);
        assert_eq!((now() - begun).as_secs(), 10);
        Err(io::Error::from(error))
    });
    let failed = failed.expect_err("core 1 was stopped");
    let CoreError::Stopped { core: 1, error } = &failed.first else { panic!("{failed:?}") };
    assert!(cancelled(error).is_some() && failed.others.is_empty());
    assert_eq!(*reports.lock().expect("no panic"), Vec::<String>::new());
}

/// P4, C10: after the grace, what is left is aborted, and the report names the core and the await.
#[test]
fn after_the_grace_the_rest_is_aborted() {
    let (cores, reports) = on_virtual_clocks(2);
    let failed = kernels(cores.grace(Duration::from_secs(5)), async |core| {
        if core.index() == 0 {
            core.stop();
            return Ok(());
        }
        shield(sleep(Duration::MAX)).await
    });
    let failed = failed.expect_err("core 1 was aborted");
    assert_eq!(failed.to_string(), "core 1 was aborted, because its grace was over");
    let reports = reports.lock().expect("no panic");
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert!(report.starts_with("core 1: aborted, its grace is over: "), "{report}");
    assert!(report.contains("SLEEP at tests/behaviour/cores/stops.rs:"), "{report}");
}

/// P1, P4: the grace holds as well after the failure of another core.
#[test]
fn the_grace_holds_after_a_failure() {
    let (cores, _) = on_virtual_clocks(2);
    let failed = kernels(cores.grace(Duration::from_secs(5)), async |core| {
        if core.index() == 0 {
            return Err(io::Error::other("no disk"));
        }
        Ok(shield(sleep(Duration::MAX)).await?)
    });
    let text = failed.expect_err("core 0 fails").to_string();
    let (first, second) = text.split_once("; ").expect("two errors");
    assert_eq!(first, "core 0 failed: no disk");
    assert_eq!(second, "core 1 was aborted, because its grace was over");
}

/// P4: a future that ends stops the cores, here at a time; a signal is another.
#[test]
fn a_future_stops_the_cores_when_it_ends() {
    let (cores, _) = on_virtual_clocks(2);
    let cores = cores.drain(Duration::from_secs(60)).stop_when(|| async {
        let _ = sleep(Duration::from_secs(3600)).await;
    });
    let stopped = kernels(cores, async |core| core.stopping().await);
    assert_eq!(stopped.expect("none fails").len(), 2);
}

/// P1, P4: a main function that was cancelled by a stop is not cancelled again by the failure of
/// another one's cleanup.
#[test]
fn a_main_function_is_cancelled_once() {
    let (cores, _) = on_virtual_clocks(2);
    let stopped = UniversalEvent::new();
    let failed = kernels(cores, async |core| {
        core.stop();
        let cancelled = sleep(Duration::MAX).await.expect_err("it is cancelled");
        if core.index() == 0 {
            stopped.wait().await?;
            return Err(io::Error::other("no cleanup"));
        }
        stopped.set();
        // Until core 0 has failed, and its failure has come here.
        core.call(0, async || sleep(Duration::from_secs(1)).await).await??;
        sleep(Duration::from_secs(1)).await?;
        Err::<(), _>(cancelled.into())
    });
    let failed = failed.expect_err("both have ended in an error");
    let text = failed.to_string();
    assert!(text.contains("core 0 failed: no cleanup"), "{text}");
    let is_stopped = |error: &CoreError<_>| matches!(error, CoreError::Stopped { core: 1, .. });
    assert!(failed.iter().any(is_stopped), "{failed:?}");
}
