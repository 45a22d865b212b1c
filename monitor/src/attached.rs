//! The monitor of one kernel: started when the kernel is made, ended with it.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use kernel::{Link, Watcher};
use mio::Waker;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Listening;
use crate::listen::Listener;
use crate::monitor::Monitor;
use crate::server::Server;

pub(crate) struct Attached {
    monitor: Monitor,
    running: RefCell<Option<Running>>,
}

/// The thread of the monitor.
struct Running {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

impl Attached {
    pub(crate) fn new(monitor: Monitor) -> Self {
        Attached { monitor, running: RefCell::default() }
    }

    fn start(&self, link: Link) -> io::Result<Running> {
        let listener = Listener::bind(&self.monitor.place)?;
        let token = token()?;
        let listening = Listening { at: listener.shown(), token: token.clone() };
        let server = Server::new(listener, link, self.monitor.rights, token)?;
        let (stop, waker) = server.stopper();
        let thread = Builder::new().name("curium-monitor".into()).spawn(|| server.run())?;
        match &self.monitor.announce {
            Some(announce) => announce(&listening),
            None => eprintln!("curium: the monitor listens at {listening}"),
        }
        Ok(Running { stop, waker, thread })
    }
}

impl Watcher for Attached {
    fn begin(&self, link: Link) {
        match self.start(link) {
            Ok(running) => *self.running.borrow_mut() = Some(running),
            Err(error) => {
                let place = &self.monitor.place;
                warn(&format!("there is no monitor at {place:?}, the program runs on: {error}"));
            }
        }
    }

    fn end(&self) {
        let Some(Running { stop, waker, thread }) = self.running.take() else { return };
        stop.store(true, Ordering::Release);
        // If the eventfd failed, the thread would notice the flag half a second later.
        let _ = waker.wake();
        if thread.join().is_err() {
            warn("the thread of the monitor has panicked");
        }
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
