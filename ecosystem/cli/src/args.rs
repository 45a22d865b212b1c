//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::Failure;

pub(crate) const HELP: &str = "\
curium looks into running programs of Curium, through their monitors.

Usage: curium [COMMAND] [TARGET]

Commands:
  (none)               list the programs that are found
  ps [TARGET]          the table of tasks
  tree [TARGET]        the tasks below their parents and groups, verdicts first
  where [TARGET] ID    where a task is parked, in what timeouts and shields
  graph [TARGET]       which task waits for what; --dot for Graphviz
  stats [TARGET]       counts
  top [TARGET]         the live tree; its keys are on its last line
  trace [TARGET] SECS FILE
                       write the last seconds of the flight recorder to a file, for
                       ui.perfetto.dev, if the program has one (Builder::flight_recorder)
  cancel [TARGET] ID   cancel a task, if the program allows it, and say what happened

TARGET is the id of a process (that listens at $XDG_RUNTIME_DIR/curium/PID.sock or at the
port 48802), the path of a socket (with a `/`), or an address (`127.0.0.1:48802`, `:48802`).
Without it, the one program that is found is meant. ID is the id of a task, as `ps` shows it:
`3`, or `1:3` if the program runs on several cores.

Options:
  --json         print one JSON document with everything instead (not for top, trace, cancel)
  --dot          graph: in the language of Graphviz
  -h, --help     print this text
  -V, --version  print the version

Exit codes:
  0  done
  1  no such program or task, it refuses or has ended
  2  the command line is wrong
  3  done, and there is a verdict (a deadlock, a task that nothing wakes, ...) or a task
     holds the kernel

A program has a monitor if it asks for one, or is started with CURIUM_MONITOR=1 (the port
48802 of this machine) or CURIUM_MONITOR=unix (a socket that only its user can connect to)
and was built with the feature `monitor`.
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Ps,
    Tree,
    Where(String),
    Graph { dot: bool },
    Stats,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    List { json: bool },
    Show { show: Show, target: Option<String>, json: bool },
    Cancel { id: String, target: Option<String> },
    Trace { secs: String, file: PathBuf, target: Option<String> },
    Top { target: Option<String> },
}

/// A wrong command line.
fn usage<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, Failure> {
    let (mut json, mut dot, mut values) = (false, false, Vec::new());
    let wrong = |error: lexopt::Error| Failure::Usage(crate::text::clean_line(&error.to_string()));
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Long("json") => json = true,
            Arg::Long("dot") => dot = true,
            Arg::Value(value) => values.push(value.string().map_err(wrong)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let mut values = values.into_iter();
    let Some(name) = values.next() else {
        return if dot { usage("--dot is for `graph`") } else { Ok(Command::List { json }) };
    };
    if dot && name != "graph" {
        return usage("--dot is for `graph`");
    }
    if json && dot {
        return usage("--json and --dot exclude each other");
    }
    if json && ["top", "trace", "cancel"].contains(&&*name) {
        return usage(format!("`{name}` has no --json"));
    }
    let mut rest: Vec<String> = values.collect();
    let id = match &*name {
        "where" | "cancel" => match rest.pop() {
            Some(id) if is_id(&id) => Some(id),
            Some(id) => {
                let id = crate::text::clean_line(&id);
                return usage(format!("{id} is no id of a task; `curium ps` shows them"));
            }
            None => return usage(format!("`{name}` needs the id of a task")),
        },
        _ => None,
    };
    let trace = (name == "trace").then(|| trace(&mut rest)).transpose()?;
    let target = rest.pop();
    if !rest.is_empty() {
        return usage(format!("`{name}` has too many arguments"));
    }
    if let Some((secs, file)) = trace {
        return Ok(Command::Trace { secs, file, target });
    }
    let show = match (&*name, id) {
        ("ps", _) => Show::Ps,
        ("tree", _) => Show::Tree,
        ("where", Some(id)) => Show::Where(id),
        ("graph", _) => Show::Graph { dot },
        ("stats", _) => Show::Stats,
        ("cancel", Some(id)) => return Ok(Command::Cancel { id, target }),
        ("top", _) => return Ok(Command::Top { target }),
        _ => return usage(format!("there is no command `{}`", crate::text::clean_line(&name))),
    };
    Ok(Command::Show { show, target, json })
}

/// The seconds and the file at the end of the arguments.
fn trace(rest: &mut Vec<String>) -> Result<(String, PathBuf), Failure> {
    let (Some(file), Some(secs)) = (rest.pop(), rest.pop()) else {
        return usage("`trace` needs a number of seconds and a file");
    };
    match secs.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok((secs, file.into())),
        _ => usage(format!("{} is no number of seconds", crate::text::clean_line(&secs))),
    }
}

/// Ids are numbers, as `3`, `#3`, `3.1`, or `1:3` of several cores. Nothing else is sent to a
/// program.
fn is_id(id: &str) -> bool {
    let digits = id.trim_start_matches('#');
    let (core, digits) = digits.split_once(':').unwrap_or(("0", digits));
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    is_number(core)
        && is_number(digits)
        && core.chars().all(|c| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Failure> {
        parse(Parser::from_args(line.split_ascii_whitespace()))
    }

    fn show(show: Show, target: Option<&str>, json: bool) -> Command {
        Command::Show { show, target: target.map(str::to_owned), json }
    }

    #[test]
    fn every_command_takes_a_target_or_none() {
        let target = || Some("4711".to_owned());
        assert_eq!(parsed("").unwrap(), Command::List { json: false });
        assert_eq!(parsed("--json").unwrap(), Command::List { json: true });
        assert_eq!(parsed("ps").unwrap(), show(Show::Ps, None, false));
        assert_eq!(parsed("tree 4711").unwrap(), show(Show::Tree, Some("4711"), false));
        assert_eq!(parsed("stats --json :1").unwrap(), show(Show::Stats, Some(":1"), true));
        let graph = show(Show::Graph { dot: true }, Some("/a"), false);
        assert_eq!(parsed("graph --dot /a").unwrap(), graph);
        assert_eq!(parsed("where 3").unwrap(), show(Show::Where("3".into()), None, false));
        let of_core = show(Show::Where("1:3.1".into()), Some(":1"), false);
        assert_eq!(parsed("where :1 1:3.1").unwrap(), of_core);
        let cancel = Command::Cancel { id: "#3.1".into(), target: target() };
        assert_eq!(parsed("cancel 4711 #3.1").unwrap(), cancel);
        let trace = |target| Command::Trace { secs: "2.5".into(), file: "a".into(), target };
        assert_eq!(parsed("trace 2.5 a").unwrap(), trace(None));
        assert_eq!(parsed("trace 4711 2.5 a").unwrap(), trace(target()));
        assert_eq!(parsed("top 4711").unwrap(), Command::Top { target: target() });
        assert_eq!(parsed("ps --help").unwrap(), Command::Help);
    }

    #[test]
    fn a_wrong_command_line_says_what_is_wrong() {
        let wrong = |line: &str| match parsed(line) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(wrong("pss"), "there is no command `pss`");
        assert_eq!(wrong("where"), "`where` needs the id of a task");
        assert_eq!(wrong("where 4711 kid"), "kid is no id of a task; `curium ps` shows them");
        assert!(wrong("where 127.0.0.1:48802").contains("127.0.0.1:48802 is no id of a task"));
        assert!(wrong("where :48802").contains(":48802 is no id of a task"));
        assert_eq!(wrong("ps 1 2"), "`ps` has too many arguments");
        assert_eq!(wrong("ps --dot"), "--dot is for `graph`");
        assert_eq!(wrong("graph --dot --json"), "--json and --dot exclude each other");
        assert_eq!(wrong("trace 4711"), "`trace` needs a number of seconds and a file");
        assert_eq!(wrong("trace kid a"), "kid is no number of seconds");
        assert_eq!(wrong("top --json"), "`top` has no --json");
        assert!(wrong("ps --all").contains("--all"));
        assert_eq!(wrong("\u{1b}[2J"), "there is no command `\\u{1b}[2J`");
    }
}
