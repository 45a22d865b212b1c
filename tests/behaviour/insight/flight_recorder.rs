//! The flight recorder: what is recorded, and when it is written (M6).

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use kernel::{
    Builder, FlightRecord, Kernel, Report, Task, TaskCancelled, TaskGroup, flight_record, metrics,
    scope, sleep, spawn, spawn_named, testing, timeout_after, yield_now,
};
use sync::Event;

use crate::support::dirs::TempDir;
use crate::support::time::secs;

/// The record of `main` on the virtual clock, and what `main` has returned.
fn recorded<T>(builder: Builder, main: impl AsyncFnOnce() -> T) -> (T, FlightRecord) {
    testing::run_with(builder.flight_recorder(1 << 16), async || {
        let value = main().await;
        (value, flight_record().expect("the kernel has a recorder"))
    })
}

/// The lines of a record as JSON that contain `part`, without the commas between them.
fn lines(record: &FlightRecord, part: &str) -> Vec<String> {
    let mut json = Vec::new();
    record.write_chrome_json(&mut json).unwrap();
    let json = String::from_utf8(json).unwrap();
    json.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

/// The number of the track of a task.
fn track(record: &FlightRecord, name: &str) -> String {
    let named = lines(record, &format!("\"args\":{{\"name\":\"{name} #"));
    assert_eq!(named.len(), 1, "{name}: {named:?}");
    let number = named[0].split("\"tid\":").nth(1).and_then(|rest| rest.split(',').next());
    format!("\"tid\":{},", number.expect("a track"))
}

/// Phase, name and time of each event on the track of a task, in microseconds.
fn on_track(record: &FlightRecord, name: &str) -> Vec<String> {
    let field = |line: &str, field: &str| {
        let rest = line.split(&format!("\"{field}\":")).nth(1)?;
        Some(rest.trim_start_matches('"').split(['"', ',', '}']).next()?.to_owned())
    };
    lines(record, &track(record, name))
        .iter()
        .filter(|line| !line.contains("\"ph\":\"M\""))
        .map(|line| {
            let parts = ["ph", "name", "ts"].map(|name| field(line, name).unwrap_or_default());
            parts.join(" ").replace("  ", " ")
        })
        .collect()
}

/// M6: a task's track has its spawn, its polls, what it was parked on between them, and its end.
#[test]
fn the_track_of_a_task_shows_what_it_did() {
    let (line, record) = recorded(Kernel::builder(), async || {
        let line = line!() + 1;
        let kid = spawn_named("kid", async { sleep(secs(1)).await });
        kid.await.unwrap();
        line
    });
    let expected = [
        "i spawned 0.000",
        "B READY 0.000",
        "E 0.000",
        "B POLL 0.000",
        "f wake 0.000",
        "E 0.000",
        "B SLEEP 0.000",
        "E 1000000.000",
        "B READY 1000000.000",
        "E 1000000.000",
        "B POLL 1000000.000",
        "f wake 1000000.000",
        "E 1000000.000",
        "i ended: ok 1000000.000",
        "i wakes #0 1000000.000",
        "s wake 1000000.000",
    ];
    assert_eq!(on_track(&record, "kid"), expected);
    let parked = lines(&record, "SLEEP");
    assert!(parked[0].contains(&format!("flight_recorder.rs:{line}\"")), "{parked:?}");
    assert_eq!(record.lost(), 0);
}

/// M6: a wake is an arrow from the task that has made the other one ready, or from the kernel.
#[test]
fn a_wake_comes_from_the_task_that_made_it() {
    let ((), record) = recorded(Kernel::builder(), async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let waiter = spawn_named("waiter", async move { theirs.wait().await });
        let setter = spawn_named("setter", async move {
            sleep(secs(1)).await?;
            event.set();
            Ok::<_, TaskCancelled>(())
        });
        waiter.await.unwrap();
        setter.await.unwrap();
    });
    let wakes: Vec<String> =
        on_track(&record, "setter").into_iter().filter(|at| at.starts_with("i wakes")).collect();
    let waiter = lines(&record, "\"name\":\"waiter #")[0].clone();
    let id = waiter.split('#').nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(wakes, [format!("i wakes #{id} 1000000.000")]);
    // The timer of the setter.
    let of_kernel = lines(&record, "\"tid\":1,");
    assert!(of_kernel.iter().any(|line| line.contains("wakes #2")), "{of_kernel:?}");
}

/// M6: a cancellation is shown when it is asked for and when it is delivered. A timeout is shown
/// when its scope is opened, which may be when it expires.
#[test]
fn cancellations_and_scopes_are_shown() {
    let ((), record) = recorded(Kernel::builder(), async || {
        let late = spawn_named("late", async {
            assert!(timeout_after(secs(1), sleep(secs(9))).await.is_err());
            sleep(secs(9)).await
        });
        sleep(secs(5)).await.unwrap();
        late.cancel().await.unwrap();
    });
    let shown = on_track(&record, "late");
    let instants: Vec<&str> = shown
        .iter()
        .filter_map(|at| at.strip_prefix("i "))
        .filter(|at| !at.starts_with("wakes"))
        .collect();
    let expected = [
        "spawned 0.000",
        "timeout opened 1000000.000",
        "cancel delivered 1000000.000",
        "scope closed 1000000.000",
        "cancel asked: request 5000000.000",
        "cancel delivered 5000000.000",
        "ended: cancelled 5000000.000",
    ];
    assert_eq!(instants, expected, "{shown:#?}");
}

/// M6: a scope that is cancelled while it is open shows that on the track of its task.
#[test]
fn a_cancelled_scope_is_shown() {
    let ((), record) = recorded(Kernel::builder(), async || {
        let group = spawn_named("group", async {
            TaskGroup::<curium::Error>::scope(async |g| {
                g.spawn(async {
                    sleep(secs(1)).await?;
                    Err::<(), _>(std::io::Error::other("failed").into())
                });
                Ok(sleep(secs(9)).await?)
            })
            .await
        });
        assert!(group.join().await.unwrap().is_err());
    });
    let shown = on_track(&record, "group");
    assert!(shown.contains(&"i cancel asked: group 1000000.000".to_owned()), "{shown:#?}");
    assert!(shown.contains(&"i cancel delivered 1000000.000".to_owned()), "{shown:#?}");
}

/// M6, S2: children of a borrowing scope have tracks of their own, below that of their task.
#[test]
fn children_of_a_scope_have_their_tracks() {
    let ((), record) = recorded(Kernel::builder(), async || {
        scope(async |s| {
            s.spawn(sleep(secs(1)));
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
    });
    let child = on_track(&record, "kernel::wait::sleep::Sleep");
    let polls = child.iter().filter(|at| at.starts_with("B POLL")).count();
    assert_eq!(polls, 2, "{child:#?}");
    assert!(child.contains(&"B SLEEP 0.000".to_owned()), "{child:#?}");
    assert!(child.contains(&"i ended: ok 1000000.000".to_owned()), "{child:#?}");
}

/// M6, K8: the same seed gives the same record.
#[test]
fn a_record_is_the_same_for_the_same_seed() {
    let run = |seed| {
        let ((), record) = recorded(Kernel::builder().seed(seed), async || {
            let tasks: Vec<_> = (0..9).map(|n| spawn(sleep(secs(n % 3)))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        lines(&record, "\"ts\"")
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

/// M6: of more events than fit, the last ones are kept, and the tasks in them have their names.
#[test]
fn a_small_ring_keeps_the_last_events() {
    let record = testing::run_with(Kernel::builder().flight_recorder(24 * 10), async || {
        for n in 0..50 {
            spawn_named(format!("number {n}"), yield_now()).await.unwrap();
        }
        flight_record().unwrap()
    });
    assert_eq!(record.len(), 10);
    assert!(record.lost() > 100);
    // It may be looked at on another thread.
    let record = thread::spawn(move || record).join().unwrap();
    assert_eq!(lines(&record, "number 49").len(), 1);
    assert!(lines(&record, "number 40").is_empty());
    let mut trace = Vec::new();
    record.write_perfetto(&mut trace).unwrap();
    assert!(trace.len() > 100);
}

/// What the reports of a record say: why, and whether it could be written.
fn reasons(builder: Builder, log: &Rc<RefCell<Vec<String>>>) -> Builder {
    let log = log.clone();
    builder.on_report(move |report| {
        if let Report::FlightRecord { why, error, .. } = report {
            log.borrow_mut().push(format!("{why} {}", error.is_none()));
        }
    })
}

/// M6: a record is written when main panics, when the kernel finds a deadlock, and when a poll
/// takes too long.
#[test]
fn a_record_is_written_when_something_goes_wrong() {
    let dir = TempDir::new();
    let mains: [(&str, fn()); 2] = [
        ("a panic of the main task true", || panic!("on purpose")),
        ("a long poll true", || thread::sleep(Duration::from_millis(5))),
    ];
    for (at, (reason, act)) in mains.into_iter().enumerate() {
        let (path, log) = (dir.path().join(at.to_string()), Rc::default());
        let builder = Kernel::builder().flight_recorder(1 << 12).flight_record_to(&path);
        let builder = reasons(builder.report_long_polls(Duration::from_millis(1)), &log);
        let run = || testing::run_with(builder, async || act());
        let _ = catch_unwind(AssertUnwindSafe(run));
        assert_eq!(log.borrow()[0], reason);
        assert!(!fs::read(&path).unwrap().is_empty());
    }
    let (path, log) = (dir.path().join("deadlock"), Rc::default());
    let builder = Kernel::builder().flight_recorder(1 << 12).flight_record_to(&path);
    let run = || testing::run_with(reasons(builder, &log), async || Event::new().wait().await);
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert_eq!(log.borrow()[0], "a deadlock true");
    assert!(!fs::read(&path).unwrap().is_empty());
}

/// M6: a record is written when the kernel tells a verdict.
#[test]
fn a_record_is_written_with_a_verdict() {
    let (dir, log) = (TempDir::new(), Rc::default());
    let path = dir.path().join("verdict");
    let builder = Kernel::builder().watch().flight_recorder(1 << 12).flight_record_to(&path);
    testing::run_with(reasons(builder, &log), async || {
        // It waits for its own end.
        let slot: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
        let own = slot.clone();
        let task = spawn(async move { own.take().expect("it was spawned").await });
        *slot.borrow_mut() = Some(task);
        sleep(secs(100)).await
    })
    .unwrap();
    assert_eq!(*log.borrow(), ["a verdict true"]);
    assert!(!fs::read(&path).unwrap().is_empty());
}

/// M6: a file that cannot be written is reported, and the kernel goes on.
#[test]
fn a_record_that_cannot_be_written_is_reported() {
    let (path, log) = (PathBuf::from("no/such/folder/record"), Rc::default());
    let builder = Kernel::builder().flight_recorder(1 << 12).flight_record_to(path);
    let builder = reasons(builder.report_long_polls(Duration::from_millis(1)), &log);
    testing::run_with(builder, async || {
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(3));
            yield_now().await.unwrap();
        }
    });
    // The second long poll comes too soon for another file.
    assert_eq!(*log.borrow(), ["a long poll false"]);
}

/// M6: numbers that the kernel keeps anyway are there always, the others with a recorder.
#[test]
fn metrics_count_polls_with_a_recorder() {
    testing::run(async || {
        let _sleeper = spawn(sleep(secs(1)));
        yield_now().await.unwrap();
        let metrics = metrics();
        assert_eq!((metrics.spawned, metrics.tasks, metrics.timers), (2, 2, 1));
        assert_eq!((metrics.polls, metrics.wakes), (None, None));
        sleep(secs(2)).await.unwrap();
    });
    let (metrics, _) = recorded(Kernel::builder(), async || {
        spawn(sleep(secs(1))).await.unwrap();
        metrics()
    });
    // Main is polled twice, and the current poll counts.
    assert_eq!((metrics.spawned, metrics.tasks, metrics.polls), (2, 1, Some(4)));
    assert_eq!(metrics.longest_poll, Some(Duration::ZERO));
    assert!(metrics.turns >= Some(1) && metrics.wakes >= Some(3), "{metrics:?}");
    assert!(flight_record().is_none());
}

/// M6: the last seconds of a record begin with what each task was doing then.
#[test]
fn the_end_of_a_record_begins_with_what_each_task_was_doing() {
    let (_, record) = recorded(Kernel::builder(), async || {
        let early = spawn_named("early", async { sleep(secs(1)).await });
        let sleeper = spawn_named("sleeper", async { sleep(secs(10)).await });
        early.await.unwrap();
        sleeper.await.unwrap();
    });
    let end = record.clone().last(secs(3));
    assert!(end.len() < record.len());
    assert_eq!(lines(&end, "early"), [""; 0]);
    let sleeps: Vec<_> = on_track(&end, "sleeper").into_iter().take(2).collect();
    assert_eq!(sleeps, ["B SLEEP 7000000.000", "E 10000000.000"]);
    assert_eq!(on_track(&end, "main")[0], "B JOIN 7000000.000");
    let all = record.clone().last(Duration::MAX);
    assert_eq!(lines(&all, ""), lines(&record, ""));
}
