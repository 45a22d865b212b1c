//! Every schedule of small programs over a connection in memory, with a cancel at every moment
//! (V4).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::io::{BufReader, DuplexStream, ReadExt, WriteExt, duplex};
use curium::kernel::{TaskCancelled, cancelled, spawn, testing};
use curium::net::simulated::{SimulatedNet, SimulatedNetExt};
use curium::net::{TcpListener, TcpStream};

use crate::explored::{Ended, assert_complete, members};

/// Both ends of a connection, what was written to one and what was read from the other.
struct Ends {
    writer: RefCell<Option<DuplexStream>>,
    reader: RefCell<Option<BufReader<DuplexStream>>>,
    written: RefCell<Vec<u8>>,
    read: RefCell<Vec<u8>>,
}

impl Ends {
    fn new(capacity: usize) -> Rc<Self> {
        let (writer, reader) = duplex(capacity);
        let (written, read) = Default::default();
        let writer = RefCell::new(Some(writer));
        let reader = RefCell::new(Some(BufReader::with_capacity(2, reader)));
        Rc::new(Ends { writer, reader, written, read })
    }

    /// Writes, and ends the stream also when it is cancelled.
    async fn write(self: Rc<Self>, bytes: &'static [u8]) -> Ended {
        let mut writer = self.writer.take().expect("one task writes");
        let written = writer.write_all(bytes).await;
        let count = written.as_ref().map_or_else(|error| error.written, |()| bytes.len());
        self.written.borrow_mut().extend(&bytes[..count]);
        drop(writer);
        ended(written)
    }

    /// Reads lines to the end of the stream. When it is cancelled, another call goes on.
    async fn read(self: Rc<Self>) -> Ended {
        let mut reader = self.reader.take().expect("one task reads");
        let mut line = String::new();
        let mut end = Ok(());
        loop {
            match reader.read_line(&mut line).await {
                Ok(0) => break,
                Ok(_) => self.read.borrow_mut().extend(std::mem::take(&mut line).into_bytes()),
                Err(error) => end = ended(Err::<(), _>(error)),
            }
        }
        end
    }

    async fn check(&self) {
        if let Some(mut reader) = self.reader.take() {
            drop(self.writer.take());
            let mut read = self.read.take();
            reader.read_to_end(&mut read).await.unwrap();
            self.read.replace(read);
        }
        assert_eq!(*self.read.borrow(), *self.written.borrow());
    }
}

/// An end that is cancelled, or ended well. A stream whose other end is gone is well, too.
fn ended<T>(result: Result<T, impl Into<io::Error>>) -> Ended {
    let Err(error) = result else { return Ok(()) };
    let error = error.into();
    match cancelled(&error) {
        Some(cancelled) => Err(cancelled.clone()),
        None if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        None => panic!("{error}"),
    }
}

/// V4, I2, I3: a writer and a reader of lines, with room for one byte, for two, and for all.
#[test]
fn a_connection_in_memory_loses_no_byte() {
    for (capacity, schedules) in [(1, 47), (2, 23), (8, 11)] {
        assert_complete(schedules, async || {
            let ends = Ends::new(capacity);
            let (writer, reader) = (ends.clone(), ends.clone());
            members(
                |g| {
                    g.spawn(writer.write(b"ab\nc"));
                    g.spawn(reader.read());
                },
                || (),
            )
            .await?;
            ends.check().await;
            Ok(())
        });
    }
}

/// V2, V3, N4: every order of a server and a client on the simulated network, with a cancel of one
/// of them at every moment. Undisturbed, the server reads what the client has written.
#[test]
fn a_simulated_connection_is_explored() {
    let undisturbed = Rc::new(Cell::new(0));
    let explored = testing::explore().cancels(1).with_builder(|builder| builder.simulated_net());
    let explored = explored.run(async || {
        let server = SimulatedNet::current().host("server");
        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await.unwrap();
        let address = (server.ip(), 80);
        let served = spawn(async move {
            let stream = listener.accept().await?.0;
            drop(listener);
            let mut buf = [0; 3];
            let read = stream.read(&mut buf).await?;
            assert_eq!(&buf[..read], &b"ab"[..read]);
            Ok::<_, io::Error>(read)
        });
        let client = spawn(async move { TcpStream::connect(address).await?.write(b"ab").await });
        let ended = [client.join().await?, served.join().await?].map(|end| matches!(end, Ok(2)));
        undisturbed.set(undisturbed.get() + usize::from(ended == [true; 2]));
        Ok::<_, TaskCancelled>(())
    });
    assert!(explored.complete && explored.schedules > 10, "{explored:?}");
    assert!(undisturbed.get() > 0, "no exchange was undisturbed");
}
