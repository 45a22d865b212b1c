//! Ten ways to hang, each in a process of its own, and what `curium tree` says about each. The
//! example fails if one of the ten causes is not shown, also with other names of the tasks, another
//! order, and other neighbours.
//!
//! `docs/when-it-hangs.md` explains them. `hangs NAME` hangs in that way, to be looked at by hand:
//!
//! ```text
//! $ CURIUM_MONITOR=1 cargo run --example hangs lock_cycle &
//! $ curium tree :48802
//! ```

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

mod cast;
mod times;
mod ways;

use cast::Cast;
use times::without_times;
use ways::{WAYS, Way, hang};

/// The questions within which a hang is shown, a pause after each: those of a second.
const QUESTIONS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// How long a process may take to have a monitor.
const STARTS: Duration = Duration::from_secs(30);

/// A process that hangs, killed in the end.
struct Hanging(Child);

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `curium tree` prints: what the monitor answers to `tree`.
fn tree(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"tree\nquit\n")?;
    let mut screen = String::new();
    stream.read_to_string(&mut screen)?;
    let answer = screen.split("curium > ").nth(1).unwrap_or_default();
    Ok(answer.to_owned())
}

/// Whether each line that must be there is there.
fn is_shown(way: &Way, cast: Cast, answer: &str) -> bool {
    way.shown.iter().all(|parts| {
        let parts: Vec<String> = parts.iter().map(|part| cast.fill(part)).collect();
        answer.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    })
}

/// Hangs in that way in another process, and asks until the cause is shown twice in equal texts.
fn look(way: &Way, cast: Cast, socket: &Path) -> io::Result<String> {
    let mut command = Command::new(env::current_exe()?);
    command.args([way.name, &cast.seed.to_string()]).env("CURIUM_MONITOR", socket);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut hanging = Hanging(command.spawn()?);
    // A thread that is to be blocked is seen before. The line that is typed then starts the call.
    let waits = |answer: String| {
        let row = format!("{}  READ ", cast.name("report"));
        answer.contains(&row) || !is_typed(way)
    };
    for _ in 0..STARTS.as_millis() / PAUSE.as_millis() {
        if tree(socket).is_ok_and(waits) {
            break;
        }
        thread::sleep(PAUSE);
    }
    if let Some(mut typed) = hanging.0.stdin.take().filter(|_| is_typed(way)) {
        typed.write_all(b"\n")?;
        typed.flush()?;
    }
    let mut last = String::new();
    for _ in 0..QUESTIONS {
        let answer = without_times(&tree(socket)?);
        if answer == last && is_shown(way, cast, &answer) {
            return Ok(answer);
        }
        last = answer;
        thread::sleep(PAUSE);
    }
    Err(io::Error::other(format!("{} with the seed {}: not shown in\n{last}", way.name, cast.seed)))
}

/// Whether the way begins with a line that is typed.
fn is_typed(way: &Way) -> bool {
    way.name == "blocked_thread"
}

/// Prints what is shown of each way, and looks again with other names.
fn look_at_all(directory: &Path) -> io::Result<()> {
    for way in &WAYS {
        println!("{}", way.name);
        let answer = look(way, Cast { seed: 0 }, &directory.join(way.name))?;
        println!("{}\n", answer.trim_end());
    }
    for (seed, way) in (1..).zip(WAYS.iter().cycle().take(3 * WAYS.len())) {
        look(way, Cast { seed }, &directory.join(seed.to_string()))?;
    }
    println!("shown: 10 of 10, and 30 of 30 with other names, orders and neighbours");
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(name) = arguments.first() {
        if !WAYS.iter().any(|way| way.name == name) {
            let names: Vec<&str> = WAYS.iter().map(|way| way.name).collect();
            return Err(io::Error::other(format!("{name}? There are {}", names.join(", "))));
        }
        let seed = arguments.get(1).and_then(|seed| seed.parse().ok()).unwrap_or(0);
        return Ok(curium::run(async || hang(name, Cast { seed }).await)?);
    }
    let directory = env::temp_dir().join(format!("curium-hangs-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let looked = look_at_all(&directory);
    fs::remove_dir_all(&directory)?;
    looked
}
