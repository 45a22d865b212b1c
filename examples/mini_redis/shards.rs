//! Several cores: each keeps the keys that hash to it.
//!
//! The core of a connection executes the commands on its own keys, and calls the others for theirs:
//! each once, for all that a client has sent together. So the commands of a pipeline on one key
//! take effect in their order, and those on keys of several cores at the same time. All answers
//! come in the order of the commands. PUBLISH waits for what was sent before it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::mem;

use curium::kernel::{Core, Result, gather_all};

use crate::client::{Client, MANY};
use crate::resp::{self, Answer, ProtocolError};
use crate::server;

/// So many commands are executed before their answers are sent.
const MOST: usize = 128;

/// The commands of a client that waits for their answers.
pub(crate) struct Shards {
    core: Core,
    parts: Vec<Part>,
    /// Where each of the commands is executed.
    order: Vec<Place>,
}

/// What one core has to do.
#[derive(Default)]
struct Part {
    commands: Vec<u8>,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Place {
    Core(usize),
    /// The answers are numbers, which are added up.
    All,
}

impl Shards {
    /// `None` if there is one core only.
    pub(crate) fn here() -> Option<Self> {
        let core = Core::current().filter(|core| core.count() > 1)?;
        let parts = iter::repeat_with(Part::default).take(core.count()).collect();
        Some(Shards { core, parts, order: Vec::new() })
    }

    fn place(&self, name: &[u8], words: &[&[u8]]) -> Place {
        match (name, words) {
            // A core has no keys of another, so that it may be told to delete these as well.
            (b"PUBLISH", [_, _]) | (b"DEL", [_, _, ..]) => Place::All,
            (b"GET" | b"SET" | b"DEL" | b"INCR" | b"EXPIRE" | b"LPUSH" | b"LRANGE", [key, ..]) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                Place::Core(hasher.finish() as usize % self.core.count())
            }
            _ => Place::Core(self.core.index()),
        }
    }

    /// Begins with the commands that are complete in `bytes`, until there are many, and gives their
    /// length. Those on keys of this core are executed.
    pub(crate) fn begin(
        &mut self,
        client: &mut Client,
        bytes: &[u8],
    ) -> Result<usize, ProtocolError> {
        let (own, mut used, mut words) = (self.core.index(), 0, Vec::new());
        while used < bytes.len() && self.has_room() {
            let Some(len) = resp::parse(&bytes[used..], &mut words)? else { break };
            if let Some((given, words)) = words.split_first() {
                let mut space = [0; 16];
                let name = resp::upper(given, &mut space);
                // What is published is seen after what was done before, and what a subscriber
                // gets comes after the answers.
                if matches!(name, b"PUBLISH" | b"SUBSCRIBE") && !self.order.is_empty() {
                    break;
                }
                let place = self.place(name, words);
                self.order.push(place);
                for (core, part) in self.parts.iter_mut().enumerate() {
                    match place {
                        Place::Core(other) if other != core => {}
                        _ if core != own => {
                            part.commands.extend_from_slice(&bytes[used..used + len]);
                        }
                        _ => {
                            client.execute((given, name), words, &mut part.answers.bytes);
                            part.answers.end();
                        }
                    }
                }
            }
            used += len;
            if client.is_subscriber() {
                break;
            }
        }
        Ok(used)
    }

    fn has_room(&self) -> bool {
        self.order.len() < MOST && self.parts[self.core.index()].answers.bytes.len() < MANY
    }

    /// Has the other cores execute the rest.
    async fn call_others(&mut self) -> Result<()> {
        let core = &self.core;
        let others = self.parts.iter_mut().enumerate().filter(|(_, it)| !it.commands.is_empty());
        let calls = others.map(|(other, part)| {
            // The next ones will need as much memory.
            let empty = Vec::with_capacity(part.commands.len());
            let commands = mem::replace(&mut part.commands, empty);
            let call = core.call(other, move || async move { execute_all(&commands) });
            async {
                part.answers = call.await?;
                Ok(())
            }
        });
        let mut calls: Vec<_> = calls.collect();
        match calls.pop() {
            None => {}
            // What waits for one call only needs no scope.
            Some(only) if calls.is_empty() => only.await?,
            Some(last) => drop(gather_all(calls.into_iter().chain([last])).await?),
        }
        Ok(())
    }

    /// Ends what was begun, and appends the answers.
    pub(crate) async fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.call_others().await?;
        let mut answers: Vec<_> = self.parts.iter().map(|part| part.answers.iter()).collect();
        for place in self.order.drain(..) {
            match place {
                Place::Core(core) => out.extend_from_slice(answers[core].next().unwrap_or(b"")),
                Place::All => {
                    let numbers = answers.iter_mut().filter_map(|answers| {
                        answers.next().and_then(|answer| resp::integer(answer[1..].trim_ascii()))
                    });
                    Answer::Integer(numbers.sum()).append(out);
                }
            }
        }
        drop(answers);
        self.parts.iter_mut().for_each(|part| part.answers.clear());
        Ok(())
    }
}

impl Answers {
    /// What follows belongs to the next answer.
    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| &self.bytes[mem::replace(&mut begin, *end)..*end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MANY);
        self.ends.clear();
    }
}

/// Executes commands of a client of another core.
fn execute_all(commands: &[u8]) -> Answers {
    let (server, mut answers) = (server::here(), Answers::default());
    let (mut used, mut words) = (0, Vec::new());
    while let Ok(Some(len)) = resp::parse(&commands[used..], &mut words) {
        if let Some((given, words)) = words.split_first() {
            server.execute((given, resp::upper(given, &mut [0; 16])), words, &mut answers.bytes);
            answers.end();
        }
        used += len;
    }
    answers
}
