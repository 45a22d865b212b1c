//! The oracle of a suite: its tests leave no descriptor, no thread and no process behind.
//!
//! Such things are counted for a whole process. So the last test of a binary waits until the others
//! are over, and looks for what is left then. A test that runs alone in a child process is followed
//! by the oracle there. If something is left, each test runs once more in such a child, so that
//! those that have left it are named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{self, Command, Output};
use std::time::{Duration, Instant};

use super::children;

/// The path of the oracle. The harness sorts tests by name, so it is the last.
pub(crate) const ORACLE: &str = "zz_nothing_left::no_test_has_left_anything";

/// The threads of pools, which sleep for ten seconds before they end: their names, of which the
/// system shows 15 bytes, and how many of each there may be.
const POOLS: [(&str, usize); 5] = [
    ("curium-job", 64),
    ("curium-look-up", 64),
    ("curium-start", 64),
    ("curium-group", 4),
    // Of a test.
    ("swept", 1),
];

/// Set for a process in which a test runs once more; see [`run_again`].
const AGAIN: &str = "CURIUM_TEST_AGAIN";

/// How long what was killed or dropped has to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs a test once more, followed by the oracle. `leaving` is what it leaves on purpose.
pub(crate) fn run_again(test: &str, leaving: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, ORACLE, "--test-threads=1"]).env(AGAIN, leaving);
    children::output_of(command)
}

/// What this process is to leave on purpose, if it is one of [`run_again`].
pub(crate) fn leaving() -> Option<String> {
    std::env::var(AGAIN).ok()
}

/// The oracle itself.
pub(crate) fn assert_none() {
    let runs_all = children::role().is_none() && leaving().is_none();
    if runs_all {
        // Tests that run beside this one. Threads that a test has left look alike, since a thread
        // without a name has that of the thread that has started it.
        until_none(2 * children::DEADLINE, threads);
    }
    let on_purpose = leaving().is_some_and(|what| !what.is_empty());
    let patience = if on_purpose { Duration::ZERO } else { PATIENCE };
    let left = until_none(patience, || [descriptors(), threads(), processes()].concat());
    if !left.is_empty() {
        let by = if runs_all { culprits() } else { Vec::new() };
        panic!("left: {left:#?}\nby: {by:#?}");
    }
}

/// What `look` still finds when there was time for it to end.
fn until_none(patience: Duration, look: impl Fn() -> Vec<String>) -> Vec<String> {
    let started = Instant::now();
    loop {
        let left = look();
        if left.is_empty() || started.elapsed() > patience {
            return left;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Where the descriptors of this process lead. Those that it has inherited stay open across an
/// `exec`, and are left out. So are the standard streams, since a terminal may pass for one that
/// does not stay open.
fn descriptors() -> Vec<String> {
    const CLOEXEC: u32 = 0o2_000_000;
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let own = open.flatten().filter(|entry| {
        if ["0", "1", "2"].iter().any(|stream| entry.file_name() == *stream) {
            return false;
        }
        let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
        let info = fs::read_to_string(info).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).unwrap() & CLOEXEC != 0)
    });
    let links = own.filter_map(|entry| fs::read_link(entry.path()).ok());
    // This function reads a directory there.
    let links = links.filter(|link| !link.starts_with("/proc"));
    links.map(|link| format!("the descriptor of {}", link.display())).collect()
}

/// The threads beside those of the harness and of pools.
fn threads() -> Vec<String> {
    let me = fs::read_link("/proc/thread-self").unwrap_or_default();
    let me = me.file_name().map(ToOwned::to_owned);
    let main = process::id().to_string();
    let mut left = Vec::new();
    let mut in_pools = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        if *main == *entry.file_name() || Some(entry.file_name()) == me {
            continue;
        }
        // It may have ended since.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let name = name.trim();
        match POOLS.iter().find(|(pool, _)| *pool == name) {
            Some(pool) => *in_pools.entry(pool).or_insert(0) += 1,
            None => left.push(format!("the thread {name}")),
        }
    }
    let too_many = in_pools.into_iter().filter(|((_, limit), threads)| threads > limit);
    left.extend(too_many.map(|((pool, _), threads)| format!("{threads} threads of {pool}")));
    left
}

/// The children of this process, zombies included, and the processes of its session that run in its
/// directory, were started after it, and have lost their parents.
fn processes() -> Vec<String> {
    let me = process::id();
    let all: BTreeMap<u32, Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .collect();
    let Some(mine) = all.get(&me) else { return Vec::new() };
    let here = |pid: u32| fs::read_link(format!("/proc/{pid}/cwd")).ok();
    let parent = |pid: &u32| all.get(pid).map(|stat| stat.parent);
    let ancestors: Vec<u32> = std::iter::successors(Some(me), parent).collect();
    let adopter = adopter();
    let is_orphan = |pid: u32, stat: &Stat| {
        let foreign = all.get(&stat.parent).is_none_or(|parent| parent.session != stat.session);
        let lost = foreign || Some(stat.parent) == adopter;
        // The test that runs this one in a child may have such processes of its own.
        children::role().is_none()
            && (stat.session == mine.session && stat.started >= mine.started && lost)
            && (!ancestors.contains(&pid) && pid != stat.session && stat.state != "Z")
            && here(pid) == here(me)
    };
    let left = all.iter().filter(|(pid, stat)| stat.parent == me || is_orphan(**pid, stat));
    let shown = left.map(|(pid, stat)| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("the process {pid} ({}): {}", stat.state, command.replace('\0', " "))
    });
    shown.collect()
}

/// The process that becomes the parent of those that lose theirs. In a container it may belong to
/// the session of the tests.
fn adopter() -> Option<u32> {
    // The inner shell loses its parent at once, and says which one it has then.
    let inner = "while read _ _ _ parent _ </proc/$$/stat && [ $parent = $0 ]; do :; done; \
                 echo $parent";
    let outer = format!("sh -c '{inner}' $$ &");
    let said = Command::new("sh").args(["-c", &outer]).output().ok()?;
    String::from_utf8_lossy(&said.stdout).trim().parse().ok()
}

/// What the system says about a process.
struct Stat {
    state: String,
    parent: u32,
    session: u32,
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in parentheses, which may contain anything.
        let words: Vec<&str> = line.rsplit(')').next()?.split_whitespace().collect();
        Some(Stat {
            state: (*words.first()?).to_owned(),
            parent: words.get(1)?.parse().ok()?,
            session: words.get(3)?.parse().ok()?,
            started: words.get(19)?.parse().ok()?,
        })
    }
}

/// The tests that leave something when they run alone.
fn culprits() -> Vec<String> {
    let mut this = Command::new(std::env::current_exe().unwrap());
    let listed = this.args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let others = tests.filter(|test| *test != ORACLE);
    others.filter(|test| !run_again(test, "").status.success()).map(ToOwned::to_owned).collect()
}
