//! Pieces of text: names without control characters, and times.

use std::fmt::Write as _;
use std::time::Duration;

/// The text with everything escaped that a terminal could take for a command.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            clean.extend(c.escape_unicode());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Control characters, and those that turn the direction of a line.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text as a string of JSON.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", in_json(&escaped, |c| is_harmful(c) || c == '<'))
}

/// JSON, of which each event is a line, as a terminal may show it.
pub(crate) fn clean_json(json: &str) -> String {
    in_json(json, |c| is_harmful(c) && c != '\n')
}

/// Escapes some characters inside the strings of JSON. All of them are in the basic plane.
fn in_json(json: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(json.len() + 2);
    for c in json.chars() {
        if is_escaped(c) {
            let _ = write!(escaped, "\\u{:04x}", c as u32);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Seconds, as in `4.2 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{a}c\\u{202e}");
        assert_eq!(clean("größer 東"), "größer 東");
    }

    #[test]
    fn a_string_of_json_is_escaped() {
        assert_eq!(quoted("a\"\\\n</\u{7f}"), "\"a\\\"\\\\\\u000a\\u003c/\\u007f\"");
        assert_eq!(clean_json("[\n\"\u{202e}<\"\n]"), "[\n\"\\u202e<\"\n]");
    }
}
