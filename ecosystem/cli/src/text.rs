//! What a program says, made harmless for a terminal.

use std::fmt::Write as _;

/// Control characters, and those that turn the direction of a line.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The lines with everything escaped that a terminal could take for a command.
pub(crate) fn clean(text: &str) -> String {
    escaped(text, |c, clean| match c {
        '\n' => clean.push(c),
        c => clean.extend(c.escape_unicode()),
    })
}

/// The same for a text that has to stay in one line.
pub(crate) fn clean_line(text: &str) -> String {
    escaped(text, |c, clean| clean.extend(c.escape_unicode()))
}

/// The same for a document of JSON, in whose strings alone other control characters than the end
/// of a line are found.
pub(crate) fn clean_json(text: &str) -> String {
    escaped(text, |c, clean| match c {
        '\n' => clean.push(c),
        c => {
            let _ = write!(clean, "\\u{:04x}", c as u32);
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            escape(c, &mut clean);
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether an answer of the monitor has a verdict, or says that a task holds the kernel.
///
/// No other line begins so: rows begin with an id or are indented, and names hold no line ends.
pub(crate) fn has_verdict(answer: &str) -> bool {
    let holds = |line: &str| line.starts_with("Task ") && line.contains(" holds the kernel");
    answer.lines().any(|line| line.starts_with("(!) ") || holds(line))
}

/// An age or what is left of a time, as in `4.2 s`.
pub(crate) fn time(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// The number with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M3: a hostile name is shown, and does nothing.
    #[test]
    fn control_characters_never_reach_the_terminal_raw() {
        let hostile = "a\u{1b}]0;owned\u{7}\r\nb\u{9b}2J\u{202e}ü";
        assert_eq!(clean(hostile), "a\\u{1b}]0;owned\\u{7}\\u{d}\nb\\u{9b}2J\\u{202e}ü");
        assert_eq!(clean_line("a\nb"), "a\\u{a}b");
        assert_eq!(clean_json("{\"\u{9b}\"}\n"), "{\"\\u009b\"}\n");
    }

    #[test]
    fn a_name_is_no_verdict() {
        assert!(has_verdict("kernel 0 · 2 tasks\n(!) deadlock: ...\n"));
        assert!(has_verdict("Task 3 spin holds the kernel: one poll has taken 2.0 s so far.\n"));
        let second = "The kernel of core 0 has ended.\nTask 1:3 spin holds the kernel of core 1:\n";
        assert!(has_verdict(second));
        assert!(!has_verdict("#1 (!) me\n#2 Task 3 holds the kernel: no\nTask   State\n"));
    }
}
