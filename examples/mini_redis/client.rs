//! One connection: commands in, answers and messages out.

use std::io;
use std::rc::Rc;

use curium::io::BufReader;
use curium::net::{ReadHalf, TcpStream, WriteHalf};
use curium::race;

use crate::channels::Outbox;
use crate::resp::{self, Answer, ProtocolError};
use crate::server::{self, Name, Server, refusal};
use crate::shards::Shards;

/// So many bytes of answers are sent before the next command is executed.
pub(crate) const MANY: usize = 64 * 1024;

pub(crate) struct Client {
    server: Rc<Server>,
    /// Since its first SUBSCRIBE.
    outbox: Option<Rc<Outbox>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Client { server: server::here(), outbox: None }
    }

    pub(crate) fn is_subscriber(&self) -> bool {
        self.outbox.is_some()
    }

    pub(crate) async fn serve(mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reads, writes) = stream.split();
        let mut reader = BufReader::with_capacity(16 * 1024, reads);
        self.answer(&mut reader, &writes, Shards::here()).await?;
        let Some(outbox) = self.outbox.clone() else { return Ok(()) };
        let messages = async {
            loop {
                let bytes = outbox.take().await?;
                writes.write_all(&bytes).await?;
            }
        };
        let both = async { race((self.answer(&mut reader, &writes, None), messages)).await?.first };
        // The outer error: the outbox was full.
        outbox.connection.run(both).await.map_err(io::Error::other)?
    }

    /// Answers commands until the client leaves. Also returns after the first SUBSCRIBE, because
    /// from then on the answers go through the outbox, as messages do. None of them is of another
    /// core then.
    async fn answer(
        &mut self,
        reader: &mut BufReader<ReadHalf<'_>>,
        writes: &WriteHalf<'_>,
        mut shards: Option<Shards>,
    ) -> io::Result<()> {
        let subscribed = self.is_subscriber();
        // Commands are executed without a wait, so that the answers to all that has arrived are
        // gathered without a `BufWriter`, and written at once.
        let mut out = Vec::new();
        loop {
            let executed = match &mut shards {
                None => self.execute_all(reader.buffer(), &mut out),
                Some(shards) => {
                    let begun = shards.begin(self, reader.buffer());
                    while !shards.finish(&mut out).await? {
                        writes.write_all(&out).await?;
                        out.clear();
                    }
                    begun
                }
            };
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
            let has_subscribed = self.is_subscriber() && !subscribed;
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
            if let Some((given, words)) = words.split_first() {
                self.execute((given, resp::upper(given, &mut [0; 16])), words, out);
            }
        }
        Ok(used)
    }

    #[inline(always)]
    pub(crate) fn execute(&mut self, (given, name): Name<'_>, words: &[&[u8]], out: &mut Vec<u8>) {
        let pong = |out: &mut _, text| {
            Answer::Array(&[Answer::Bulk(b"pong"), Answer::Bulk(text)]).append(out);
        };
        // A subscriber has two commands only.
        match (name, words, &self.outbox) {
            (b"SUBSCRIBE", [_, ..], _) => self.subscribe(words, out),
            (b"PING", [], Some(_)) => pong(out, b""),
            (b"PING", [text], Some(_)) => pong(out, text),
            (b"PING", [], None) => Answer::Status("PONG").append(out),
            (b"PING", [text], None) => Answer::Bulk(text).append(out),
            (.., None) => self.server.execute((given, name), words, out),
            (.., Some(_)) => Answer::Error(&refusal((given, name), words)).append(out),
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
