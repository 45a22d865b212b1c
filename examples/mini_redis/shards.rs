//! Several cores: each keeps the keys that hash to it.
//!
//! The core of a connection executes the commands on its own keys, and calls the others for theirs:
//! each once, for all that a client has sent together. So the commands of a pipeline on one key
//! take effect in their order, and those on keys of several cores at the same time. All answers
//! come in the order of the commands. PUBLISH waits for what was sent before it.

use std::collections::VecDeque;
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
    /// Where each of the commands is executed whose answer is not taken yet.
    order: VecDeque<Place>,
}

/// What one core has to do.
#[derive(Default)]
struct Part {
    /// Those that are not executed yet.
    commands: Vec<u8>,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// So many are taken.
    taken: usize,
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
        Some(Shards { core, parts, order: VecDeque::new() })
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
                self.order.push_back(place);
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

    /// Has the other cores execute the rest, as far as they come before their answers are many.
    async fn call_others(&mut self) -> Result<()> {
        let core = &self.core;
        let waits = |part: &Part| !part.commands.is_empty() && part.answers.is_empty();
        let others = self.parts.iter_mut().enumerate().filter(|(_, part)| waits(part));
        let calls = others.map(|(other, part)| {
            let commands = mem::take(&mut part.commands);
            let call = core.call(other, move || async move { execute_all(commands) });
            async {
                (part.answers, part.commands) = call.await?;
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

    /// Goes on with what was begun, and appends answers. False if there are more: they are built
    /// by the next call, so that the answers to a pipeline are not all in memory.
    pub(crate) async fn finish(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        self.call_others().await?;
        while let Some(place) = self.order.front() {
            match place {
                Place::Core(core) => match self.parts[*core].answers.take() {
                    Some(answer) => out.extend_from_slice(answer),
                    None => return Ok(false),
                },
                Place::All => {
                    if self.parts.iter().any(|part| part.answers.is_empty()) {
                        return Ok(false);
                    }
                    let numbers = self.parts.iter_mut().filter_map(|part| {
                        let answer = part.answers.take()?;
                        resp::integer(answer[1..].trim_ascii())
                    });
                    Answer::Integer(numbers.sum()).append(out);
                }
            }
            self.order.pop_front();
        }
        self.parts.iter_mut().for_each(|part| part.answers.clear());
        Ok(true)
    }
}

impl Answers {
    /// What follows belongs to the next answer.
    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Whether all are taken.
    fn is_empty(&self) -> bool {
        self.taken == self.ends.len()
    }

    /// The next one.
    fn take(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.taken)?;
        let begin = self.taken.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.taken += 1;
        Some(&self.bytes[begin..end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MANY);
        self.ends.clear();
        self.taken = 0;
    }
}

/// Executes commands of a client of another core until there are many answers, and gives the rest
/// back.
fn execute_all(mut commands: Vec<u8>) -> (Answers, Vec<u8>) {
    let (server, mut answers) = (server::here(), Answers::default());
    let (mut used, mut words) = (0, Vec::new());
    while answers.bytes.len() < MANY {
        let Ok(Some(len)) = resp::parse(&commands[used..], &mut words) else { break };
        if let Some((given, words)) = words.split_first() {
            server.execute((given, resp::upper(given, &mut [0; 16])), words, &mut answers.bytes);
            answers.end();
        }
        used += len;
    }
    drop(words);
    commands.drain(..used);
    (answers, commands)
}
