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
    /// The core that accepts.
    acceptor: Option<usize>,
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
    /// Takes part in the server with that name. Two servers of one core with the same name are
    /// different ones.
    pub(super) fn enter(
        &self,
        (name, balance): (String, Balance),
        core: usize,
        limit: usize,
    ) -> Arc<Door> {
        let mut doors = lock(&self.0);
        let known =
            |door: &&Arc<Door>| door.name == name && door.balance == balance && !door.has(core);
        let door = doors.iter().find(known).cloned().unwrap_or_else(|| {
            let door = Arc::new(Door { name, balance, state: Mutex::default() });
            doors.push(door.clone());
            door
        });
        door.add(core, limit);
        door
    }

    /// Takes part no more. The connections that wait for this core are closed.
    pub(super) fn leave(&self, door: &Arc<Door>, core: usize) {
        let mut doors = lock(&self.0);
        let (left, is_last) = door.remove(core);
        if is_last {
            doors.retain(|other| !Arc::ptr_eq(other, door));
        }
        drop(doors);
        drop(left);
    }
}

impl Door {
    fn has(&self, core: usize) -> bool {
        lock(&self.state).seats.iter().any(|seat| seat.core == core)
    }

    fn add(&self, core: usize, limit: usize) {
        let mut state = lock(&self.state);
        let at = state.seats.partition_point(|seat| seat.core < core);
        let (waiting, waker) = Default::default();
        let place = Place { core, limit, open: 0, waiting, is_closed: false, waker };
        state.seats.insert(at, place);
        state.wake_acceptor();
    }

    fn remove(&self, core: usize) -> (Option<Place>, bool) {
        let mut state = lock(&self.state);
        let at = state.seats.iter().position(|seat| seat.core == core);
        let left = at.map(|at| state.seats.remove(at));
        state.resign(core);
        (left, state.seats.is_empty())
    }

    /// The next connection for a core, or what else it has to do.
    pub(super) fn poll_next(&self, core: usize, waker: &Waker) -> Poll<io::Result<Next>> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let (failed, unmanned) = (state.failure.clone(), state.acceptor.is_none());
        let Some(seat) = state.seats.iter_mut().find(|seat| seat.core == core) else {
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
            state.acceptor = Some(core);
            return Poll::Ready(Ok(Next::Accept));
        }
        let old = seat.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Gives a connection to the core that the balance chooses, as soon as that has room.
    pub(super) fn poll_give(
        &self,
        connection: &mut Option<(TcpStream, SocketAddr)>,
        waker: &Waker,
    ) -> Poll<()> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let Some((_, peer)) = connection else { return Poll::Ready(()) };
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
        Poll::Ready(())
    }

    /// A connection of a core has ended.
    pub(super) fn ended(&self, core: usize) {
        let mut state = lock(&self.state);
        if let Some(seat) = state.seats.iter_mut().find(|seat| seat.core == core) {
            seat.open = seat.open.saturating_sub(1);
        }
        state.wake_acceptor();
    }

    /// The core takes no further connections.
    pub(super) fn close(&self, core: usize) {
        let mut state = lock(&self.state);
        let seat = state.seats.iter_mut().find(|seat| seat.core == core);
        let woken = seat.and_then(|seat| {
            seat.is_closed = true;
            seat.waker.take()
        });
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_closed(&self, core: usize) -> bool {
        let state = lock(&self.state);
        state.seats.iter().any(|seat| seat.core == core && seat.is_closed)
    }

    /// `accept` has failed for good.
    pub(super) fn fail(&self, error: &io::Error) {
        let mut state = lock(&self.state);
        state.failure = Some((error.kind(), error.to_string()));
        state.wake_seats();
    }

    /// Binds one of the addresses, or the one that another core has bound. One core after the
    /// other, so that all have the same port if the system chooses it.
    pub(super) fn bind(
        &self,
        addresses: &[SocketAddr],
        options: &TcpOptions,
    ) -> io::Result<TcpListener> {
        let mut state = lock(&self.state);
        let listener = match state.address {
            Some(bound) => bind_any(&[bound], options)?,
            None => bind_any(addresses, options)?,
        };
        state.address = Some(listener.local_addr()?);
        Ok(listener)
    }
}

impl State {
    /// The place of the core that gets the connection of that peer, if it has room.
    fn choose(&self, balance: Balance, peer: SocketAddr) -> Option<usize> {
        let count = self.seats.len();
        let has_room = |at: &usize| self.seats[*at].open < self.seats[*at].limit;
        if count == 0 {
            return None;
        }
        if balance == Balance::PeerPort {
            return Some(usize::from(peer.port()) % count).filter(has_room);
        }
        let in_turn = (0..count).map(|nth| (self.turn + nth) % count);
        in_turn.filter(has_room).min_by_key(|at| self.seats[*at].open)
    }

    fn resign(&mut self, core: usize) {
        if self.acceptor == Some(core) {
            self.acceptor = None;
            self.wake_seats();
        }
    }

    fn wake_acceptor(&mut self) {
        self.waits_for_room.take().into_iter().for_each(Waker::wake);
    }

    fn wake_seats(&mut self) {
        let wakers = self.seats.iter_mut().filter_map(|seat| seat.waker.take());
        wakers.for_each(Waker::wake);
    }
}
