//! The commands of the text port.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A line of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Ps,
    Where(String),
    Parents(String),
    Tree,
    /// `true`: in the language of Graphviz.
    Graph(bool),
    Stats,
    /// The end of the flight recorder's record.
    Trace(Duration),
    Cancel(String),
    Signal(String),
    Json,
    Help,
    Quit,
    Nothing,
    /// What is wrong with the arguments.
    Bad(String),
    Unknown,
}

/// Each command with the number of its arguments. A prefix means the first one that it fits.
const COMMANDS: [(&str, RangeInclusive<usize>); 14] = [
    ("ps", 0..=0),
    ("where", 1..=1),
    ("parents", 1..=1),
    ("tree", 0..=0),
    ("graph", 0..=1),
    ("stats", 0..=0),
    ("trace", 1..=1),
    ("cancel", 1..=1),
    ("signal", 1..=1),
    ("json", 0..=0),
    ("help", 0..=0),
    ("?", 0..=0),
    ("quit", 0..=0),
    ("exit", 0..=0),
];

pub(crate) const HELP: &str = "\
Commands:
         ps               : Show task table
         where taskid     : Show where a task is parked
         parents taskid   : List task parents
         tree             : Show the tasks below their parents and groups
         graph [dot]      : Show which task waits for what, also for Graphviz
         stats            : Show counts
         trace seconds    : Show what the flight recorder has, as JSON
         json             : Show everything as one JSON document
         cancel taskid    : Cancel a task, if the program allows it
         signal signame   : Send a signal, if the program allows it
         help             : Show this list
         quit             : Leave the monitor
A command can be shortened, as in `w 3`. Of several cores, a task is named
with its core in front, as in `w 1:3`.
";

impl Command {
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let Some(word) = words.next() else { return Command::Nothing };
        let word = word.to_ascii_lowercase();
        let Some((name, wanted)) = COMMANDS.iter().find(|(name, _)| name.starts_with(&word)) else {
            return Command::Unknown;
        };
        let arguments: Vec<&str> = words.collect();
        if !wanted.contains(&arguments.len()) {
            return Command::Bad(format!("{name}: {} arguments", arguments.len()));
        }
        let argument = || arguments.first().map_or_else(String::new, |word| (*word).to_owned());
        match *name {
            "ps" => Command::Ps,
            "where" => Command::Where(argument()),
            "parents" => Command::Parents(argument()),
            "tree" => Command::Tree,
            "graph" => match argument().as_str() {
                "" => Command::Graph(false),
                "dot" => Command::Graph(true),
                _ => Command::Bad("graph takes `dot` or nothing".into()),
            },
            "stats" => Command::Stats,
            "trace" => match seconds(&argument()) {
                Some(time) => Command::Trace(time),
                None => Command::Bad("trace takes a number of seconds".into()),
            },
            "cancel" => Command::Cancel(argument()),
            "signal" => Command::Signal(argument()),
            "json" => Command::Json,
            "quit" | "exit" => Command::Quit,
            _ => Command::Help,
        }
    }
}

/// A number of seconds.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_shortened() {
        assert_eq!(Command::parse("w 3"), Command::Where("3".into()));
        assert_eq!(Command::parse("  PS "), Command::Ps);
        assert_eq!(Command::parse("p"), Command::Ps);
        assert_eq!(Command::parse("pa #3.1"), Command::Parents("#3.1".into()));
        assert_eq!(Command::parse("q"), Command::Quit);
        assert_eq!(Command::parse("psx"), Command::Unknown);
        assert_eq!(Command::parse(""), Command::Nothing);
    }

    #[test]
    fn arguments_are_counted() {
        assert!(matches!(Command::parse("where"), Command::Bad(_)));
        assert!(matches!(Command::parse("ps 3"), Command::Bad(_)));
        assert_eq!(Command::parse("tra 0.5"), Command::Trace(Duration::from_millis(500)));
        for wrong in ["-1", "NaN", "1e300", "kid"] {
            assert!(matches!(Command::parse(&format!("trace {wrong}")), Command::Bad(_)));
        }
    }
}
