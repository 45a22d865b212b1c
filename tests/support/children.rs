//! A test that runs itself once more in a child process: alone there, under a deadline, and on
//! request under `strace`, which makes system calls fail and records them.
//!
//! The test is both processes: its [`role`] says that it is the child.

// Every test file uses a part of this.
#![allow(dead_code, unused_macros, unused_imports)]

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::leftovers::ORACLE;

const ROLE: &str = "CURIUM_TEST_ROLE";
/// If it is set, a missing tool is a failure.
const REQUIRE_TOOLS: &str = "CURIUM_REQUIRE_TOOLS";
/// A deadline, so that a hang is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The role of this process, if it is the child of a test.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The role of a child that only has to be alone in its process.
pub(crate) const ALONE: &str = "alone";

/// Whether the test has just run, alone in a child process; if not, this is that process. For a
/// test that changes or counts a property of the whole process, and which begins with
///
/// ```ignore
/// if children::ran_alone(children::this_test!()) {
///     return;
/// }
/// ```
pub(crate) fn ran_alone(name: &str) -> bool {
    let in_parent = role().is_none();
    if in_parent {
        println!("{}", run(name, ALONE));
    }
    in_parent
}

/// The path of the test that contains this call, as `--exact` expects it.
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::support::children::path_of(here)
    }};
}
pub(crate) use this_test;

/// The path of a test of this binary, as `--exact` expects it: its modules and its name.
pub(crate) fn path_of<F: Fn()>(_test: F) -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.strip_suffix("::here").unwrap_or(path);
    // For a closure in a test it is the path of the test.
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").expect("a test is in a crate").1
}

/// This binary, running the test `name` alone as a child with that role.
pub(crate) fn command(name: &str, role: &str) -> Command {
    of_this_test(Command::new(this_binary()), name, role)
}

fn of_this_test(mut command: Command, name: &str, role: &str) -> Command {
    // The oracle follows it, if this binary has one.
    command.args(["--exact", name, ORACLE, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// Runs the test `name` of this binary in a child with that role, and returns what it printed.
pub(crate) fn run(name: &str, role: &str) -> String {
    Running::start(Command::new(this_binary()), name, role).end()
}

/// The same under `strace` with these options. Without `strace` it returns none, and prints that.
pub(crate) fn traced(name: &str, role: &str, options: &[&str]) -> Option<Trace> {
    if !has_strace() {
        return None;
    }
    let file = format!("{name}-{role}-{}.strace", std::process::id());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "--seccomp-bpf", "-s", "200", "-o"]).arg(&file);
    strace.args(options).arg("--").arg(this_binary());
    // A traced process cannot also look for leaks.
    strace.env("ASAN_OPTIONS", "detect_leaks=0");
    let ended = catch_unwind(AssertUnwindSafe(|| Running::start(strace, name, role).end()));
    let text = std::fs::read(&file);
    // Also after a failure, which may have made it large.
    let removed = std::fs::remove_file(&file);
    ended.unwrap_or_else(|failure| resume_unwind(failure));
    removed.expect("its trace is ours");
    let text = text.expect("strace has written its trace");
    let text = String::from_utf8_lossy(&text);
    Some(Trace::of(&text))
}

/// The same in a kernel whose poll takes no source, for lack of memory.
pub(crate) fn without_sources(name: &str, role: &str) {
    // The first call is for the descriptor by which the kernel is woken.
    let options = ["-e", "trace=epoll_ctl", "-e", "inject=epoll_ctl:error=ENOMEM:when=2+"];
    if let Some(trace) = traced(name, role, &options) {
        assert!(trace.injected("ENOMEM") > 0, "{}", trace.text());
    }
}

/// Runs the test `name` in a child with that role that may mount file systems, which no other
/// process sees. Without a way to do that it returns none, and prints that.
pub(crate) fn with_mounts(name: &str, role: &str) -> Option<String> {
    unshared(name, role, &["--mount"])
}

/// The same in a child that also has a network of its own, which is empty, and `ip` to lay it out.
pub(crate) fn with_network(name: &str, role: &str) -> Option<String> {
    if Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os(REQUIRE_TOOLS).is_none(), "install the package `iproute2`");
        println!("skipped: no ip");
        return None;
    }
    unshared(name, role, &["--mount", "--net"])
}

/// Runs the test `name` in a child with that role and with namespaces of its own, one of them for
/// mounts.
fn unshared(name: &str, role: &str, namespaces: &[&str]) -> Option<String> {
    // The first needs no rights where the system allows it, the second needs those of root.
    let ways: [&[&str]; 2] = [&["--user", "--map-root-user"], &[]];
    let unshare = |way: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(way).args(namespaces).arg("--");
        unshare
    };
    // Being allowed to unshare need not mean being allowed to mount.
    let works = |way: &&[&str]| {
        let mut probe = unshare(way);
        probe.args(["mount", "-t", "tmpfs", "none", env!("CARGO_TARGET_TMPDIR")]);
        let status = probe.stdin(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().copied().find(works) else {
        assert!(
            std::env::var_os(REQUIRE_TOOLS).is_none(),
            "no file system can be mounted: allow user namespaces where this runs, or run it as \
             root with the right to mount"
        );
        println!("skipped: no mounts");
        return None;
    };
    let mut command = unshare(way);
    command.arg(this_binary());
    Some(Running::start(command, name, role).end())
}

fn this_binary() -> std::path::PathBuf {
    std::env::current_exe().expect("a test knows its binary")
}

/// Whether `strace` is there and allowed to trace.
fn has_strace() -> bool {
    let probe = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let works = probe.is_ok_and(|status| status.success());
    if !works {
        assert!(
            std::env::var_os(REQUIRE_TOOLS).is_none(),
            "strace cannot be started: install the package `strace` (5.7 or later), and allow \
             ptrace where this runs"
        );
        println!("skipped: no strace");
    }
    works
}

/// A running child.
pub(crate) struct Running {
    child: Child,
    test: String,
    what: String,
}

impl Running {
    /// Starts the test `name` with that role. `command` is this binary, or runs it.
    fn start(command: Command, name: &str, role: &str) -> Running {
        let command = of_this_test(command, name, role);
        let (test, what) = (name.to_owned(), format!("{name} as {role}"));
        Running { child: in_a_group(command), test, what }
    }

    /// Starts the test `name` of this binary with that role.
    pub(crate) fn of(name: &str, role: &str) -> Running {
        Running::start(Command::new(this_binary()), name, role)
    }

    /// The process keeps this number until [`end`](Running::end) is called.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end, and returns what it printed.
    pub(crate) fn end(self) -> String {
        let Running { child, test, what } = self;
        let output = in_time(child, &what);
        let text = text_of(&output);
        assert!(output.status.success(), "{what}: {}:\n{text}", output.status);
        assert!(text.contains(&format!("test {test} ...")), "there is no test {what}:\n{text}");
        text
    }
}

/// Starts a command whose output is collected. It is in its own process group, so that the deadline
/// also ends the processes that it has started.
fn in_a_group(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).spawn().expect("a child can be started")
}

/// Waits for the end of the child, in whatever way it ends.
fn in_time(child: Child, what: &str) -> Output {
    let pid = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(child.wait_with_output()));
    let in_time = ended.recv_timeout(DEADLINE);
    let hangs = in_time.is_err();
    if hangs {
        // It may have ended at this very moment.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let output =
        in_time.unwrap_or_else(|_| ended.recv().expect("the waiting thread sends the output"));
    let output = output.expect("a child can be waited for");
    drop(waiting.join());
    assert!(!hangs, "{what} has not ended in {DEADLINE:?}:\n{}", text_of(&output));
    output
}

fn text_of(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs a command under the deadline, for a test whose child does not end well.
pub(crate) fn output_of(command: Command) -> Output {
    let what = format!("{command:?}");
    in_time(in_a_group(command), &what)
}

/// The trace of `strace`.
pub(crate) struct Trace {
    lines: Vec<String>,
}

impl Trace {
    pub(crate) fn of(text: &str) -> Trace {
        Trace { lines: text.lines().map(str::to_owned).collect() }
    }

    /// The calls of the thread that `write`s the word `begin`, from then until it writes the word
    /// `end`. Those of other threads, such as the one that waits for the end of the test, are left
    /// out.
    pub(crate) fn between(&self, begin: &str, end: &str) -> Vec<String> {
        let said = self.by_thread().find(|(_, call)| call.contains(begin));
        let (thread, _) = said.unwrap_or_else(|| panic!("no {begin}:\n{}", self.text()));
        let mut calls = self.calls_of(thread).into_iter();
        calls.find(|call| call.contains(begin));
        let mut between = Vec::new();
        loop {
            match calls.next() {
                None => panic!("no {end}:\n{}", self.text()),
                Some(call) if call.contains(end) => return between,
                Some(call) => between.push(call),
            }
        }
    }

    /// The complete calls of a thread. The trace splits a call in two if another thread's call
    /// comes before its end.
    fn calls_of(&self, thread: &str) -> Vec<String> {
        let mut calls: Vec<String> = Vec::new();
        for (_, line) in self.by_thread().filter(|(number, _)| *number == thread) {
            let rest = line.strip_prefix("<... ").and_then(|line| line.split_once(" resumed>"));
            match (rest, calls.last_mut()) {
                (Some((_, rest)), Some(begun)) => begun.push_str(rest),
                _ => calls.push(line.trim_end_matches("<unfinished ...>").to_owned()),
            }
        }
        calls
    }

    /// The calls of all threads, in order, without the number of the thread.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.by_thread().map(|(_, line)| line)
    }

    /// Each line, and before it the number of the thread.
    fn by_thread(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.lines.iter().filter_map(|line| line.split_once(' '));
        parts.map(|(thread, line)| (thread, line.trim_start()))
    }

    /// The calls of one of these names.
    pub(crate) fn calls<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.lines().filter(move |line| {
            let name = line.split_once('(').map(|(name, _)| name);
            name.is_some_and(|name| names.contains(&name))
        })
    }

    /// How often a call failed with this error because it was injected.
    pub(crate) fn injected(&self, error: &str) -> usize {
        let failed = format!("= -1 {error} ");
        let made_to = |line: &&str| line.contains(&failed) && line.ends_with("(INJECTED)");
        self.lines().filter(made_to).count()
    }

    /// The same as text, for the message of a failure.
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}
