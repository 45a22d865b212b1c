//! A core that takes part in a server over cores.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use kernel::{CancelPoint, Core, GroupRef};

use crate::address::{Target, addresses_of};
use crate::cores::Balance;
use crate::cores::door::{Door, Doors, Next};
use crate::listener::TcpListener;
use crate::options::TcpOptions;
use crate::serve::OnListening;
use crate::server::Listener;
use crate::stream::TcpStream;

/// See the module. `Drop` leaves the server.
pub(super) struct Seat {
    core: Core,
    doors: Arc<Doors>,
    door: Arc<Door>,
    /// The place at the door.
    place: u64,
    balance: Balance,
    target: Cell<Option<Target>>,
    /// The listener of this core, while it accepts.
    listener: RefCell<Option<Rc<TcpListener>>>,
    /// Of the tasks beside the server.
    group: OnceCell<GroupRef<io::Error>>,
    on_listening: Cell<Option<OnListening>>,
}

/// A connection of this core, which counts as open until it is dropped.
pub(super) struct Handed {
    pub(super) stream: TcpStream,
    pub(super) open: Option<Open>,
}

pub(super) struct Open {
    door: Arc<Door>,
    place: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.door.ended(self.place);
    }
}

impl Seat {
    pub(super) fn take(core: &Core, target: Target, balance: Balance, limit: usize) -> Rc<Self> {
        let doors = core.common::<Doors>();
        let (door, place) = doors.enter((format!("{target:?}"), balance), core.index(), limit);
        let (core, target, listener) = (core.clone(), Cell::new(Some(target)), RefCell::default());
        let (group, on_listening) = Default::default();
        Rc::new(Seat { core, doors, door, place, balance, target, listener, group, on_listening })
    }

    /// Begins to take part. `group` is that of the tasks beside the server.
    pub(super) async fn begin(
        self: &Rc<Self>,
        group: GroupRef<io::Error>,
        on_listening: Option<OnListening>,
    ) -> io::Result<()> {
        self.on_listening.set(on_listening);
        let _ = self.group.set(group);
        if self.balance == Balance::ReusePort {
            self.bind().await?;
        }
        let seat = self.clone();
        group.spawn_daemon(async move {
            seat.core.stopping().await?;
            seat.close();
            Ok(())
        });
        Ok(())
    }

    /// Takes no further connections. Those that wait are served, as far as there is room.
    fn close(&self) {
        self.door.close(self.place);
        if let Some(listener) = &*self.listener.borrow() {
            listener.close();
        }
    }

    /// Takes part no more.
    fn leave(&self) {
        // Before another core learns that it has to bind the address.
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.doors.leave(&self.door, self.place);
    }

    /// Binds the address, or the one that another core has bound. `None`: this core takes part no
    /// more.
    async fn bind(&self) -> io::Result<Option<Rc<TcpListener>>> {
        let addresses = match self.target.take() {
            Some(target) => addresses_of(target).await?,
            None => Vec::new(),
        };
        let shares = self.balance == Balance::ReusePort;
        let options = TcpOptions::new().reuse_port(shares);
        let Some((listener, first)) = self.door.bind(self.place, &addresses, &options)? else {
            return Ok(None);
        };
        let listener = Rc::new(listener);
        if self.core.is_stopping() {
            // The task that closes it has not run yet.
            listener.close();
        } else {
            first.into_iter().for_each(|address| self.say(address));
        }
        *self.listener.borrow_mut() = Some(listener.clone());
        Ok(Some(listener))
    }

    /// Says where the server listens. In a task of its own, because nobody would accept any more
    /// after a panic of the one that does.
    fn say(&self, address: SocketAddr) {
        if let (Some(call), Some(group)) = (self.on_listening.take(), self.group.get()) {
            group.spawn_daemon(async move {
                call(address);
                Ok(())
            });
        }
    }

    /// Begins to accept for all cores, in a task beside the server.
    fn accept_for_all(self: &Rc<Self>) {
        let seat = self.clone();
        let group = self.group.get().expect("the server has begun");
        group.spawn_daemon(async move {
            match seat.accept_until_closed().await {
                Err(error) if kernel::cancelled(&error).is_some() => Err(error),
                // The servers of all cores return it.
                Err(error) if !seat.is_closed() => {
                    seat.doors.fail(&seat.door, &error);
                    Ok(())
                }
                _ => Ok(()),
            }
        });
    }

    async fn accept_until_closed(&self) -> io::Result<()> {
        let Some(listener) = self.bind().await? else { return Ok(()) };
        loop {
            let mut connection = Some(listener.accept().await?);
            let mut point = CancelPoint::new("CORES_ROOM");
            let give = |cx: &mut Context<'_>| {
                point.poll(cx, |cx| self.door.poll_give(self.place, &mut connection, cx.waker()))
            };
            if !poll_fn(give).await? {
                return Ok(());
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The server, and the tasks beside it, share the seat.
impl Listener for Rc<Seat> {
    type Stream = Handed;
    type Address = SocketAddr;

    async fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> io::Result<(Handed, SocketAddr)> {
        let own = self.listener.borrow().clone().filter(|_| self.balance == Balance::ReusePort);
        if let Some(own) = own {
            let (stream, peer) = own.accept_at(site).await?;
            return Ok((Handed { stream, open: None }, peer));
        }
        loop {
            let mut point = CancelPoint::at("ACCEPT", site);
            let next = |cx: &mut Context<'_>| {
                point.poll(cx, |cx| self.door.poll_next(self.place, cx.waker()))
            };
            match poll_fn(next).await?? {
                Next::Stream(stream, peer) => {
                    let open = Some(Open { door: self.door.clone(), place: self.place });
                    return Ok((Handed { stream, open }, peer));
                }
                Next::Accept => self.accept_for_all(),
                Next::Closed => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    async fn closed_at(&self, _: &'static Location<'static>) -> io::Result<()> {
        self.core.stopping().await?;
        Err(io::ErrorKind::NotConnected.into())
    }

    fn is_closed(&self) -> bool {
        self.core.is_stopping() || self.door.is_closed(self.place)
    }

    fn stopped(&self) -> Duration {
        self.leave();
        // At a stop, the time of the cores ends the drain.
        if self.core.is_stopping() { Duration::MAX } else { Duration::ZERO }
    }
}
