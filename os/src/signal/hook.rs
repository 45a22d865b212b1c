//! What the process does when a signal arrives: the handlers, by `signal-hook`.
//!
//! A handler may interrupt any code, so it does little: it sets a flag and writes a byte into a
//! pipe. All handlers stay installed, because the system has no safe call that removes one. So for
//! each signal one more handler takes the place of the default action while no listener is left.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::{SigId, flag, low_level};

use crate::number::Signal;

/// The signals that the process has listened for.
static HEARD: Mutex<BTreeMap<Signal, Heard>> = Mutex::new(BTreeMap::new());

struct Heard {
    listeners: usize,
    /// Set while there is no listener. The handler then does what the default action does.
    unheard: Arc<AtomicBool>,
}

fn heard() -> MutexGuard<'static, BTreeMap<Signal, Heard>> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a listener of a signal. While one exists, the default action does not take place.
struct Listening(Signal);

impl Listening {
    fn new(signal: Signal) -> io::Result<Listening> {
        let mut heard = heard();
        if let Some(known) = heard.get_mut(&signal) {
            known.listeners += 1;
            known.unheard.store(false, Ordering::SeqCst);
            return Ok(Listening(signal));
        }
        let unheard = Arc::new(AtomicBool::new(false));
        // Otherwise the signal was ignored or handled before, and that goes on by itself.
        if has_default_action(signal) {
            flag::register_conditional_default(signal.as_raw(), unheard.clone())?;
        }
        heard.insert(signal, Heard { listeners: 1, unheard });
        Ok(Listening(signal))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(known) = heard().get_mut(&self.0) {
            known.listeners -= 1;
            known.unheard.store(known.listeners == 0, Ordering::SeqCst);
        }
    }
}

/// Whether the process takes the default action for the signal now. It does not if it ignores the
/// signal, as a program does that `nohup` has started, or if another library handles it. Only Linux
/// says so.
fn has_default_action(signal: Signal) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let mut masks = status.lines().filter_map(|line| {
        let mask = line.strip_prefix("SigIgn:").or_else(|| line.strip_prefix("SigCgt:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    !masks.any(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

/// The handlers of one signal for one listener. `Drop` removes them.
pub(super) struct Hook {
    pub(super) signal: Signal,
    /// Set by the handler. Signals that arrive before it is cleared are one.
    arrived: Arc<AtomicBool>,
    listening: Option<Listening>,
    actions: Vec<SigId>,
}

impl Hook {
    /// Installs the handlers. Each arrival sets a flag and then writes a byte to `pipe`. The first
    /// arrival also sets `second`, and a further one ends the process in the handler.
    pub(super) fn new(
        signal: Signal,
        pipe: OwnedFd,
        second: Option<&Arc<AtomicBool>>,
    ) -> io::Result<Hook> {
        let number = signal.as_raw();
        let listening = Some(Listening::new(signal)?);
        let mut hook =
            Hook { signal, arrived: Arc::default(), listening, actions: Vec::with_capacity(4) };
        if let Some(second) = second {
            // In this order: the first arrival sets the flag after it was looked at.
            let status = 128 + number;
            hook.actions.push(flag::register_conditional_shutdown(number, status, second.clone())?);
            hook.actions.push(flag::register(number, second.clone())?);
        }
        hook.actions.push(flag::register(number, hook.arrived.clone())?);
        hook.actions.push(low_level::pipe::register(number, pipe)?);
        Ok(hook)
    }

    /// Whether the signal has arrived since the last call.
    pub(super) fn take(&self) -> bool {
        self.arrived.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // First, so that a signal that arrives meanwhile is not ignored.
        self.listening = None;
        for action in self.actions.drain(..) {
            low_level::unregister(action);
        }
    }
}
