//! One monitor over the kernels of several cores (P6).

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use curium::kernel::{
    Core, CoreSilent, Cores, Kernel, Task, TaskCancelled, handle, kernels, run_in_thread, shield,
    sleep, spawn_named, yield_now,
};
use curium::monitor::{Monitor, MonitorExt};
use curium::sync::UniversalEvent;

use crate::monitor_kit::{Client, SetAtEnd, Terminal, anywhere, id_of};
use crate::support::children;
use crate::support::dirs::TempDir;
use crate::support::time::secs;

/// Runs `main` on cores with one monitor, and `client` on a thread of its own. `main` gets an event
/// that is set when the client has ended.
fn with_client<T: Send + 'static>(
    cores: Cores,
    change: impl FnOnce(Monitor) -> Monitor,
    client: impl FnOnce(Client) -> T + Send + 'static,
    main: impl AsyncFn(Core, Arc<UniversalEvent>) -> Result<(), TaskCancelled> + Sync,
) -> T {
    let (monitor, address) = anywhere();
    let ended = Arc::new(UniversalEvent::new());
    let at_its_end = SetAtEnd(ended.clone());
    let thread = thread::spawn(move || {
        let _at_its_end = at_its_end;
        let (at, token) = address.recv().expect("the monitor listens");
        client(Client { at, token })
    });
    let cores = cores.monitor(change(monitor));
    kernels(cores, async |core| main(core, ended.clone()).await).expect("no core fails");
    thread.join().expect("the client does not panic")
}

/// Two tasks that join each other.
fn circle() -> Task<(), TaskCancelled> {
    let other = Rc::new(RefCell::new(None::<Task<(), TaskCancelled>>));
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        other.await
    });
    let waits_for_one = spawn_named("two", async move { one.await });
    let id = waits_for_one.id();
    *other.borrow_mut() = Some(waits_for_one);
    spawn_named("frees them", async move {
        sleep(secs(1000)).await.inspect_err(|_| {
            handle().request_cancel(id).expect("it runs");
        })
    })
}

/// P6, M4, M5: every view shows the tasks of all cores, named with their core, and the verdicts of
/// all of them first.
#[test]
fn every_view_shows_all_cores() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        terminal.ask_until("ps", "kid of 0");
        let ps = terminal.ask_until("ps", "(!) deadlock");
        assert!(ps.starts_with("(!) deadlock: #1:"), "{ps}");
        assert_eq!(ps.matches("\nTask   State").count(), 1, "{ps}");
        let (kid, one) = (id_of(&ps, "kid of 0"), id_of(&ps, "one"));
        assert!(kid.starts_with("0:") && one.starts_with("1:"), "{ps}");
        assert!(ps.contains("\n0:0") && ps.contains("\n1:0"), "{ps}");
        let tree = terminal.ask("tree");
        assert!(tree.starts_with("(!) deadlock: #1:"), "{tree}");
        assert_eq!(tree.matches("(!) deadlock").count(), 1, "{tree}");
        assert!(tree.contains("\ncore 0 · kernel ") && tree.contains("\ncore 1 · kernel "));
        assert!(tree.contains(&format!("#{one} one")), "{tree}");
        let graph = terminal.ask("graph");
        assert!(graph.starts_with("(!) ") && graph.contains(&format!("\n#{one} one JOIN at ")));
        assert!(graph.contains(&format!("\n#{kid} kid of 0 SLEEP at ")), "{graph}");
        let dot = terminal.ask("graph dot");
        assert!(dot.matches("digraph").count() == 1 && dot.contains(&format!("\"#{one}\" -> ")));
        let stats = terminal.ask("stats");
        assert!(stats.contains("core     0\ntasks ") && stats.contains("core     1\ntasks "));
        let place = terminal.ask(&format!("w {kid}"));
        assert!(place.starts_with(&format!("{kid} SLEEP kid of 0\n  SLEEP at tests/os/")));
        let parents = terminal.ask(&format!("parents #{one}"));
        assert!(parents.lines().nth(1).is_some_and(|row| row.starts_with("1:0 ")), "{parents}");
        assert_eq!(terminal.ask("w 1:99"), "No task 1:99\n");
        let refused = "No task 0: a task of several cores has its core in front: 0:0\n";
        assert_eq!(terminal.ask("w 0"), refused);
        let json = client.http("GET /json", "");
        for part in ["{\"core\":0,\"age_ms\":", "{\"core\":1,\"age_ms\":", "\"held\":null"] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
        assert!(json.contains(&format!("{{\"id\":\"{kid}\",\"name\":\"kid of 0\"")), "{json}");
        let (_, greeting) = client.terminal();
        assert!(greeting.contains(" tasks running\n(!) deadlock: #1:"), "{greeting}");
    };
    let main = async |core: Core, ended: Arc<UniversalEvent>| {
        let kid = match core.index() {
            0 => spawn_named("kid of 0", sleep(secs(1000))),
            _ => circle(),
        };
        ended.wait().await?;
        kid.cancel().await
    };
    with_client(Cores::count(2), |it| it, client, main);
}

/// P6, M3: a task is cancelled by its core and its id. That of the same id of another core goes on.
#[test]
fn a_task_is_cancelled_on_its_core() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let ps = terminal.ask_until("ps", "kid of 1");
        let kid = id_of(&ps, "kid of 1");
        assert_eq!(terminal.ask(&format!("cancel {kid}")), format!("Cancelling task {kid}\n"));
        while terminal.ask("ps").contains("kid of 1") {}
        let other = kid.replace("1:", "0:");
        assert!(terminal.ask(&format!("w {other}")).contains("SLEEP kid of 0"));
        let token = format!("X-Curium-Token: {}\r\n", client.token);
        let answer = client.http(&format!("POST /cancel?task={other}"), &token);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    let main = async |core: Core, ended: Arc<UniversalEvent>| {
        let kid = spawn_named(format!("kid of {}", core.index()), sleep(secs(1000)));
        assert!(kid.join().await?.is_err(), "it is cancelled");
        ended.wait().await
    };
    with_client(Cores::count(2), Monitor::allow_cancel, client, main);
}

/// The polls of a task in a table of `ps`.
fn polls_of(ps: &str, name: &str) -> u64 {
    let row = ps.lines().find(|row| row.ends_with(&format!(" {name}")));
    let cell = row.and_then(|row| row.split_whitespace().nth(2));
    cell.and_then(|polls| polls.parse().ok()).unwrap_or_else(|| panic!("{name} is not in {ps}"))
}

/// Waits until a snapshot of all cores names the task that blocks core 1. None: the client has
/// ended.
async fn told_by_snapshots(
    core: &Core,
    ended: &UniversalEvent,
) -> Result<Option<(String, String)>, TaskCancelled> {
    while !ended.is_set() {
        let seen = core.snapshots().await?.cores.remove(1);
        let Err(silent) = seen else { continue };
        let text = silent.to_string();
        if let CoreSilent::Blocked { core: 1, task: Some((_, name)), .. } = silent {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}

/// Blocks its thread from the first sign to the second.
async fn block(signs: [Receiver<()>; 2]) -> Result<(), TaskCancelled> {
    let [begins, ends] = signs;
    while begins.try_recv() == Err(TryRecvError::Empty) {
        sleep(secs(0)).await?;
    }
    let _ = ends.recv();
    Ok(())
}

/// P6, M2: a core that blocks its thread is named with the task that does, and the others are shown
/// as they are now. A snapshot from another core names that task, too.
#[test]
fn a_core_that_blocks_is_named_and_the_others_are_shown() {
    // A sender that is dropped is a sign. So a panic leaves nobody waiting.
    let ((seen, is_seen), (free, is_free), (told, is_told)) =
        (channel::<()>(), channel::<()>(), channel::<()>());
    let client = move |client: Client| {
        let free = free;
        let (mut terminal, _) = client.terminal();
        let kid = id_of(&terminal.ask_until("ps", " kid\n"), "kid");
        drop(seen);
        let held = format!("Task {kid} kid holds the kernel of core 1: one poll has taken ");
        let answer = terminal.ask_until("ps", &held);
        assert!(answer.contains("\nWhat follows of core 1 was seen "), "{answer}");
        // The other core goes on, and is soon shown as it is now.
        while terminal.ask("ps").contains("of core 0") {}
        while polls_of(&terminal.ask("ps"), "ticks") < polls_of(&answer, "ticks") + 2 {}
        let json = client.http("GET /json", "");
        let held = format!("\"held\":{{\"task\":\"{kid}\",\"name\":\"kid\"");
        assert_eq!(json.matches(&held).count(), 2, "{json}");
        // Core 0 has answered that it has no flight recorder.
        assert!(client.http("GET /trace?secs=1", "").starts_with("HTTP/1.1 404"));
        let _ = is_told.recv();
        drop(free);
        while terminal.ask("ps").contains("holds the kernel") {}
    };
    let signs = Mutex::new(Some([is_seen, is_free]));
    let told = Mutex::new(Some(told));
    let main = async |core: Core, ended: Arc<UniversalEvent>| {
        if core.index() == 1 {
            let signs = signs.lock().unwrap().take().expect("one core takes them");
            spawn_named("kid", block(signs)).await?;
            return ended.wait().await;
        }
        let ticks = spawn_named("ticks", async {
            loop {
                sleep(Duration::from_millis(1)).await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        let told = told.lock().unwrap().take();
        let (name, text) = told_by_snapshots(&core, &ended).await?.expect("the client waits");
        drop(told);
        assert_eq!(name, "kid");
        assert!(text.contains(" kid computes or blocks its thread"), "{text}");
        assert!(text.contains(": task #1:"), "{text}");
        ended.wait().await?;
        ticks.cancel().await
    };
    with_client(Cores::count(2), |it| it, client, main);
}

/// P6: a kernel that has ended is named as such, while that of another core goes on.
#[test]
fn a_core_that_has_ended_is_named() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let ps = terminal.ask_until("ps", "The kernel of core 1 has ended.");
        assert!(ps.starts_with("The kernel of core 1 has ended.\nTask   State"), "{ps}");
        assert!(ps.contains(" cleans up\n") && !ps.contains("\n1:"), "{ps}");
        let json = client.http("GET /json", "");
        assert!(json.contains("{\"core\":1,\"age_ms\":null,\"held\":null,\"ended\":true"));
    };
    let main = async |core: Core, ended: Arc<UniversalEvent>| {
        if core.index() == 0 {
            // The shutdown of its kernel awaits this.
            drop(spawn_named("cleans up", async move { shield(ended.wait()).await }));
            yield_now().await?;
        }
        Ok(())
    };
    with_client(Cores::count(2), |it| it, client, main);
}

/// P6, M6: the records of all cores are one trace, each with a track of its own, on one clock.
#[test]
fn the_flight_records_of_all_cores_are_one_trace() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        terminal.ask_until("ps", "kid of 0");
        terminal.ask_until("ps", "kid of 1");
        let json = terminal.ask("trace 60");
        for core in 0..2 {
            assert!(json.contains(&format!("\"name\":\"core {core}, kernel ")), "{json}");
            assert!(json.contains(&format!("\"name\":\"kid of {core} #{core}:")), "{json}");
        }
        // One array, in which each track has a number of its own.
        assert_eq!(json.lines().filter(|line| ["[", "]"].contains(line)).count(), 2, "{json}");
        let named = json.lines().filter(|line| line.contains("\"thread_name\""));
        let tracks: Vec<_> = named.filter_map(|line| line.split("\"tid\":").nth(1)).collect();
        let numbers = tracks.iter().filter_map(|line| line.split(',').next());
        assert_eq!(numbers.collect::<HashSet<_>>().len(), tracks.len(), "{json}");
        let trace = client.http_bytes("GET /trace?secs=60", "");
        for name in ["core 0, kernel ", "core 1, kernel ", "kid of 0 #0:", "kid of 1 #1:"] {
            let is_there = trace.windows(name.len()).any(|bytes| bytes == name.as_bytes());
            assert!(is_there, "{name} is not in the trace");
        }
    };
    let main = async |core: Core, ended: Arc<UniversalEvent>| {
        let kid = spawn_named(format!("kid of {}", core.index()), sleep(secs(1000)));
        ended.wait().await?;
        kid.cancel().await
    };
    let recorded = |_| Kernel::builder().flight_recorder(1 << 16);
    with_client(Cores::count(2).builder(recorded), |it| it, client, main);
}

/// P6: `curium::kernels` starts a monitor if the variable asks for one.
#[test]
fn the_variable_starts_one_monitor_for_all_cores() {
    if let Some(path) = std::env::var_os("CURIUM_MONITOR") {
        let ended = curium::kernels(2, async |core| {
            if core.index() == 0 {
                let path = path.clone();
                let asked = run_in_thread(move || {
                    let (mut terminal, _) = Terminal::greeted(UnixStream::connect(path).unwrap());
                    terminal.ask("ps")
                });
                let ps = asked.await?;
                assert!(ps.contains("\n0:0") && ps.contains("\n1:0"), "{ps}");
            } else {
                core.call(0, async || ()).await?;
            }
            Ok::<_, TaskCancelled>(())
        });
        return drop(ended.expect("no core fails"));
    }
    let dir = TempDir::new();
    let mut this = children::command(children::this_test!(), children::ALONE);
    let ended = this.env("CURIUM_MONITOR", dir.of("monitor")).output().expect("it runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    assert_eq!(told.matches("curium: the monitor listens at ").count(), 1, "{told}");
}

/// P1, P6: a core that blocks its thread while the cores end is reported with its task, if a
/// monitor watches it.
#[test]
fn a_core_that_blocks_at_the_end_is_reported_with_its_task() {
    if children::role().is_some() {
        let (monitor, _address) = anywhere();
        let cores = Cores::count(2).grace(Duration::from_millis(10)).monitor(monitor);
        let ended = kernels(cores, async |core| {
            core.stop();
            if core.index() == 1 {
                thread::sleep(Duration::from_millis(900)); // it blocks its kernel
            }
            Ok::<(), TaskCancelled>(())
        });
        return assert!(ended.is_ok());
    }
    let mut this = children::command(children::this_test!(), children::ALONE);
    let ended = this.output().expect("it runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    assert!(told.contains("end: task #1:0 main computes or blocks its thread, and "), "{told}");
}

/// P6, M3: if the port is taken, that is one warning, and the cores run.
#[test]
fn cores_whose_port_is_taken_run() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let monitor = Monitor::new().address(taken.local_addr().unwrap());
    let values = kernels(Cores::count(2).monitor(monitor), async |core| {
        Ok::<_, TaskCancelled>(core.index())
    });
    assert_eq!(values.expect("no core fails"), [0, 1]);
}
