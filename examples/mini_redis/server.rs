//! What the connections of a core share, and the commands on it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use curium::kernel::interval;
use curium::prelude::*;

use crate::channels::Channels;
use crate::resp::Answer;
use crate::store::Store;

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

/// The name of a command, as it was sent and in capitals.
pub(crate) type Name<'a> = (&'a [u8], &'a [u8]);

#[derive(Default)]
pub(crate) struct Server {
    store: RefCell<Store>,
    pub(crate) channels: Channels,
}

thread_local! {
    static SERVER: Rc<Server> = Rc::default();
}

/// That of this core.
pub(crate) fn here() -> Rc<Server> {
    SERVER.with(Rc::clone)
}

impl Server {
    /// Executes a command and appends its answer.
    #[inline(always)]
    pub(crate) fn execute(&self, (given, name): Name<'_>, words: &[&[u8]], out: &mut Vec<u8>) {
        match (name, words) {
            (b"PUBLISH", [channel, message]) => {
                let receivers = self.channels.publish(channel, message);
                Answer::Integer(receivers as i64).append(out);
            }
            _ if self.store.borrow_mut().execute(name, words, out) => {}
            _ => Answer::Error(&refusal((given, name), words)).append(out),
        }
    }

    pub(crate) async fn remove_expired(&self) -> io::Result<()> {
        let mut ticks = interval(Duration::from_millis(100));
        loop {
            ticks.tick().await?;
            self.store.borrow_mut().remove_expired();
        }
    }
}

/// Why a command was not executed, in the words of Redis.
pub(crate) fn refusal((given, name): Name<'_>, words: &[&[u8]]) -> String {
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
