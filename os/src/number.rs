//! Signals by name and number.

use std::fmt;

/// A signal, by its number. There is a constant for each signal that has one number and one meaning
/// on every Unix, such as [`SIGTERM`]; the real-time signals are left out.
///
/// `Display` and `Debug` show the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($name:ident $text:literal,)*) => {
        $(#[doc = $text] pub const $name: Signal = Signal(libc::$name);)*

        /// Each signal that has a constant.
        const NAMED: &[(Signal, &str)] = &[$(($name, stringify!($name)),)*];
    };
}

signals! {
    SIGABRT "`abort` was called.",
    SIGALRM "The timer of `alarm` has expired.",
    SIGBUS "An access to memory failed.",
    SIGCHLD "A child process has ended or stopped.",
    SIGCONT "The process goes on after a stop.",
    SIGFPE "An arithmetic operation failed.",
    SIGHUP "The terminal is gone. Daemons take it as a request to read their configuration again.",
    SIGILL "An instruction is invalid.",
    SIGINT "Ctrl-C was pressed.",
    SIGIO "A descriptor is ready.",
    SIGKILL "The process ends at once. It cannot listen for this.",
    SIGPIPE "A pipe was written to that has no reader. Rust programs ignore it from the start.",
    SIGPROF "The profiling timer has expired.",
    SIGQUIT "Ctrl-\\\\ was pressed. By default the process ends with a core dump.",
    SIGSEGV "An access to memory was invalid.",
    SIGSTOP "The process is stopped. It cannot listen for this.",
    SIGSYS "A system call was invalid.",
    SIGTERM "A request to end, sent by `kill` and by service managers.",
    SIGTRAP "A breakpoint was reached.",
    SIGTSTP "Ctrl-Z was pressed.",
    SIGTTIN "A process in the background reads from the terminal.",
    SIGTTOU "A process in the background writes to the terminal.",
    SIGURG "A socket has urgent data.",
    SIGUSR1 "A signal that each program gives its own meaning.",
    SIGUSR2 "A signal that each program gives its own meaning.",
    SIGVTALRM "The timer of processor time has expired.",
    SIGWINCH "The size of the terminal has changed.",
    SIGXCPU "The limit of processor time is exceeded.",
    SIGXFSZ "The limit of the size of a file is exceeded.",
}

impl Signal {
    /// The signal with this number; `None` if the number has no constant here.
    pub fn from_raw(number: i32) -> Option<Signal> {
        NAMED.iter().map(|(signal, _)| *signal).find(|signal| signal.0 == number)
    }

    /// Its number on this system.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Its name, as in `"SIGTERM"`.
    pub fn name(self) -> &'static str {
        let named = NAMED.iter().find(|(signal, _)| *signal == self);
        named.map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_a_number_and_a_name() {
        for (signal, name) in NAMED {
            assert_eq!(Signal::from_raw(signal.as_raw()), Some(*signal));
            assert_eq!([signal.to_string(), format!("{signal:?}")], [*name, *name]);
        }
        assert_eq!(Signal::from_raw(0), None);
        assert_eq!(Signal::from_raw(4096), None);
    }
}
