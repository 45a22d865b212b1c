//! One connection: commands in, answers and messages out.

use std::io;
use std::rc::Rc;

use curium::io::BufReader;
use curium::net::{ReadHalf, TcpStream, WriteHalf};
use curium::race;

use crate::Server;
use crate::channels::Outbox;
use crate::resp::{self, Answer, ProtocolError};

/// So many bytes of answers are sent before the next command is executed.
const MANY: usize = 64 * 1024;

/// The commands, and how many words follow their names at least and at most.
const COMMANDS: [(&str, usize, usize); 10] = [
    ("PING", 0, 1),
    ("SET", 2, usize::MAX),
    ("GET", 1, 1),
    ("DEL", 1, usize::MAX),
    ("INCR", 1, 1),
    ("EXPIRE", 2, usize::MAX),
    ("LPUSH", 2, usize::MAX),
    ("LRANGE", 3, 3),
    ("SUBSCRIBE", 1, usize::MAX),
    ("PUBLISH", 2, 2),
];

pub(crate) struct Client {
    server: Rc<Server>,
    /// Since its first SUBSCRIBE.
    outbox: Option<Rc<Outbox>>,
}

impl Client {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        Client { server, outbox: None }
    }

    pub(crate) async fn serve(mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reads, writes) = stream.split();
        let mut reader = BufReader::with_capacity(16 * 1024, reads);
        self.answer(&mut reader, &writes).await?;
        let Some(outbox) = self.outbox.clone() else { return Ok(()) };
        let messages = async {
            loop {
                let bytes = outbox.take().await?;
                writes.write_all(&bytes).await?;
            }
        };
        let both = async { race((self.answer(&mut reader, &writes), messages)).await?.first };
        // The outer error: the outbox was full.
        outbox.connection.run(both).await.map_err(io::Error::other)?
    }

    /// Answers commands until the client leaves. Also returns after the first SUBSCRIBE, because
    /// from then on the answers go through the outbox, as messages do.
    async fn answer(
        &mut self,
        reader: &mut BufReader<ReadHalf<'_>>,
        writes: &WriteHalf<'_>,
    ) -> io::Result<()> {
        let subscribed = self.outbox.is_some();
        // Commands are executed without a wait, so that the answers to all that has arrived are
        // gathered without a `BufWriter`, and written at once.
        let mut out = Vec::new();
        loop {
            let executed = self.execute_all(reader.buffer(), &mut out);
            if let Err(error) = &executed {
                Answer::Error(&format!("ERR {error}")).append(&mut out);
            }
            match &self.outbox {
                Some(outbox) => outbox.add(&out),
                None if out.is_empty() => {}
                None => writes.write_all(&out).await?,
            }
            out.clear();
            out.shrink_to(MANY);
            let used = executed.map_err(io::Error::other)?;
            reader.consume(used);
            let has_subscribed = self.outbox.is_some() && !subscribed;
            if has_subscribed || used == 0 && reader.read_more().await? == 0 {
                return Ok(());
            }
        }
    }

    /// Executes the commands that are complete in `bytes`, until there are many answers. Gives the
    /// length of these commands.
    fn execute_all(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, ProtocolError> {
        let (mut used, mut words) = (0, Vec::new());
        while used < bytes.len() && out.len() < MANY {
            let Some(len) = resp::parse(&bytes[used..], &mut words)? else { break };
            used += len;
            if let Some((name, words)) = words.split_first() {
                self.execute(name, words, out);
            }
        }
        Ok(used)
    }

    fn execute(&mut self, given: &[u8], words: &[&[u8]], out: &mut Vec<u8>) {
        let mut name = [0; 16];
        let name = &mut name[..given.len().min(16)];
        name.copy_from_slice(&given[..name.len()]);
        name.make_ascii_uppercase();
        let pong = |out: &mut _, text| {
            Answer::Array(&[Answer::Bulk(b"pong"), Answer::Bulk(text)]).append(out);
        };
        // A subscriber has two commands only.
        match (&*name, words, &self.outbox) {
            (b"SUBSCRIBE", [_, ..], _) => self.subscribe(words, out),
            (b"PING", [], Some(_)) => pong(out, b""),
            (b"PING", [text], Some(_)) => pong(out, text),
            (b"PING", [], None) => Answer::Status("PONG").append(out),
            (b"PING", [text], None) => Answer::Bulk(text).append(out),
            (b"PUBLISH", [channel, message], None) => {
                let receivers = self.server.channels.publish(channel, message);
                Answer::Integer(receivers as i64).append(out);
            }
            (.., None) if self.server.store.borrow_mut().execute(name, words, out) => {}
            _ => Answer::Error(&refusal(given, name, words)).append(out),
        }
    }

    fn subscribe(&mut self, channels: &[&[u8]], out: &mut Vec<u8>) {
        let outbox = self.outbox.get_or_insert_default();
        for channel in channels {
            let count = Answer::Integer(self.server.channels.subscribe(channel, outbox) as i64);
            Answer::Array(&[Answer::Bulk(b"subscribe"), Answer::Bulk(channel), count]).append(out);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(outbox) = &self.outbox {
            self.server.channels.unsubscribe_all(outbox);
        }
    }
}

/// Why a command was not executed, in the words of Redis.
fn refusal(given: &[u8], name: &[u8], words: &[&[u8]]) -> String {
    let Some((name, least, most)) = COMMANDS.iter().find(|(known, ..)| known.as_bytes() == name)
    else {
        let text = String::from_utf8_lossy;
        let words: String = words.iter().map(|word| format!("'{}' ", text(word))).collect();
        let given = text(given);
        return format!("ERR unknown command '{given}', with args beginning with: {words}");
    };
    let name = name.to_lowercase();
    if !(*least..=*most).contains(&words.len()) {
        return format!("ERR wrong number of arguments for '{name}' command");
    }
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    )
}
