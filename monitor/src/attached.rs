//! The monitor of one kernel, or of the kernels of several cores: started when the first kernel is
//! made, ended with the last one.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use kernel::{Link, Watcher};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Listening;
use crate::listen::Listener;
use crate::monitor::{Announce, Monitor};
use crate::server::{News, Server, Strings, number_of};

/// The monitor at one kernel.
pub(crate) struct Attached {
    hub: Arc<Hub>,
    number: Cell<usize>,
}

/// The monitor of all kernels.
pub(crate) struct Hub {
    state: Mutex<State>,
}

struct State {
    monitor: Monitor,
    running: Option<Running>,
    /// It was started, or could not be.
    has_begun: bool,
    /// The kernels that have begun and not ended.
    kernels: usize,
}

/// The thread of the monitor.
struct Running {
    strings: Strings,
    thread: JoinHandle<()>,
}

/// What is said of a start, which is code of the program: without the lock, and when the monitor
/// can be stopped.
enum Said {
    Nothing,
    Listens(Option<Announce>, Listening),
    Failed(String),
}

impl Said {
    fn say(self) {
        match self {
            Said::Nothing => {}
            Said::Listens(Some(announce), listening) => announce(&listening),
            Said::Listens(None, listening) => {
                eprintln!("curium: the monitor listens at {listening}");
            }
            Said::Failed(text) => warn(&text),
        }
    }
}

impl Hub {
    pub(crate) fn new(monitor: Monitor) -> Arc<Self> {
        let state = State { monitor, running: None, has_begun: false, kernels: 0 };
        Arc::new(Hub { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Starts the monitor at its first kernel, and tells it of the others.
    fn begin(&mut self, link: Link) -> Said {
        self.kernels += 1;
        if let Some(running) = &self.running {
            running.tell(News::Began(link));
            return Said::Nothing;
        }
        if std::mem::replace(&mut self.has_begun, true) {
            return Said::Nothing;
        }
        match self.start(link) {
            Ok((running, listening)) => {
                self.running = Some(running);
                Said::Listens(self.monitor.announce.take(), listening)
            }
            Err(error) => {
                let place = &self.monitor.place;
                let advice = match error.kind() {
                    io::ErrorKind::AddrInUse => "; choose another port, or `unix`",
                    _ => "",
                };
                let text = format!(
                    "there is no monitor at {place}, and the program runs on: {error}{advice}"
                );
                Said::Failed(text)
            }
        }
    }

    fn start(&self, link: Link) -> io::Result<(Running, Listening)> {
        let listener = Listener::bind(&self.monitor.place)?;
        let token = token()?;
        let listening = Listening { at: listener.shown(), token: token.clone() };
        let mut server = Server::new(listener, self.monitor.rights, token)?;
        server.add(link);
        let strings = server.strings();
        let thread = Builder::new().name("curium-monitor".into()).spawn(|| server.run())?;
        Ok((Running { strings, thread }, listening))
    }

    /// Tells the monitor that a kernel has ended. Returns it if that was the last one.
    fn end(&mut self, number: usize) -> Option<Running> {
        self.kernels -= 1;
        if self.kernels == 0 {
            return self.running.take();
        }
        if let Some(running) = &self.running {
            running.tell(News::Ended(number));
        }
        None
    }
}

impl Running {
    fn tell(&self, news: News) {
        // If the thread has panicked, nobody hears it.
        let _ = self.strings.news.send(news);
        // If the eventfd failed, the thread would notice it half a second later.
        let _ = self.strings.waker.wake();
    }

    fn stop(self) {
        let Running { strings, thread } = self;
        strings.stop.store(true, Ordering::Release);
        // As for news.
        let _ = strings.waker.wake();
        if thread.join().is_err() {
            warn("the thread of the monitor has panicked");
        }
    }
}

impl Attached {
    pub(crate) fn to(hub: &Arc<Hub>) -> Self {
        Attached { hub: hub.clone(), number: Cell::new(0) }
    }
}

impl Watcher for Attached {
    fn begin(&self, link: Link) {
        self.number.set(number_of(&link));
        let said = self.hub.lock().begin(link);
        // After a panic there is no kernel that would end.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| said.say())) {
            self.end();
            resume_unwind(panic);
        }
    }

    fn end(&self) {
        let last = self.hub.lock().end(self.number.get());
        last.into_iter().for_each(Running::stop);
    }
}

/// Goes to whoever listens, or to standard error.
pub(crate) fn warn(text: &str) {
    if tracing::event_enabled!(target: "curium", tracing::Level::WARN) {
        tracing::warn!(target: "curium", "{text}");
    } else {
        eprintln!("curium: {text}");
    }
}

/// A number that no page can guess.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
