//! The echo server on mio alone: the least work of an edge-triggered server.
//!
//! No allocation and no registration after a connection is accepted. A short read has taken all
//! bytes, so no other read follows it. Closing takes a socket out of the poll.

use std::io::{self, Read, Write};
use std::net;
use std::ops::Range;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::BUFFER;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// What was read and has not been written.
    unsent: Range<usize>,
    /// Registered for write events, at the first write that would block.
    tells_room: bool,
}

pub(super) fn serve(listener: net::TcpListener) -> io::Result<()> {
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(512);
    let mut connections = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut connections)?;
                continue;
            }
            let Token(place) = event.token();
            if let Some(connection) = connections.get_mut(place) {
                match connection.serve(event, poll.registry()) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => drop(connections.remove(place)),
                }
            }
        }
    }
}

/// One socket, which is read until nothing is left.
pub(super) fn echo_datagrams(socket: net::UdpSocket) -> io::Result<()> {
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(8);
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        loop {
            match socket.recv_from(&mut buffer) {
                // There is room: fewer are under way than the socket holds.
                Ok((n, peer)) => socket.send_to(&buffer[..n], peer)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _peer)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        entry.insert(Connection { stream, buffer, unsent: 0..0, tells_room: false });
    }
}

impl Connection {
    /// Moves the bytes that can be moved. False at the end of the stream.
    fn serve(&mut self, event: &Event, registry: &Registry) -> io::Result<bool> {
        let token = event.token();
        loop {
            if !self.send()? {
                if !self.tells_room {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    registry.reregister(&mut self.stream, token, both)?;
                    self.tells_room = true;
                }
                return Ok(true);
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.unsent = 0..n;
                    // No further event comes for a stream that has already ended.
                    if n < BUFFER && !event.is_read_closed() && self.send()? {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// True if everything has been written.
    fn send(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.buffer[self.unsent.clone()]) {
                Ok(n) => self.unsent.start += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
