//! The thread of the monitor: it serves every client, and asks the kernel by looks.
//!
//! It never waits for the kernel, and never for a client. What it has asked for comes through a
//! channel, and wakes the poll.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use kernel::insight::Snapshot;
use kernel::{FlightRecord, Link, SnapshotParts};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::held::Watch;
use crate::listen::{Listener, Stream};
use crate::session::Session;
use crate::shot::Shot;
use crate::signals;
use crate::world::{Act, Rights, World};

/// The most clients at a time. One more takes the place of the one that was silent for longest.
const CLIENTS: usize = 128;

/// How often the thread looks at the kernel's mark while it has no client.
const IDLE: Duration = Duration::from_millis(500);

/// The same while it has one.
const BUSY: Duration = Duration::from_millis(50);

/// The most steps for one client before the others have their turn.
const STEPS: usize = 32;

/// The number of tasks that one look takes. The kernel is away from its tasks for that long.
const PART: usize = 256;

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);

/// One client.
struct Client {
    stream: Stream,
    session: Session,
    is_readable: bool,
    is_writable: bool,
    last: Instant,
}

/// What looks have seen.
enum Seen {
    All(Box<SnapshotParts>, Option<FlightRecord>),
    /// Whether no task of the verdicts was polled since they were seen.
    AtRest(bool),
}

/// Sends what looks have seen. None: the kernel has ended, or a look has panicked.
struct Reply {
    seen: Option<Seen>,
    sender: Sender<Option<Seen>>,
    waker: Arc<Waker>,
}

impl Reply {
    fn fill(&mut self, seen: Seen) {
        self.seen = Some(seen);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // The thread of the monitor may have ended.
        let _ = self.sender.send(self.seen.take());
        let _ = self.waker.wake();
    }
}

pub(crate) struct Server {
    poll: Poll,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    listener: Listener,
    clients: BTreeMap<usize, Client>,
    next_client: usize,
    link: Link,
    watch: Watch,
    world: World,
    sender: Sender<Option<Seen>>,
    receiver: Receiver<Option<Seen>>,
    /// Whether a look is on its way.
    is_looking: bool,
    /// What was seen last, until the kernel has confirmed its verdicts.
    doubtful: Option<Shot>,
}

impl Server {
    pub(crate) fn new(
        mut listener: Listener,
        link: Link,
        rights: Rights,
        token: String,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (sender, receiver) = channel();
        Ok(Server {
            poll,
            waker,
            stop: Arc::default(),
            listener,
            clients: BTreeMap::new(),
            next_client: 2,
            link,
            watch: Watch::default(),
            world: World::new(Instant::now(), rights, token),
            sender,
            receiver,
            is_looking: false,
            doubtful: None,
        })
    }

    /// What ends the thread: the flag, then the waker.
    pub(crate) fn stopper(&self) -> (Arc<AtomicBool>, Arc<Waker>) {
        (self.stop.clone(), self.waker.clone())
    }

    /// Serves until it is stopped.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut is_busy = false;
        loop {
            let timeout = match () {
                () if is_busy => Duration::ZERO,
                () if self.clients.is_empty() => IDLE,
                () => BUSY,
            };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::warn!(target: "curium", "the monitor ends: {error}");
                    return;
                }
            }
            for event in &events {
                if let Some(client) = self.clients.get_mut(&event.token().0) {
                    client.is_readable |= event.is_readable() || event.is_read_closed();
                    client.is_writable |= event.is_writable() || event.is_write_closed();
                }
            }
            self.world.is_over = self.stop.load(Ordering::Acquire);
            self.world.now = Instant::now();
            self.world.held = self.watch.look(&self.link, self.world.now);
            // Tried each time, because an accept that failed for want of a descriptor has no event.
            self.accept();
            self.receive();
            is_busy = self.serve();
            if self.world.is_over {
                return;
            }
            self.act();
            self.look();
        }
    }

    fn accept(&mut self) {
        while let Ok(mut stream) = self.listener.accept() {
            if self.clients.len() >= CLIENTS {
                let silent = self.clients.iter().min_by_key(|(_, client)| client.last);
                let silent = silent.map(|(token, _)| *token);
                silent.and_then(|token| self.clients.remove(&token));
            }
            let token = Token(self.next_client);
            self.next_client += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, both).is_ok() {
                let (session, last) = (Session::new(), self.world.now);
                // An edge that comes before the first poll is not lost: both are tried at once.
                let client = Client { stream, session, is_readable: true, is_writable: true, last };
                self.clients.insert(token.0, client);
            }
        }
    }

    /// Takes what looks have brought.
    fn receive(&mut self) {
        while let Ok(seen) = self.receiver.try_recv() {
            self.is_looking = false;
            match seen {
                Some(Seen::All(parts, record)) => self.judge(parts.finish(), record),
                Some(Seen::AtRest(at_rest)) => self.publish(at_rest),
                None => {
                    self.publish(false);
                    // Those who wait get an old answer when their patience ends.
                    self.world.is_wanted = false;
                }
            }
        }
        if self.world.held.is_some() {
            // Nothing is confirmed for as long as that poll lasts.
            self.publish(false);
        }
    }

    /// Has the kernel confirm the verdicts, because the parts were not seen at one moment.
    fn judge(&mut self, snapshot: Snapshot, record: Option<FlightRecord>) {
        let graph = snapshot.into_wait_graph();
        let verdicts = graph.verdicts();
        let is_certain = verdicts.is_empty();
        let number = self.world.next - 1;
        let evidence = if is_certain { Vec::new() } else { graph.evidence() };
        self.doubtful = Some(Shot::new(number, self.world.now, graph, record, verdicts));
        if is_certain {
            return self.publish(true);
        }
        let mut reply = self.reply();
        // If the kernel has ended, the reply is dropped and says so.
        let _ = self.link.look(move || {
            reply.fill(Seen::AtRest(kernel::are_unpolled(&evidence)));
        });
    }

    /// Gives the sessions what was seen, without its verdicts if these may not hold.
    fn publish(&mut self, is_certain: bool) {
        let Some(mut shot) = self.doubtful.take() else { return };
        if !is_certain {
            shot.refute();
        }
        self.world.shot = Some(Arc::new(shot));
    }

    fn reply(&mut self) -> Reply {
        self.is_looking = true;
        Reply { seen: None, sender: self.sender.clone(), waker: self.waker.clone() }
    }

    /// Goes on with every client. Returns whether one has more to do at once.
    fn serve(&mut self) -> bool {
        let mut is_busy = false;
        let world = &mut self.world;
        self.clients.retain(|_, client| {
            let progress = client.go_on(world);
            is_busy |= matches!(progress, Ok(true));
            progress.is_ok() && !client.session.is_over()
        });
        is_busy
    }

    fn act(&mut self) {
        for act in self.world.acts.drain(..) {
            let done = match act {
                Act::Cancel(task) => self.link.request_cancel(task).map_err(io::Error::other),
                Act::Signal(signal) => signals::send(signal),
            };
            if let Err(error) = done {
                tracing::warn!(target: "curium", "the monitor could not do {act:?}: {error}");
            }
        }
    }

    /// Looks at the kernel, if a session wants it.
    fn look(&mut self) {
        if !self.world.is_wanted || self.is_looking {
            return;
        }
        self.world.is_wanted = false;
        self.world.next += 1;
        let recorded = std::mem::take(&mut self.world.is_record_wanted);
        let reply = self.reply();
        take_part(&self.link, None, recorded, reply);
    }
}

/// Has the kernel take the next part of a snapshot, and then the others. `recorded`: and then the
/// record of the flight recorder.
fn take_part(link: &Link, parts: Option<SnapshotParts>, recorded: bool, mut reply: Reply) {
    let again = link.clone();
    // If the kernel has ended, the reply is dropped and says so.
    let _ = link.look(move || {
        let mut parts = parts.unwrap_or_else(SnapshotParts::begin);
        if parts.take(PART) {
            let record = recorded.then(kernel::flight_record).flatten();
            reply.fill(Seen::All(Box::new(parts), record));
        } else {
            take_part(&again, Some(parts), recorded, reply);
        }
    });
}

impl Client {
    /// Reads, answers and writes until nothing more can be done now. Returns whether it has had its
    /// turn and more is to be done; an error closes the connection.
    fn go_on(&mut self, world: &mut World) -> io::Result<bool> {
        for _ in 0..STEPS {
            self.session.step(world);
            if !(self.write(world)? || self.read(world)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes some of the output. Returns whether it did.
    fn write(&mut self, world: &World) -> io::Result<bool> {
        if !self.is_writable || self.session.output().is_empty() {
            return Ok(false);
        }
        let done = self.stream.write(self.session.output());
        let bytes = ready(done, &mut self.is_writable)?;
        if let Some(bytes) = bytes {
            self.session.wrote(bytes);
            self.last = world.now;
        }
        Ok(bytes.is_some())
    }

    fn read(&mut self, world: &World) -> io::Result<bool> {
        if !self.is_readable || !self.session.wants_input() {
            return Ok(false);
        }
        let mut buffer = [0; 4096];
        let done = self.stream.read(&mut buffer);
        let bytes = ready(done, &mut self.is_readable)?;
        match bytes {
            Some(0) => self.session.end_input(),
            Some(bytes) => self.session.feed(&buffer[..bytes]),
            None => return Ok(false),
        }
        self.last = world.now;
        Ok(true)
    }
}

/// The number of bytes. None: the stream is not ready, and the flag is cleared.
fn ready(done: io::Result<usize>, is_ready: &mut bool) -> io::Result<Option<usize>> {
    match done {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            *is_ready = false;
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
