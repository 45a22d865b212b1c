//! The door of a server over cores: who takes part, and which connections wait for whom.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::cores::Balance;
use crate::listener::{TcpListener, bind_any};
use crate::options::TcpOptions;
use crate::stream::TcpStream;

/// The doors of the servers that run on these cores.
#[derive(Default)]
pub(super) struct Doors(Mutex<Vec<Arc<Door>>>);

/// One server, on all cores that take part.
pub(super) struct Door {
    /// The address as the program has given it.
    name: String,
    balance: Balance,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of the cores.
    seats: Vec<Place>,
    /// The place that accepts.
    acceptor: Option<u64>,
    /// The places that there were.
    entered: u64,
    /// What the acceptor waits with, until a core has room for one more connection.
    waits_for_room: Option<Waker>,
    /// The core that is next among equals.
    turn: usize,
    /// The address that was bound first, for every further listener.
    address: Option<SocketAddr>,
    /// The lasting error of `accept`, for all cores.
    failure: Option<(io::ErrorKind, String)>,
}

/// A core that takes part.
struct Place {
    /// A core that leaves and comes back has another place.
    id: u64,
    core: usize,
    limit: usize,
    /// The connections that it has, those that wait among them.
    open: usize,
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    is_closed: bool,
    waker: Option<Waker>,
}

/// What a core gets.
pub(super) enum Next {
    Stream(TcpStream, SocketAddr),
    /// It has to accept for all.
    Accept,
    /// It is closed, and no connection waits any more.
    Closed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Doors {
    /// Takes part in the server with that name, in the place that is returned. Two servers of one
    /// core with the same name are different ones.
    pub(super) fn enter(
        &self,
        (name, balance): (String, Balance),
        core: usize,
        limit: usize,
    ) -> (Arc<Door>, u64) {
        let mut doors = lock(&self.0);
        let known =
            |door: &&Arc<Door>| door.name == name && door.balance == balance && !door.has(core);
        let door = doors.iter().find(known).cloned().unwrap_or_else(|| {
            let door = Arc::new(Door { name, balance, state: Mutex::default() });
            doors.push(door.clone());
            door
        });
        let (place, woken) = door.add(core, limit);
        drop(doors);
        wake(woken);
        (door, place)
    }

    /// Leaves a place. The connections that wait for it are closed.
    pub(super) fn leave(&self, door: &Arc<Door>, place: u64) {
        let mut doors = lock(&self.0);
        let (left, is_empty, woken) = door.remove(place);
        if is_empty {
            doors.retain(|other| !Arc::ptr_eq(other, door));
        }
        drop(doors);
        drop(left);
        wake(woken);
    }

    /// `accept` has failed for good: all places of the door learn it, and a server that begins
    /// later has another door.
    pub(super) fn fail(&self, door: &Arc<Door>, error: &io::Error) {
        lock(&self.0).retain(|other| !Arc::ptr_eq(other, door));
        let mut state = lock(&door.state);
        state.failure = Some((error.kind(), error.to_string()));
        let woken = state.take_wakers();
        drop(state);
        wake(woken);
    }
}

/// Called without a lock, because a waker may run code of the program.
fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

impl Door {
    fn has(&self, core: usize) -> bool {
        lock(&self.state).seats.iter().any(|seat| seat.core == core)
    }

    fn add(&self, core: usize, limit: usize) -> (u64, Vec<Waker>) {
        let mut state = lock(&self.state);
        state.entered += 1;
        let (id, at) = (state.entered, state.seats.partition_point(|seat| seat.core < core));
        let (waiting, waker) = Default::default();
        let place = Place { id, core, limit, open: 0, waiting, is_closed: false, waker };
        state.seats.insert(at, place);
        (id, state.waits_for_room.take().into_iter().collect())
    }

    fn remove(&self, place: u64) -> (Option<Place>, bool, Vec<Waker>) {
        let mut state = lock(&self.state);
        let at = state.seats.iter().position(|seat| seat.id == place);
        let left = at.map(|at| state.seats.remove(at));
        // Another core has to accept, or the connection that waits for room has another place.
        state.acceptor.take_if(|acceptor| *acceptor == place);
        let woken = state.take_wakers();
        (left, state.seats.is_empty(), woken)
    }

    /// The next connection for a place, or what else it has to do.
    pub(super) fn poll_next(&self, place: u64, waker: &Waker) -> Poll<io::Result<Next>> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let (failed, unmanned) = (state.failure.clone(), state.acceptor.is_none());
        let Some(seat) = state.seats.iter_mut().find(|seat| seat.id == place) else {
            return Poll::Ready(Ok(Next::Closed));
        };
        if let Some((stream, peer)) = seat.waiting.pop_front() {
            return Poll::Ready(Ok(Next::Stream(stream, peer)));
        }
        if seat.is_closed {
            return Poll::Ready(Ok(Next::Closed));
        }
        if let Some((kind, text)) = failed {
            return Poll::Ready(Err(io::Error::new(kind, text)));
        }
        if unmanned && self.balance != Balance::ReusePort {
            state.acceptor = Some(place);
            return Poll::Ready(Ok(Next::Accept));
        }
        let old = seat.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Gives a connection to the core that the balance chooses, as soon as that has room. False:
    /// the place of the acceptor is closed, and the connection is left.
    pub(super) fn poll_give(
        &self,
        place: u64,
        connection: &mut Option<(TcpStream, SocketAddr)>,
        waker: &Waker,
    ) -> Poll<bool> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let Some((_, peer)) = connection.as_ref().filter(|_| state.is_open(place)) else {
            return Poll::Ready(false);
        };
        let Some(at) = state.choose(self.balance, *peer) else {
            let old = state.waits_for_room.replace(waker);
            drop(state);
            drop(old);
            return Poll::Pending;
        };
        state.turn = at + 1;
        let seat = &mut state.seats[at];
        seat.open += 1;
        seat.waiting.extend(connection.take());
        let woken = seat.waker.take();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Poll::Ready(true)
    }

    /// A connection of a place has ended.
    pub(super) fn ended(&self, place: u64) {
        let mut state = lock(&self.state);
        if let Some(seat) = state.seats.iter_mut().find(|seat| seat.id == place) {
            seat.open = seat.open.saturating_sub(1);
        }
        let woken = state.waits_for_room.take();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The place takes no further connections.
    pub(super) fn close(&self, place: u64) {
        let mut state = lock(&self.state);
        if let Some(seat) = state.seats.iter_mut().find(|seat| seat.id == place) {
            seat.is_closed = true;
        }
        let woken = state.take_wakers();
        drop(state);
        wake(woken);
    }

    /// Whether the place is closed, or was left.
    pub(super) fn is_closed(&self, place: u64) -> bool {
        !lock(&self.state).is_open(place)
    }

    /// Binds one of the addresses, or the one that another core has bound. One core after the
    /// other, so that all have the same port if the system chooses it. Gives the address if it is
    /// the first time. `None`: the place is closed or was left, perhaps while the name was looked
    /// up. Another core may accept by then.
    pub(super) fn bind(
        &self,
        place: u64,
        addresses: &[SocketAddr],
        options: &TcpOptions,
    ) -> io::Result<Option<(TcpListener, Option<SocketAddr>)>> {
        let mut state = lock(&self.state);
        if !state.is_open(place) {
            return Ok(None);
        }
        if let Some(bound) = state.address {
            return Ok(Some((bind_any(&[bound], options)?, None)));
        }
        let listener = bind_any(addresses, options)?;
        state.address = Some(listener.local_addr()?);
        Ok(Some((listener, state.address)))
    }
}

impl State {
    fn is_open(&self, place: u64) -> bool {
        self.seats.iter().any(|seat| seat.id == place && !seat.is_closed)
    }

    /// The place of the core that gets the connection of that peer, if it has room.
    fn choose(&self, balance: Balance, peer: SocketAddr) -> Option<usize> {
        let count = self.seats.len();
        let has_room = |at: &usize| {
            let seat = &self.seats[*at];
            !seat.is_closed && seat.open < seat.limit
        };
        if count == 0 {
            return None;
        }
        if balance == Balance::PeerPort {
            return Some(usize::from(peer.port()) % count).filter(has_room);
        }
        let in_turn = (0..count).map(|nth| (self.turn + nth) % count);
        in_turn.filter(has_room).min_by_key(|at| self.seats[*at].open)
    }

    /// Those of all that wait.
    fn take_wakers(&mut self) -> Vec<Waker> {
        let seats = self.seats.iter_mut().filter_map(|seat| seat.waker.take());
        seats.chain(self.waits_for_room.take()).collect()
    }
}
