//! Signals that a process sends to itself.

use std::io::{self, Write};
use std::process;

use signal_hook::low_level;

use crate::number::{SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, Signal};

impl Signal {
    /// Sends the signal to this process. Its handlers run before the call returns.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub fn raise(self) -> io::Result<()> {
        low_level::raise(self.as_raw())
    }

    /// Ends the process by the default action of the signal, so that its parent sees what has ended
    /// it. A shell ends a script after Ctrl-C only if the program that it ran has died by the
    /// signal; an exit status of 130 does not do that. Call it last, after all cleanup:
    ///
    /// ```no_run
    /// use curium::kernel::{self, TaskCancelled};
    /// use curium::signal::{SIGINT, SIGTERM, until_signal};
    /// # async fn serve() -> Result<(), TaskCancelled> { Ok(()) }
    ///
    /// let ended = kernel::run(async || until_signal([SIGINT, SIGTERM], serve()).unwrap().await);
    /// if let Err(signalled) = ended {
    ///     signalled.signal().die();
    /// }
    /// ```
    ///
    /// It flushes the standard output, for which it waits while another thread prints. No
    /// destructors run. If the default action does not end a process, this call exits with the
    /// status by which shells show a death by the signal: 128 and its number.
    pub fn die(self) -> ! {
        // A process that cannot write its output ends all the same.
        let _ = io::stdout().flush();
        // The default action of these would stop the process, and then go on here.
        if ![SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU].contains(&self) {
            // This returns if the default action is to ignore the signal.
            let _ = low_level::emulate_default_handler(self.as_raw());
        }
        process::exit(128 + self.as_raw())
    }
}
