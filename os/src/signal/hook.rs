//! What the process does when a signal arrives: the handlers, by `signal-hook`.
//!
//! A handler may interrupt any code, so it does little: it sets a flag and writes a byte into a
//! pipe. All handlers stay installed, because the system has no safe call that removes one. So for
//! each signal one more handler takes the place of the default action while no listener is left.
//!
//! No signal is lost while a listener comes or goes: it is either taken, or it has its default
//! action. That depends on orders. `signal-hook` runs the actions of a signal in the order of their
//! registration, and each registration, and each removal, waits for the handlers that run. In the
//! order of the registration there are:
//!
//! 1. *The conditional default*, once for a signal in the life of a process. It acts while
//!    `unheard` is set.
//! 2. *The flag `arrived` and the pipe* of a listener. A task empties the pipe and then looks at
//!    the flag. A signal that comes later sets the flag first, and then wakes the task by the pipe.
//! 3. For [`until_signal`](super::until_signal) *the conditional shutdown* and *the flag `second`*,
//!    which the first arrival sets after the shutdown has looked at it.
//!
//! A listener that comes registers all this, and only then clears `unheard`. A signal that arrives
//! before that has its default action, as before the call. Where the default action is to ignore
//! the signal, or another listener keeps it away, the flag `arrived` holds the signal if it was
//! registered by then; `second` is set as well then, whatever the handler has found.
//!
//! A listener that goes first sets `unheard`, if it is the last, so that a signal that arrives from
//! then on has its default action. Then it removes its actions. No handler sets `arrived` after
//! that, so a signal which is found in it now came before, and was not taken. A body that has ended
//! in this very moment could not be cancelled by it. If no other listener has got it, it has its
//! default action now, as it would have had a moment later.
//!
//! There is one gap, of a few instructions, which only `signal-hook` could close: its handler is
//! installed, once for each signal, before the actions are.

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
    /// The signal had its default action before the first listener. Otherwise it was ignored or
    /// handled, and that goes on by itself.
    has_default: bool,
}

fn heard() -> MutexGuard<'static, BTreeMap<Signal, Heard>> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs what takes the place of the default action, if this is the first listener ever.
fn keep_default(signal: Signal) -> io::Result<()> {
    let mut heard = heard();
    if heard.contains_key(&signal) {
        return Ok(());
    }
    let unheard = Arc::new(AtomicBool::new(true));
    let has_default = has_default_action(signal);
    if has_default {
        flag::register_conditional_default(signal.as_raw(), unheard.clone())?;
    }
    heard.insert(signal, Heard { listeners: 0, unheard, has_default });
    Ok(())
}

/// Counts a listener of a signal. While one exists, the default action does not take place.
struct Listening(Signal);

impl Listening {
    fn new(signal: Signal) -> Listening {
        if let Some(known) = heard().get_mut(&signal) {
            known.listeners += 1;
            known.unheard.store(false, Ordering::SeqCst);
        }
        Listening(signal)
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

/// Does what the default action does, unless a listener is left, which has got the signal as well.
fn act_unless_heard(signal: Signal) {
    let unheard = heard().get(&signal).is_some_and(|it| it.has_default && it.listeners == 0);
    if unheard {
        // Fails for no signal that has a name.
        let _ = low_level::emulate_default_handler(signal.as_raw());
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
    /// A signal that was not taken has its default action in the end.
    acts: bool,
}

impl Hook {
    /// Installs the handlers. Each arrival sets a flag and then writes a byte to `pipe`. The first
    /// arrival also sets `second`, and a further one ends the process in the handler. `between` is
    /// called after each step, for tests.
    pub(super) fn new(
        signal: Signal,
        pipe: OwnedFd,
        second: Option<&Arc<AtomicBool>>,
        between: impl Fn(),
    ) -> io::Result<Hook> {
        let number = signal.as_raw();
        keep_default(signal)?;
        between();
        let arrived = Arc::new(AtomicBool::new(false));
        let (actions, acts) = (Vec::with_capacity(4), second.is_some());
        let mut hook = Hook { signal, arrived, listening: None, actions, acts };
        let mut add = |action: io::Result<SigId>| {
            hook.actions.push(action?);
            between();
            io::Result::Ok(())
        };
        add(flag::register(number, hook.arrived.clone()))?;
        add(low_level::pipe::register(number, pipe))?;
        if let Some(second) = second {
            let status = 128 + number;
            add(flag::register_conditional_shutdown(number, status, second.clone()))?;
            add(flag::register(number, second.clone()))?;
            if hook.arrived.load(Ordering::SeqCst) {
                second.store(true, Ordering::SeqCst);
            }
        }
        hook.listening = Some(Listening::new(signal));
        Ok(hook)
    }

    /// Whether the signal has arrived since the last call.
    pub(super) fn take(&self) -> bool {
        self.arrived.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.listening = None;
        for action in self.actions.drain(..) {
            low_level::unregister(action);
        }
        if self.acts && self.take() {
            act_unless_heard(self.signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::number::{SIGURG, SIGUSR1, SIGWINCH};

    const STEP: &str = "CURIUM_TEST_STEP";

    /// Raises the signal after this many steps of the installation of a listener. Returns it, its
    /// flag `second`, and how many steps there are.
    fn raise_after(steps: usize, signal: Signal) -> (Hook, Arc<AtomicBool>, usize) {
        let seen = Cell::new(0);
        let between = || {
            seen.set(seen.get() + 1);
            if seen.get() == steps {
                signal.raise().unwrap();
            }
        };
        let pipe = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let second = Arc::default();
        let hook = Hook::new(signal, pipe.into(), Some(&second), between).unwrap();
        (hook, second, seen.get())
    }

    /// O1: a signal that arrives at any step of the installation of the first listener has its
    /// default action, or is taken.
    #[test]
    fn a_signal_is_not_lost_while_its_first_listener_comes() {
        if let Ok(steps) = std::env::var(STEP) {
            let (hook, ..) = raise_after(steps.parse().unwrap(), SIGUSR1);
            assert!(hook.take(), "it is lost");
            std::process::exit(77);
        }
        // Its default action is to do nothing, so it does not end this process.
        let (_hook, _, steps) = raise_after(usize::MAX, SIGWINCH);
        assert_eq!(steps, 5);
        for step in 1..=steps {
            let mut this = Command::new(std::env::current_exe().unwrap());
            let path = "signal::hook::tests::a_signal_is_not_lost_while_its_first_listener_comes";
            let ended = this.args(["--exact", path]).env(STEP, step.to_string()).output().unwrap();
            let killed = ended.status.signal() == Some(SIGUSR1.as_raw());
            assert!(killed || ended.status.code() == Some(77), "step {step}: {ended:?}");
        }
    }

    /// O1: a signal that a listener finds right after its installation counts as the first.
    #[test]
    fn a_signal_that_is_found_after_the_installation_counts_as_the_first() {
        let (hook, second, _) = raise_after(2, SIGURG);
        assert!(hook.take() && second.load(Ordering::SeqCst));
    }
}
