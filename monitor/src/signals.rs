//! The signals that `signal` sends, by name.

use rustix::process::{Signal, getpid, kill_process};

const NAMES: [(&str, Signal); 12] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("WINCH", Signal::WINCH),
];

/// A signal by its name, with or without `SIG`.
pub(crate) fn named(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}

/// Sends a signal to this process.
pub(crate) fn send(signal: Signal) -> std::io::Result<()> {
    Ok(kill_process(getpid(), signal)?)
}
