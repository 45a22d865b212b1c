//! `curium` and a program that has a monitor: what it prints, and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CURIUM: &str = env!("CARGO_BIN_EXE_curium");

/// A runtime directory of this test, with programs in it. All of it is gone when it is dropped.
struct Place {
    runtime: PathBuf,
    programs: Vec<Child>,
}

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let runtime = std::env::temp_dir().join(format!("curium-cli-{process}-{next}"));
        fs::create_dir_all(runtime.join("curium")).expect("a directory");
        Place { runtime, programs: Vec::new() }
    }

    fn socket(&self, pid: &str) -> PathBuf {
        self.runtime.join(format!("curium/{pid}.sock"))
    }

    /// Starts the example with a socket of that name, and waits until it listens.
    fn start(&mut self, pid: &str, how: &str) {
        let example = Path::new(CURIUM).with_file_name("examples").join("hanging");
        let mut program = Command::new(example)
            .arg(self.socket(pid))
            .arg(how)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built with the tests");
        let mut said = String::new();
        let out = program.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut said).expect("a line");
        assert!(said.starts_with("listening on "), "{said}");
        self.programs.push(program);
    }

    fn curium(&self, arguments: &str) -> (i32, String, String) {
        let output = Command::new(CURIUM)
            .args(arguments.split_ascii_whitespace())
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .output()
            .expect("curium runs");
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(stdout), text(stderr));
        let harmful = |c: char| c.is_control() && c != '\n';
        assert!(!stdout.contains(harmful) && !stderr.contains(harmful), "{stdout:?} {stderr:?}");
        (status.code().expect("no signal"), stdout, stderr)
    }

    /// The same, again and again until the answer is as wanted.
    fn until(&self, arguments: &str, wanted: impl Fn(&(i32, String, String)) -> bool) -> String {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.curium(arguments);
            if wanted(&answer) {
                return answer.1;
            }
            assert!(Instant::now() < limit, "`curium {arguments}` says {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
        let _ = fs::remove_dir_all(&self.runtime);
    }
}

/// M2, M5: a task that holds the kernel has the exit code of a verdict, in every view.
#[test]
fn a_task_that_holds_the_kernel_is_told_with_exit_code_three() {
    let mut place = Place::new();
    place.start("1", "spin");
    let ps = place.until("ps 1", |(code, ..)| *code == 3);
    assert!(ps.starts_with("Task 0 main holds the kernel: "), "{ps}");
    let (code, json, _) = place.curium("stats 1 --json");
    assert!(code == 3 && json.contains("\"held\":{\"task\":\"0\""), "{code} {json}");
}

/// P6: every command works with a program on several cores, whose tasks have their core in front.
#[test]
fn the_tasks_of_several_cores_are_shown_cancelled_and_traced() {
    let mut place = Place::new();
    place.start("1", "cores");
    let both = |text: &str| text.contains("\n0:1 ") && text.contains("\n1:1 ");
    let ps = place.until("ps 1", |(code, ps, _)| *code == 0 && both(ps));
    assert!(ps.contains(" kid\n"), "{ps}");
    let (code, tree, _) = place.curium("tree 1");
    assert!(code == 0 && tree.contains("core 1 · kernel ") && tree.contains("#1:1 "), "{tree}");
    let (code, place_of, _) = place.curium("where 1 1:0");
    assert!(code == 0 && place_of.starts_with("1:0 JOIN main\n"), "{code} {place_of}");
    let (code, _, told) = place.curium("where 1 0");
    assert!(code == 1 && told.contains("has its core in front: 0:0"), "{code} {told}");
    let kid = ps.lines().find(|row| row.starts_with("1:") && row.ends_with(" kid"));
    let kid = kid.and_then(|row| row.split(' ').next()).expect("it is shown");
    let (code, told, _) = place.curium(&format!("cancel 1 {kid}"));
    assert_eq!((code, told), (0, format!("task {kid} was cancelled, and has ended\n")));
    let file = place.runtime.join("trace");
    let (code, ..) = place.curium(&format!("trace 1 60 {}", file.display()));
    let trace = fs::read(file).expect("it is written");
    for name in ["core 0, kernel ", "core 1, kernel "] {
        let is_there = trace.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert!(code == 0 && is_there, "{code} {name}");
    }
}

/// P6, M2: of two cores, one of which does not give its thread back, the other one is served.
#[test]
fn a_core_that_is_held_is_told_and_the_other_is_served() {
    let mut place = Place::new();
    place.start("1", "spinning_core");
    let ps = place.until("ps 1", |(code, ps, _)| *code == 3 && ps.contains(" kid\n"));
    assert!(ps.starts_with("Task 1:0 main holds the kernel of core 1: "), "{ps}");
    let kid = ps.lines().find(|row| row.starts_with("0:") && row.ends_with(" kid"));
    let kid = kid.and_then(|row| row.split(' ').next()).expect("it is shown");
    let (_, told, _) = place.curium(&format!("cancel 1 {kid}"));
    assert_eq!(told, format!("task {kid} was cancelled, and has ended\n"));
    let file = place.runtime.join("trace");
    let (_, said, error) = place.curium(&format!("trace 1 60 {}", file.display()));
    assert!(said.ends_with("\nwithout cores that have not answered: 1\n"), "{said} {error}");
    let (_, told, _) = place.curium("cancel 1 1:0");
    assert!(told.contains("not yet, because task #1:0 main holds the kernel of core 1"), "{told}");
}

/// M5: a verdict has an exit code of its own, and both of its lines are shown.
#[test]
fn a_deadlock_is_told_with_exit_code_three() {
    let mut place = Place::new();
    place.start("1", "joins");
    let tree = place.until("tree 1", |(code, ..)| *code == 3);
    let verdict = tree.lines().find(|line| line.starts_with("(!) ")).expect("a verdict");
    assert!(verdict.contains("reader") && verdict.contains("writer"), "{verdict}");
    assert_eq!(verdict.matches("hanging.rs:").count(), 2, "{verdict}");
    let (code, json, _) = place.curium("ps 1 --json");
    assert!(code == 3 && json.contains("\"verdicts\":[{"), "{code} {json}");
    // The table has the verdict before it.
    let (code, ps, _) = place.curium("ps 1");
    assert!(code == 3 && ps.contains("writer\\u{1b}[2J"), "{code} {ps}");
}

/// M5: the holders of locks are known, so that a circle through them is one.
#[test]
fn a_lock_cycle_is_told_with_exit_code_three() {
    let mut place = Place::new();
    place.start("1", "locks");
    let tree = place.until("tree 1", |(code, ..)| *code == 3);
    let verdict = tree.lines().find(|line| line.starts_with("(!) ")).expect("a verdict");
    assert!(verdict.contains("alice to bob") && verdict.contains("bob to alice"), "{verdict}");
}

/// M5: as the kernel and the monitor write it.
#[test]
fn a_verdict_is_told_with_exit_code_three() {
    let place = Place::new();
    answering(
        &place,
        "\nCurium Monitor: 2 tasks running\nType help for commands\ncurium > kernel 0 · 2 tasks\n\
         (!) deadlock: #1 a, JOIN, waits for #1 a\n#1 a\n\ncurium > Leaving monitor.\n",
    );
    let (code, tree, error) = place.curium("tree 9");
    assert!(code == 3 && tree.contains("\n(!) deadlock: "), "{code} {tree} {error}");
    let place = Place::new();
    answering(
        &place,
        "HTTP/1.1 200 OK\r\n\r\n{\"curium\":1,\"kernels\":[{\"tasks\":[],\"verdicts\":[\
         {\"kind\":\"cycle\",\"tasks\":[\"1\"],\"text\":\"deadlock: ...\"}]}]}\n",
    );
    let (code, json, error) = place.curium("tree 9 --json");
    assert!(code == 3 && json.starts_with("{\"curium\":1,"), "{code} {json} {error}");
}

/// M4: the same views as by hand.
#[test]
fn every_view_prints_what_the_monitor_prints() {
    let mut place = Place::new();
    place.start("1", "calm");
    let ps = place.until("ps", |(_, ps, _)| ps.contains("kid"));
    assert!(ps.starts_with("Task "), "{ps}");
    let kid = ps.lines().find(|line| line.ends_with("kid")).expect("a row");
    let id = kid.split(' ').next().expect("an id");
    let (code, tree, _) = place.curium("tree");
    assert!(code == 0 && tree.starts_with("kernel ") && tree.contains("kid"), "{code} {tree}");
    let (code, place_of, _) = place.curium(&format!("where {id}"));
    assert!(code == 0 && place_of.contains("hanging.rs:"), "{code} {place_of}");
    let (code, graph, _) = place.curium("graph");
    assert!(code == 0 && graph.contains("kid"), "{code} {graph}");
    let (code, dot, _) = place.curium("graph --dot");
    assert!(code == 0 && dot.starts_with("digraph"), "{code} {dot}");
    let (code, stats, _) = place.curium("stats");
    assert!(code == 0 && stats.contains("tasks "), "{code} {stats}");
    let (code, json, _) = place.curium("stats --json");
    assert!(code == 0 && json.starts_with("{\"curium\":1,"), "{code} {json}");
    let (code, _, error) = place.curium("where 4711");
    assert!(code == 1 && error.contains("No task 4711"), "{code} {error}");
}

#[test]
fn a_cancel_says_what_happened() {
    let mut place = Place::new();
    place.start("1", "calm");
    let ps = place.until("ps", |(_, ps, _)| ps.contains("kid"));
    let kid = ps.lines().find(|line| line.ends_with("kid")).expect("a row");
    let id = kid.split(' ').next().expect("an id");
    let (code, said, _) = place.curium(&format!("cancel {id}"));
    assert!(code == 0 && said.contains("has ended"), "{code} {said}");
    let (code, _, error) = place.curium(&format!("cancel {id}"));
    assert!(code == 1 && error.contains("No task"), "{code} {error}");
    place.start("2", "joins");
    let (code, _, error) = place.curium("cancel 2 0");
    assert!(code == 1 && error.contains("does not allow"), "{code} {error}");
}

/// M6: the file has what the program did; `.ci/ecosystem` decodes it.
#[test]
fn a_trace_is_written_to_a_file() {
    let mut place = Place::new();
    place.start("1", "calm");
    place.until("ps", |(_, ps, _)| ps.contains("SLEEP"));
    let file = place.runtime.join("trace");
    let (code, said, error) = place.curium(&format!("trace 60 {}", file.display()));
    assert!(code == 0 && said.contains(" bytes, for ui.perfetto.dev"), "{code} {said} {error}");
    let bytes = fs::read(&file).expect("a file");
    assert!(bytes.starts_with(b"\n") && bytes.windows(5).any(|it| it == b"SLEEP"));
    place.start("2", "joins");
    let (code, _, error) = place.curium(&format!("trace 2 60 {}", file.display()));
    assert!(code == 1 && error.contains("see Builder::flight_recorder"), "{code} {error}");
    assert_eq!(fs::read(&file).expect("a file"), bytes);
    let (code, _, error) = place.curium("trace 1 60 /nowhere/a");
    assert!(code == 1 && error.contains("/nowhere/a: "), "{code} {error}");
}

#[test]
fn a_stale_socket_and_a_silent_one_are_told_from_a_program() {
    let mut place = Place::new();
    let (code, _, error) = place.curium("tree 7");
    assert!(code == 1 && error.contains("process 7 has no socket"), "{code} {error}");
    drop(UnixListener::bind(place.socket("7")).expect("a socket"));
    let (_, list, _) = place.curium("");
    assert!(list.contains("stale"), "{list}");
    let (code, _, error) = place.curium("tree 7");
    assert!(code == 1 && error.contains("was killed; remove the file"), "{code} {error}");
    place.start("1", "calm");
    place.start("2", "calm");
    place.programs[0].kill().expect("it runs");
    place.programs[0].wait().expect("it ends");
    let (code, list, _) = place.curium("");
    let state = |pid: &str| {
        let path = place.socket(pid).display().to_string();
        let line = list.lines().find(|line| line.contains(&path));
        line.expect("a line").split_ascii_whitespace().nth(2).expect("tasks").to_owned()
    };
    assert_eq!((code, &*state("1"), &*state("7")), (0, "stale", "stale"), "{list}");
    assert!(state("2").parse::<usize>().is_ok(), "{list}");
    let (code, json, _) = place.curium("--json");
    assert!(code == 0 && json.contains("\"state\":\"stale\""), "{code} {json}");
}

/// A socket that gives each client the same answer.
fn answering(place: &Place, answer: &'static str) {
    let listener = UnixListener::bind(place.socket("9")).expect("a socket");
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut asked = [0; 1024];
            let _ = client.read(&mut asked);
            let _ = client.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn a_program_that_ends_in_the_middle_is_told() {
    let place = Place::new();
    answering(
        &place,
        "\nCurium Monitor: 3 tasks running\nType help for commands\ncurium > 0 \u{1b}",
    );
    let (code, _, error) = place.curium("where 9 0");
    assert!(code == 1 && error.contains("the program has ended"), "{code} {error}");
    let (code, _, error) = place.curium("ps 9 --json");
    assert!(code == 1 && error.contains("is no monitor of Curium"), "{code} {error}");
    let place = Place::new();
    answering(&place, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"curium\":1");
    let (code, _, error) = place.curium("ps 9 --json");
    assert!(code == 1 && error.contains("the program has ended"), "{code} {error}");
    let place = Place::new();
    answering(&place, "HTTP/1.1 403 Forbidden\r\n\r\nThe request is not from here.\n\u{1b}[2J");
    let (code, _, error) = place.curium("ps 9 --json");
    assert!(code == 1 && error.contains("it refuses (403 Forbidden)"), "{code} {error}");
}

#[test]
fn a_wrong_command_line_has_exit_code_two() {
    let place = Place::new();
    for line in ["pss", "where", "ps 1 2", "tree --all", "cancel kid", "top", "ps nowhere"] {
        let (code, out, error) = place.curium(line);
        // Here no terminal is there for `top`.
        assert!(code == 2 && out.is_empty() && error.contains("--help"), "{line}: {code} {error}");
    }
    let (code, help, _) = place.curium("--help");
    assert!(code == 0 && help.contains("Exit codes:"), "{code} {help}");
}
