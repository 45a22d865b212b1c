//! The port of the monitor: the dialogue, and what a client can do.

use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{self, Kernel, TaskCancelled, sleep, spawn, spawn_named};
use curium::monitor::{Monitor, MonitorExt};
use curium::sync::Event;

use crate::monitor_kit::{Client, Terminal, anywhere, asked, id_of, silent, with_client};
use crate::support::children;
use crate::support::dirs::TempDir;
use crate::support::time::secs;

/// M3, M4: the dialogue is that of curio: greeting, table, place, ancestors, list, errors.
#[test]
fn the_dialogue_shows_tasks_and_where_they_are_parked() {
    let client = |client: Client| {
        let (mut terminal, greeting) = client.terminal();
        assert_eq!(greeting, "\nCurium Monitor: 3 tasks running\nType help for commands\n");
        let ps = terminal.ask("ps");
        let mut rows = ps.lines();
        let head = "Task   State        Cycles     Timeout Sleep   Task";
        assert_eq!(rows.next(), Some(head), "{ps}");
        assert!(rows.next().unwrap().starts_with("------ ------------ ----------"), "{ps}");
        assert_eq!(rows.count(), 3, "{ps}");
        let (kid, friend) = (id_of(&ps, "kid"), id_of(&ps, "friend"));
        let place = terminal.ask(&format!("w {kid}"));
        assert!(place.starts_with(&format!("{kid} JOIN kid\n  JOIN at tests/os/")), "{place}");
        assert!(place.contains(&format!("JOIN waits for {friend} friend")), "{place}");
        let parents = terminal.ask(&format!("parents #{friend}"));
        let names: Vec<_> = parents.lines().filter_map(|row| row.split(' ').next_back()).collect();
        assert_eq!(names, ["friend", "kid", "main"]);
        assert!(terminal.ask("tree").contains("friend"));
        let graph = terminal.ask("graph");
        assert!(graph.contains("JOIN at tests/os/monitor_port.rs"), "{graph}");
        assert!(terminal.ask("graph dot").starts_with("digraph"));
        assert!(terminal.ask("stats").contains("tasks    3, polled"));
        assert!(terminal.ask("help").contains("where taskid"));
        assert_eq!(terminal.ask("w 99"), "No task 99\n");
        assert_eq!(terminal.ask("frobnicate"), "Unknown command. Type help.\n");
        assert_eq!(terminal.ask("where"), "Bad command. where: 0 arguments\n");
        assert_eq!(terminal.ask(""), "");
        writeln!(terminal.0, "q").unwrap();
        let mut rest = String::new();
        terminal.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "Leaving monitor.\n");
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let kid = spawn_named("kid", async { spawn_named("friend", sleep(secs(1000))).await });
            ended.wait().await?;
            kid.cancel().await
        },
    );
}

/// M3: `cancel` and `signal` need the leave of the program.
#[test]
fn a_client_only_looks_unless_the_program_allows_more() {
    asked(|client| {
        let (mut terminal, _) = client.terminal();
        assert!(terminal.ask("cancel 0").contains("does not allow"));
        assert!(terminal.ask("signal TERM").contains("does not allow"));
        let answer =
            client.http("POST /cancel?task=0", &format!("X-Curium-Token: {}\r\n", client.token));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    });
}

/// M3, C5: a task that is cancelled through the port cleans up.
#[test]
fn a_task_that_is_cancelled_through_the_port_cleans_up() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let kid = id_of(&terminal.ask("ps"), "kid");
        assert_eq!(terminal.ask(&format!("cancel {kid}")), format!("Cancelling task {kid}\n"));
        assert_eq!(terminal.ask("cancel 99"), "No task 99\n");
    };
    let saved = Rc::new(Cell::new(false));
    with_client(Kernel::builder(), Monitor::allow_cancel, client, async |ended| {
        let theirs = saved.clone();
        let kid = spawn_named("kid", async move {
            let slept = sleep(secs(1000)).await;
            sleep(secs(0)).await?;
            theirs.set(true);
            slept
        });
        let cancelled: Result<(), TaskCancelled> = kid.await;
        assert!(cancelled.is_err());
        ended.wait().await
    });
    assert!(saved.get());
}

/// M3: a signal is sent to the process itself, and only one that is known.
#[test]
fn a_signal_is_sent_by_its_name() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        assert_eq!(terminal.ask("signal NONSENSE"), "Unknown signal NONSENSE\n");
        assert_eq!(terminal.ask("signal winch"), "");
    };
    with_client(Kernel::builder(), Monitor::allow_signals, client, async |ended| {
        let mut signals = curium::signal::signals([curium::signal::SIGWINCH]).unwrap();
        signals.recv().await?;
        ended.wait().await
    });
}

/// M3: the same port speaks HTTP.
#[test]
fn the_port_speaks_http() {
    let client = |client: Client| {
        let json = client.http("GET /json", "");
        assert!(json.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json"), "{json}");
        assert!(json.contains("\r\n\r\n{\"curium\":1,\"program\":\""), "{json}");
        assert!(json.contains("\"name\":\"kid\",\"parent\":\"0\""), "{json}");
        let page = client.http("GET /", "");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"), "{page}");
        assert!(page.contains("\r\nContent-Security-Policy: default-src 'none';"), "{page}");
        assert!(page.ends_with("</html>\n"), "{page}");
        assert!(client.http("GET /other", "").starts_with("HTTP/1.1 404"));
        assert!(client.http("GET /json", "Origin: http://evil.example\r\n").contains(" 403 "));
        assert!(client.http("POST /cancel?task=1", "").contains(" 403 "));
        let mut events = client.connect();
        write!(events, "GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", client.at).unwrap();
        let mut text = String::new();
        let mut piece = [0; 512];
        while text.matches("\n\ndata: {\"curium\":1").count() < 2 {
            let read = events.read(&mut piece).unwrap();
            assert!(read > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        drop(events);
        let done = client.http(&format!("POST /cancel?task=1&token={}", client.token), "");
        assert!(done.starts_with("HTTP/1.1 200 OK"), "{done}");
        assert!(done.ends_with("\r\n\r\nCancelling task 1\n"), "{done}");
    };
    with_client(Kernel::builder(), Monitor::allow_cancel, client, async |ended| {
        let kid = spawn_named("kid", sleep(secs(1000)));
        assert!(kid.await.is_err());
        ended.wait().await
    });
}

/// M6: the end of what the flight recorder has is JSON for a terminal, and a file over HTTP.
#[test]
fn what_the_flight_recorder_has_is_shown_and_sent() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        terminal.ask_until("ps", "SLEEP");
        let json = terminal.ask("trace 60");
        assert!(json.starts_with("[\n{\"ph\":\"M\"") && json.ends_with("\n]\n"), "{json}");
        assert!(json.contains("\"name\":\"kid\\u202e #") && json.contains("SLEEP"), "{json}");
        assert_eq!(terminal.ask("trace kid"), "Bad command. trace takes a number of seconds\n");
        let file = client.http_bytes("GET /trace?secs=60", "");
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
        assert!(file.starts_with(head));
        let start = file.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        // A trace is a list of packets, each a field with the number 1.
        assert_eq!(file[start], 0x0a);
        assert!(file.windows(5).any(|bytes| bytes == b"SLEEP"));
        assert!(client.http("GET /trace", "").starts_with("HTTP/1.1 400 "));
    };
    with_client(
        Kernel::builder().flight_recorder(1 << 16),
        |it| it,
        client,
        async |ended| {
            let kid = spawn_named("kid\u{202e}", sleep(secs(1000)));
            ended.wait().await?;
            kid.cancel().await
        },
    );
}

/// M6: without a flight recorder the answer says how a program has one.
#[test]
fn a_program_without_a_flight_recorder_says_how_to_have_one() {
    asked(|client| {
        let wanted = "This program has no flight recorder; see Builder::flight_recorder.\n";
        assert_eq!(client.terminal().0.ask("trace 1"), wanted);
        let answer = client.http("GET /trace?secs=1", "");
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with(wanted), "{answer}");
    });
}

/// M3: a browser opens connections before it needs them, and takes what comes on one of them for
/// the answer to its next request.
#[test]
fn a_connection_that_was_opened_early_speaks_http() {
    asked(|client| {
        let mut early = client.connect();
        // A terminal that is greeted meanwhile: the monitor has seen the other one.
        let (mut terminal, _) = client.terminal();
        early.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let before = early.read(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(before, Err(ErrorKind::WouldBlock));
        assert!(terminal.ask("ps").contains("main"));
        early.set_read_timeout(Some(secs(60))).unwrap();
        write!(early, "GET /json HTTP/1.1\r\nHost: {}\r\n\r\n", client.at).unwrap();
        let mut answer = String::new();
        early.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

/// M3: the socket belongs to its user alone, and goes away with the kernel.
#[test]
fn a_socket_with_a_path_is_of_its_user_alone() {
    let dir = TempDir::new();
    let path = dir.of("monitor");
    // The socket of a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let monitor = Monitor::new().unix_at(&path).announce(|_| ());
    Kernel::builder().monitor(monitor).run(async || {
        let asked = kernel::run_in_thread(move || {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            let (_, greeting) = Terminal::greeted(UnixStream::connect(&path).unwrap());
            (mode & 0o777, greeting)
        });
        let (mode, greeting) = asked.await.unwrap();
        assert_eq!(mode, 0o600);
        assert!(greeting.contains("1 tasks running"), "{greeting}");
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// M3: if the port is taken, the program runs on.
#[test]
fn a_program_whose_port_is_taken_runs_on() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let monitor = Monitor::new().address(taken.local_addr().unwrap());
    assert_eq!(silent().monitor(monitor).run(async || 7), 7);
    // Nor does the monitor listen where others could connect.
    let everywhere = Monitor::new().address(([0, 0, 0, 0], 0)).announce(|_| unreachable!());
    assert_eq!(silent().monitor(everywhere).run(async || 8), 8);
}

/// M3: a builder takes what the variable asks for, which may be no monitor. One that cannot listen
/// says where and why.
#[test]
fn a_builder_takes_the_monitor_of_the_variable_if_there_is_one() {
    if children::role().is_some() {
        return assert_eq!(Kernel::builder().monitor(Monitor::from_env()).run(async || 7), 7);
    }
    let (dir, taken) = (TempDir::new(), TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let taken = taken.local_addr().unwrap().to_string();
    for (value, listens) in [(dir.of("monitor"), 1), ("0".into(), 0), ((&taken).into(), 0)] {
        let mut this = children::command(children::this_test!(), children::ALONE);
        let ended = this.env("CURIUM_MONITOR", &value).output().expect("it runs");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{told}");
        assert_eq!(told.matches("curium: the monitor listens at ").count(), listens, "{told}");
        let refused = format!("there is no monitor at {taken}, and the program runs on: Address");
        assert_eq!(told.contains(&refused), value.as_os_str() == taken.as_str(), "{told}");
    }
}

/// M3: control characters of names and of clients are not passed on.
#[test]
fn control_characters_are_escaped() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let all = ["ps", "tree", "graph", "graph dot", "json", "w 1", "w \u{1b}[2J", "parents 1"];
        for line in all {
            let answer = terminal.ask(line);
            assert!(!answer.contains('\u{1b}') && !answer.contains('\r'), "{answer:?}");
        }
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let event = Rc::new(Event::new());
            let theirs = event.clone();
            let kid = spawn_named("\u{1b}[2J\revil\u{202e}", async move { theirs.wait().await });
            ended.wait().await?;
            event.set();
            kid.await
        },
    );
}

/// M3: a hundred clients, and some that never read, hold up nothing.
#[test]
fn clients_that_never_read_hold_up_no_other() {
    let client = |client: Client| {
        let mut deaf: Vec<TcpStream> = (0..3).map(|_| client.connect()).collect();
        for stream in &mut deaf {
            stream.set_nonblocking(true).unwrap();
            // Until the buffers on the way are full.
            let _ = stream.write_all("ps\n".repeat(20_000).as_bytes());
        }
        let all: Vec<_> = (0..100).map(|_| client.connect()).collect();
        let mut all: Vec<_> = all.into_iter().map(|it| Terminal::greeted(it).0).collect();
        for terminal in &mut all {
            assert_eq!(terminal.ask("ps").lines().count(), 503);
        }
        drop(deaf);
        assert_eq!(all[0].ask("ps").lines().count(), 503);
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let kids: Vec<_> = (0..500).map(|_| spawn(sleep(secs(1000)))).collect();
            ended.wait().await?;
            for kid in &kids {
                kid.cancel().await?;
            }
            Ok(())
        },
    );
}

/// M3: one client more than the limit takes the place of the one that was silent for longest.
#[test]
fn one_client_too_many_takes_the_place_of_the_most_silent_one() {
    asked(|client| {
        let mut silent = client.connect();
        let others: Vec<_> = (0..127).map(|_| client.connect()).collect();
        let (mut last, _) = client.terminal();
        assert_eq!(silent.read(&mut [0; 64]).unwrap_or(0), 0);
        for stream in others.into_iter().take(3) {
            Terminal::greeted(stream);
        }
        assert!(last.ask("ps").contains("main"));
    });
}

/// M3: clients that send random bytes are answered until they end, or go away, and harm no other.
#[test]
fn random_bytes_over_the_port_harm_no_other_client() {
    asked(|client| {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let (mut terminal, _) = client.terminal();
        for round in 0..20 {
            let mut stream = client.connect();
            let bytes: Vec<u8> = (0..next() % 3000).map(|_| next() as u8).collect();
            // A line that is too long may be refused before all of it is sent.
            let _ = stream.write_all(&bytes);
            if round % 2 == 0 {
                let _ = stream.shutdown(Shutdown::Write);
                let ended = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
                assert!(matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset)), "{ended:?}");
            }
        }
        assert!(terminal.ask("ps").contains("main"));
    });
}

/// M3: a kernel that ends closes its clients, those that wait for an answer too.
#[test]
fn a_kernel_that_ends_closes_its_clients() {
    let (monitor, address) = anywhere();
    let kernel = Kernel::builder().monitor(monitor).build().unwrap();
    let (at, _) = address.recv().unwrap();
    let (mut open, mut waits) =
        (TcpStream::connect(&at).unwrap(), TcpStream::connect(&at).unwrap());
    // The kernel does not run, so nothing answers.
    waits.write_all(b"ps\n").unwrap();
    drop(kernel);
    let mut text = String::new();
    // A connection that was not accepted yet is reset.
    let _ = waits.read_to_string(&mut text);
    assert!(!text.contains("State"), "{text}");
    let _ = open.read_to_string(&mut text);
    assert!(TcpStream::connect(&at).is_err());
}
