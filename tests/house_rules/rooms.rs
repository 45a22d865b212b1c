//! The rooms of the kernel: a room uses only rooms above it in this list, and only `core` adds to
//! the kernel's state.

use super::{assert_none, sources};

/// Rooms and single files of `kernel/src` by rank. A file may use rooms of a lower rank and its own
/// room. `lib.rs` uses all of them.
const RANKS: [&[&str]; 16] = [
    &["id", "error"],
    &["parts"],
    &["insight"],
    &["task"],
    &["recorder"],
    &["core"],
    &["run"],
    &["wait"],
    &["scope"],
    &["io"],
    &["spawn", "task_handle", "task_local"],
    &["threads"],
    &["group"],
    &["children"],
    &["handle", "testing"],
    &["cores"],
];

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

/// The files of the kernel without comments and unit tests: room, name, text.
fn files() -> Vec<(String, String, String)> {
    let mut files = Vec::new();
    for (name, text) in sources(&["kernel/src"]) {
        let path = name.strip_prefix("kernel/src/").expect("a file of the kernel");
        let room = path.split(['/', '.']).next().expect("a name").to_owned();
        // Models and unit tests rank above the code that they test.
        if room == "lib" || path.contains("/models") || path.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a part");
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        files.push((room, name, code));
    }
    files
}

/// The rooms that a text names in paths, as in `crate::core::wake`.
fn named_rooms(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| !(c.is_ascii_lowercase() || c == '_');
    code.split("crate::").skip(1).map(move |rest| rest.split(is_part).next().unwrap_or(""))
}

#[test]
fn arrows_between_rooms_go_upward() {
    let mut faults = Vec::new();
    for (room, name, code) in files() {
        let Some(own) = rank(&room) else {
            faults.push(format!("{name}: the room {room} has no rank"));
            continue;
        };
        for other in named_rooms(&code) {
            if rank(other).is_some_and(|other| other > own) {
                faults.push(format!("{name} uses {other}"));
            }
        }
    }
    assert_none(&faults, "an arrow downward");
}

/// Imports alone do not show method calls: a method that a room adds to a type of another room can
/// be called there. So the types that all rooms share get methods only in their own room.
#[test]
fn only_core_adds_methods_to_the_kernel_and_its_tasks() {
    let mut faults = Vec::new();
    for (room, name, code) in files() {
        for line in code.lines() {
            let Some(of) = line.strip_prefix("impl ") else { continue };
            let adds = |what: &str| of.starts_with(&format!("{what} {{"));
            // The room `cores` has a `Core` of its own: what programs see of one.
            if adds("Core") && room != "core" && room != "cores" {
                faults.push(format!("{name}: {line}"));
            }
            if ["TaskRef", "Waiter"].into_iter().any(adds) && !["core", "wait"].contains(&&*room) {
                faults.push(format!("{name}: {line}"));
            }
        }
    }
    assert_none(&faults, "methods of another room's type");
}

/// Only `wait` may use what it adds to a task.
#[test]
fn what_a_room_adds_to_a_task_is_private_to_it() {
    let mut faults = Vec::new();
    for (room, name, code) in files() {
        if room == "core" || room == "task" {
            continue;
        }
        let mut inside = false;
        for line in code.lines() {
            inside = (inside || line == "impl TaskRef {") && line != "}";
            if inside && line.trim_start().starts_with("pub") {
                faults.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert_none(&faults, "a method that others can call");
}
