//! Chat rooms over TCP.
//!
//! The first line of a client is the name of a room, every other line a message to all in the room.
//! A room keeps its last 16 messages for readers that are behind, and no writer ever waits for a
//! reader. The rule for slow readers: one that has not taken a message within 10 seconds, or has
//! missed one, is disconnected.
//!
//! `chat ADDRESS` serves until it is killed; `nc` is a client for it. Without an address it serves
//! clients of its own, on the virtual clock, and ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use curium::io::{BufReader, WriteExt};
use curium::net::{ReadHalf, WriteHalf};
use curium::prelude::*;
use curium::sync::broadcast::{Receiver, Sender, broadcast};
use curium::{Kernel, race};

const KEPT: usize = 16;
const SLOW: Duration = Duration::from_secs(10);

type Rooms = RefCell<HashMap<String, Sender<Rc<str>>>>;

/// The two ends of a room, which is opened by the first to enter and closed by the last to leave.
fn enter(rooms: &Rooms, name: &str) -> (Sender<Rc<str>>, Receiver<Rc<str>>) {
    let mut rooms = rooms.borrow_mut();
    rooms.retain(|_, room| room.statistics().receivers > 0);
    match rooms.get(name) {
        Some(room) => (room.clone(), room.subscribe()),
        None => {
            let (room, receiver) = broadcast(KEPT);
            rooms.insert(name.to_owned(), room.clone());
            (room, receiver)
        }
    }
}

async fn speak(mut reader: BufReader<ReadHalf<'_>>, room: Sender<Rc<str>>) -> io::Result<()> {
    let mut line = String::new();
    while reader.read_line(&mut line).await? > 0 {
        // It is refused only without receivers, and this client has one.
        let _ = room.send(line.as_str().into());
        line.clear();
    }
    Ok(())
}

async fn listen(writer: WriteHalf<'_>, mut room: Receiver<Rc<str>>) -> io::Result<()> {
    loop {
        let message = room.recv().await?.map_err(io::Error::other)?;
        match timeout_after(SLOW, writer.write_all(message.as_bytes())).await {
            Ok(written) => written?,
            Err(TaskTimeout { .. }) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Serves a client until it leaves, or is slow.
async fn converse(rooms: &Rooms, mut stream: TcpStream) -> io::Result<()> {
    let (reads, writer) = stream.split();
    let mut reader = BufReader::new(reads);
    let mut name = String::new();
    reader.read_line(&mut name).await?;
    let (sender, receiver) = enter(rooms, name.trim_end());
    race((speak(reader, sender), listen(writer, receiver))).await?.first
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let rooms = Rc::new(Rooms::default());
    // An error of a handler is reported, and ends this connection alone.
    listener.serve(async move |stream, _peer| converse(&rooms, stream).await).await
}

/// A client of the demonstration.
struct Guest(BufReader<TcpStream>, &'static str);

impl Guest {
    /// A guest is in its room when it has got its own first message.
    async fn enter(address: SocketAddr, room: &str, name: &'static str) -> io::Result<Self> {
        let mut guest = Guest(BufReader::new(TcpStream::connect(address).await?), name);
        guest.0.write_all(format!("{room}\n").as_bytes()).await?;
        guest.say("hello").await?;
        guest.hear().await?;
        Ok(guest)
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        Ok(self.0.write_all(format!("{}: {text}\n", self.1).as_bytes()).await?)
    }

    async fn hear(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        println!("{} hears {}", self.1, line.trim_end());
        Ok(())
    }
}

/// Writes until a guest that does not read has been disconnected.
async fn outrun(address: SocketAddr) -> io::Result<()> {
    let mut slow = Guest::enter(address, "runtimes", "Slow").await?;
    let mut fast = Guest::enter(address, "runtimes", "Fast").await?;
    let long = "x".repeat(64 * 1024);
    // More than the buffers of the system hold.
    for _ in 0..300 {
        fast.say(&long).await?;
        let mut line = String::new();
        fast.0.read_line(&mut line).await?;
        assert!(line.starts_with("Fast"));
    }
    sleep(SLOW).await?;
    let mut line = String::new();
    // What the system holds is read, and then the end, or an error if there was more.
    while matches!(slow.0.read_line(&mut line).await, Ok(1..)) {
        line.clear();
    }
    println!("Slow is disconnected, and Fast has missed nothing");
    Ok(())
}

async fn demo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    TaskGroup::scope(async |g| {
        g.spawn_daemon(serve(listener));
        let mut ann = Guest::enter(address, "runtimes", "Ann").await?;
        let mut bob = Guest::enter(address, "runtimes", "Bob").await?;
        let mut eve = Guest::enter(address, "locks", "Eve").await?;
        ann.hear().await?; // Bob's hello; Eve is in another room
        ann.say("what is a cancellation?").await?;
        bob.hear().await?;
        bob.say("an error at an await point").await?;
        ann.hear().await?;
        ann.hear().await?;
        eve.say("is this room empty?").await?;
        eve.hear().await?;
        drop((ann, bob));
        outrun(address).await
    })
    .await
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        None => Kernel::builder().virtual_clock().run(demo),
        Some(address) => run(async || serve(TcpListener::bind(&address).await?).await),
    }
}
