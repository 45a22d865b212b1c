//! The oracle of this suite: its tests leave no descriptor, no thread and no process behind.
//!
//! Such things are counted for a whole process, so a child runs all tests again, one after the
//! other. The harness sorts them by name, and this module is the last.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::children;

/// Set for the child and for all processes that its tests start. The value is unique.
const ORACLE: &str = "CURIUM_TEST_ORACLE";

/// Where the descriptors of this process lead. Those that it has inherited stay open across an
/// `exec`, and are left out.
fn descriptors() -> BTreeSet<PathBuf> {
    const CLOEXEC: u32 = 0o2_000_000;
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let own = open.filter(|entry| {
        let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
        let info = fs::read_to_string(info).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).unwrap() & CLOEXEC != 0)
    });
    let links = own.filter_map(|entry| fs::read_link(entry.path()).ok());
    // This function reads a directory there.
    links.filter(|link| !link.starts_with("/proc")).collect()
}

/// The names of the threads beside those of the harness. Those of a pool sleep for a while before
/// they end.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    // The harness gives the thread of a test the name of the test; the system cuts names.
    let harness = |name: &str| name.starts_with("os-") || name.starts_with("zz_nothing_left");
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| !harness(name) && !name.starts_with("curium-")).collect()
}

/// The other processes that this test process has started, also those whose parent has gone.
fn processes(token: &str) -> Vec<String> {
    let mark = format!("{ORACLE}={token}");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let others = all.filter(|entry| {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        pid.is_some_and(|pid| pid != std::process::id())
            && environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    });
    let commands = others.map(|entry| fs::read_to_string(entry.path().join("cmdline")));
    commands.flatten().map(|command| command.replace('\0', " ")).collect()
}

/// O1, O2, O3, I5, R1: no descriptor, no thread and no process is left by any test of this suite.
#[test]
fn no_test_has_left_anything() {
    if let Ok(token) = std::env::var(ORACLE) {
        let started = Instant::now();
        // What was killed or dropped may need a moment to end.
        loop {
            let left = (descriptors(), threads(), processes(&token));
            if left.0.is_empty() && left.1.is_empty() && left.2.is_empty() {
                return;
            }
            assert!(started.elapsed().as_secs() < 15, "left: {left:?}");
            std::thread::yield_now();
        }
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--test-threads=1").env(ORACLE, std::process::id().to_string());
    let ended = children::output_of(command);
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{printed}");
    assert!(printed.contains("zz_nothing_left::no_test_has_left_anything ... ok"), "{printed}");
}
