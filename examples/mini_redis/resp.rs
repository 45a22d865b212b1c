//! RESP, the protocol of Redis: commands are parsed where they lie, answers are appended.

use std::collections::vec_deque;

/// The longest command, in bytes.
const LONGEST: usize = 64 << 20;

/// Why a client is disconnected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("Protocol error: invalid multibulk length")]
    Count,
    #[error("Protocol error: invalid bulk length")]
    Length,
    #[error("Protocol error: expected '$', got '{0}'")]
    NoString(char),
}

/// Puts the words of the first command of `bytes` into `words`, and gives the length of the
/// command; `None` if it is incomplete.
///
/// Without a `*` at its front it is a line whose words are separated by spaces, for people.
#[inline(always)]
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    words: &mut Vec<&'a [u8]>,
) -> Result<Option<usize>, ProtocolError> {
    words.clear();
    if bytes.first().is_some_and(|first| *first != b'*') {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = bytes[..end].split(u8::is_ascii_whitespace);
        words.extend(line.filter(|word| !word.is_empty()));
        return Ok(Some(end + 1));
    }
    let Some((count, mut at)) = header(bytes).ok_or(ProtocolError::Count)? else { return Ok(None) };
    for _ in 0..count {
        match bytes.get(at) {
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NoString(char::from(*other))),
            None => return Ok(None),
        }
        let Some((len, used)) = header(&bytes[at..]).ok_or(ProtocolError::Length)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).ok().filter(|len| at + len <= LONGEST);
        let begin = at + used;
        at = begin + len.ok_or(ProtocolError::Length)? + 2;
        if at > bytes.len() {
            return Ok(None);
        }
        words.push(&bytes[begin..at - 2]);
    }
    Ok(Some(at))
}

/// The number behind the first byte, and the length of its line. The outer `None`: it is none.
fn header(bytes: &[u8]) -> Option<Option<(i64, usize)>> {
    let Some(end) = bytes.iter().take(32).position(|byte| *byte == b'\r') else {
        return (bytes.len() < 32).then_some(None);
    };
    if end + 1 == bytes.len() {
        return Some(None);
    }
    Some(Some((integer(&bytes[1..end])?, end + 2)))
}

/// A number as Redis writes it: without a plus sign, spaces, or zeros in front.
pub(crate) fn integer(digits: &[u8]) -> Option<i64> {
    let (first, negative) = (*digits.first()?, digits[0] == b'-');
    if first == b'0' || digits.starts_with(b"-0") || first == b'+' {
        return (digits == b"0").then_some(0);
    }
    let digits = &digits[usize::from(negative)..];
    let negated = digits.iter().try_fold(0_i64, |number, digit| {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        number.checked_mul(10)?.checked_sub(digit).filter(|_| digit < 10)
    });
    let number = negated.filter(|_| !digits.is_empty())?;
    if negative { Some(number) } else { number.checked_neg() }
}

/// The name of a command in capitals, of which the first 16 bytes tell it from all others.
#[inline(always)]
pub(crate) fn upper<'a>(given: &[u8], space: &'a mut [u8; 16]) -> &'a [u8] {
    let name = &mut space[..given.len().min(16)];
    name.copy_from_slice(&given[..name.len()]);
    name.make_ascii_uppercase();
    name
}

/// An answer to a command.
pub(crate) enum Answer<'a> {
    Status(&'static str),
    Error(&'a str),
    Integer(i64),
    Bulk(&'a [u8]),
    Null,
    Array(&'a [Answer<'a>]),
    List(vec_deque::Iter<'a, Box<[u8]>>),
}

impl Answer<'_> {
    /// `write!` would take longer than a whole command.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Status(text) => line(out, b'+', text.as_bytes()),
            // An error is one line, so that the ends of lines in it become spaces.
            Answer::Error(text) => line(out, b'-', text.replace(['\r', '\n'], " ").as_bytes()),
            Answer::Integer(number) => number_line(out, b':', *number),
            Answer::Bulk(bytes) => {
                number_line(out, b'$', bytes.len() as i64);
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Answer::Null => number_line(out, b'$', -1),
            Answer::Array(answers) => {
                number_line(out, b'*', answers.len() as i64);
                answers.iter().for_each(|answer| answer.append(out));
            }
            Answer::List(elements) => {
                number_line(out, b'*', elements.len() as i64);
                elements.clone().for_each(|element| Answer::Bulk(element).append(out));
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn number_line(out: &mut Vec<u8>, kind: u8, number: i64) {
    let (mut digits, mut at, mut rest) = ([b'-'; 21], 21, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // What was not overwritten are minus signs.
    line(out, kind, &digits[at - usize::from(number < 0)..]);
}
