//! The thread of the monitor: it serves every client, and asks the kernels by looks.
//!
//! It never waits for a kernel, and never for a client. What it has asked for comes through a
//! channel, and wakes the poll.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use kernel::Link;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::attached::warn;
use crate::known::Known;
use crate::listen::{Listener, Stream};
use crate::session::Session;
use crate::signals;
use crate::watched::{Brought, Watched, Way};
use crate::world::{Act, Rights, World};

/// The most clients at a time. One more takes the place of the one that was silent for longest.
const CLIENTS: usize = 128;

/// How often the thread looks at the kernel's mark while it has no client.
const IDLE: Duration = Duration::from_millis(500);

/// The same while it has one.
const BUSY: Duration = Duration::from_millis(50);

/// The most steps for one client before the others have their turn.
const STEPS: usize = 32;

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

/// What happens to the kernels.
pub(crate) enum News {
    Began(Link),
    /// The kernel of that number has ended, and others go on.
    Ended(usize),
}

/// The number of a kernel: that of its core.
pub(crate) fn number_of(link: &Link) -> usize {
    link.core().unwrap_or(0)
}

/// What ends the thread: the flag, then the waker. And what brings it news: the sender, then the
/// waker.
pub(crate) struct Strings {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) news: Sender<News>,
    pub(crate) waker: Arc<Waker>,
}

pub(crate) struct Server {
    poll: Poll,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    listener: Listener,
    clients: BTreeMap<usize, Client>,
    next_client: usize,
    /// The kernels, by number.
    kernels: BTreeMap<usize, Watched>,
    news: (Sender<News>, Receiver<News>),
    world: World,
    way: Way,
    brought: Receiver<Brought>,
}

impl Server {
    pub(crate) fn new(mut listener: Listener, rights: Rights, token: String) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (sender, brought) = channel();
        Ok(Server {
            poll,
            way: Way { sender, waker: waker.clone() },
            waker,
            stop: Arc::default(),
            listener,
            clients: BTreeMap::new(),
            next_client: 2,
            kernels: BTreeMap::new(),
            news: channel(),
            world: World::new(Instant::now(), rights, token),
            brought,
        })
    }

    pub(crate) fn strings(&self) -> Strings {
        let news = self.news.0.clone();
        Strings { stop: self.stop.clone(), news, waker: self.waker.clone() }
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
                    warn(&format!("the monitor ends: {error}"));
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
            self.hear();
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

    /// Takes the news, and looks at the marks.
    fn hear(&mut self) {
        while let Ok(news) = self.news.1.try_recv() {
            match news {
                News::Began(link) => self.add(link),
                News::Ended(number) => {
                    self.kernels.remove(&number);
                    let known = self.world.kernels.get_mut(&number);
                    if let Some(Known { shot, held, has_ended, .. }) = known {
                        (*shot, *held, *has_ended) = (None, None, true);
                    }
                }
            }
        }
        let now = self.world.now;
        self.each(|watched, known| watched.look_at_mark(known, now));
    }

    /// Acts on each kernel that has not ended, with what is known of it.
    fn each(&mut self, mut act: impl FnMut(&mut Watched, &mut Known)) {
        for (number, watched) in &mut self.kernels {
            if let Some(known) = self.world.kernels.get_mut(number) {
                act(watched, known);
            }
        }
    }

    pub(crate) fn add(&mut self, link: Link) {
        let (number, core) = (number_of(&link), link.core());
        let mut watched = Watched::new(link, number, self.way.clone());
        if self.world.next > 1 {
            // Who has asked before it began waits for it, too.
            watched.want(self.world.next - 1, self.world.record_wanted.is_some());
        }
        self.kernels.insert(number, watched);
        self.world.kernels.insert(number, Known::of(core));
    }

    /// Takes what looks have brought.
    fn receive(&mut self) {
        while let Ok((number, seen)) = self.brought.try_recv() {
            let known = self.world.kernels.get_mut(&number);
            if let (Some(watched), Some(known)) = (self.kernels.get_mut(&number), known) {
                watched.receive(seen, known, self.world.now);
            }
        }
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
        world.record_wanted =
            self.clients.values().filter_map(|it| it.session.record_wanted()).max();
        if world.record_wanted.is_none() {
            world.kernels.values_mut().for_each(|known| known.record = None);
        }
        is_busy
    }

    fn act(&mut self) {
        for act in self.world.acts.drain(..) {
            let done = match act {
                Act::Cancel(kernel, task) => match self.kernels.get(&kernel) {
                    Some(watched) => watched.link.request_cancel(task).map_err(io::Error::other),
                    // It has ended, and its tasks with it.
                    None => Ok(()),
                },
                Act::Signal(signal) => signals::send(signal),
            };
            if let Err(error) = done {
                warn(&format!("the monitor could not do {act:?}: {error}"));
            }
        }
    }

    /// Looks at the kernels, if a session wants it.
    fn look(&mut self) {
        if std::mem::take(&mut self.world.is_wanted) {
            let number = self.world.next;
            self.world.next += 1;
            let record = self.world.record_wanted;
            self.each(|watched, known| watched.want(number, known.lacks_record(record)));
        }
        let now = self.world.now;
        self.each(|watched, known| watched.look(known, now));
    }
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
