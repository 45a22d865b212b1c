//! What the server keeps, and the commands on it. They never wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant, UNIX_EPOCH};

use curium::kernel::now;

use crate::resp::{Answer, integer};

type Bytes = Box<[u8]>;

#[derive(Default)]
pub(crate) struct Store {
    entries: HashMap<Bytes, Entry>,
    /// When to look at an entry. By then it may have another deadline, or none.
    deadlines: BinaryHeap<Reverse<(Instant, Bytes)>>,
}

struct Entry {
    value: Value,
    expires: Option<Instant>,
}

enum Value {
    Text(Vec<u8>),
    List(VecDeque<Bytes>),
}

/// What a command gives, or the text of its error.
type Answered<'a> = Result<Answer<'a>, &'static str>;

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_INTEGER: &str = "ERR value is not an integer or out of range";

impl Store {
    /// Executes a command and appends its answer. False if it is none on the store.
    pub(crate) fn execute(&mut self, name: &[u8], words: &[&[u8]], out: &mut Vec<u8>) -> bool {
        let answered = match (name, words) {
            (b"GET", [key]) => self.get(key),
            (b"SET", [key, value]) => Ok(self.set(key, value)),
            (b"DEL", [_, ..]) => {
                let removed = words.iter().filter(|key| self.remove(key)).count();
                Ok(Answer::Integer(removed as i64))
            }
            (b"INCR", [key]) => self.increment(key),
            (b"EXPIRE", [key, secs]) => self.expire(key, secs),
            // The options of these are not here.
            (b"SET" | b"EXPIRE", [_, _, ..]) => Err("ERR syntax error"),
            (b"LPUSH", [key, _, ..]) => self.push(key, &words[1..]),
            (b"LRANGE", [key, from, to]) => self.range(key, from, to),
            _ => return false,
        };
        answered.unwrap_or_else(Answer::Error).append(out);
        true
    }

    fn live(&mut self, key: &[u8]) -> Option<&mut Entry> {
        // Without deadlines one look-up is enough.
        let expired = |entry: &Entry| entry.expires.is_some_and(|at| at <= now());
        if !self.deadlines.is_empty() && self.entries.get(key).is_some_and(expired) {
            self.entries.remove(key);
        }
        self.entries.get_mut(key)
    }

    fn insert(&mut self, key: &[u8], value: Value) {
        self.entries.insert(key.into(), Entry { value, expires: None });
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        self.live(key).is_some() && self.entries.remove(key).is_some()
    }

    fn get(&mut self, key: &[u8]) -> Answered<'_> {
        match self.live(key) {
            None => Ok(Answer::Null),
            Some(Entry { value: Value::Text(text), .. }) => Ok(Answer::Bulk(text)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Answer<'_> {
        match self.entries.get_mut(key) {
            // The memory of the old text is used again.
            Some(Entry { value: Value::Text(text), expires }) => {
                text.clear();
                text.extend_from_slice(value);
                *expires = None;
            }
            _ => self.insert(key, Value::Text(value.into())),
        }
        Answer::Status("OK")
    }

    fn increment(&mut self, key: &[u8]) -> Answered<'_> {
        if self.live(key).is_none() {
            self.set(key, b"0");
        }
        let Some(Entry { value: Value::Text(text), .. }) = self.live(key) else {
            return Err(WRONG_TYPE);
        };
        let number = integer(text).ok_or(NO_INTEGER)?.checked_add(1);
        let number = number.ok_or("ERR increment or decrement would overflow")?;
        *text = number.to_string().into_bytes();
        Ok(Answer::Integer(number))
    }

    fn expire(&mut self, key: &[u8], secs: &[u8]) -> Answered<'_> {
        let secs = integer(secs).ok_or(NO_INTEGER)?;
        // Redis counts milliseconds since 1970, in 64 bits.
        let today = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as i64;
        let at = secs.checked_mul(1000).and_then(|millis| millis.checked_add(today));
        at.ok_or("ERR invalid expire time in 'expire' command")?;
        if self.live(key).is_none() {
            return Ok(Answer::Integer(0));
        }
        if secs <= 0 {
            self.entries.remove(key);
        } else if let Some(entry) = self.entries.get_mut(key) {
            // One that is too far to be represented never comes.
            entry.expires = now().checked_add(Duration::from_secs(secs as u64));
            self.deadlines.extend(entry.expires.map(|at| Reverse((at, key.into()))));
        }
        Ok(Answer::Integer(1))
    }

    /// Removes what has expired: it may never be asked for again.
    pub(crate) fn remove_expired(&mut self) {
        while self.deadlines.peek().is_some_and(|Reverse((at, _))| *at <= now()) {
            let due = self.deadlines.peek().map(|Reverse((_, key))| key.clone());
            due.map(|key| self.live(&key).is_some());
            self.deadlines.pop();
        }
    }

    fn push(&mut self, key: &[u8], words: &[&[u8]]) -> Answered<'_> {
        if self.live(key).is_none() {
            self.insert(key, Value::List(VecDeque::new()));
        }
        let Some(Entry { value: Value::List(list), .. }) = self.live(key) else {
            return Err(WRONG_TYPE);
        };
        words.iter().for_each(|word| list.push_front((*word).into()));
        Ok(Answer::Integer(list.len() as i64))
    }

    fn range(&mut self, key: &[u8], from: &[u8], to: &[u8]) -> Answered<'_> {
        let (from, to) = (integer(from).ok_or(NO_INTEGER)?, integer(to).ok_or(NO_INTEGER)?);
        let list = match self.live(key) {
            None => return Ok(Answer::Array(&[])),
            Some(Entry { value: Value::List(list), .. }) => list,
            Some(_) => return Err(WRONG_TYPE),
        };
        // Negative positions count from the end. The element at `to` belongs to the range.
        let len = list.len() as i64;
        let position = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let end = position(to).saturating_add(1).clamp(0, len);
        let begin = position(from).clamp(0, end);
        Ok(Answer::List(list.range(begin as usize..end as usize)))
    }
}
