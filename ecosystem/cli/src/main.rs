//! `curium` looks into running programs of Curium from a terminal, through their monitors.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

mod address;
mod args;
mod cancel;
mod document;
mod find;
mod talk;
mod text;
mod top;

use crate::address::Address;
use crate::args::{Command, HELP, Show};
use crate::document::Document;

/// Why a command was not carried out.
#[derive(Debug)]
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// There is no such program or task, it refuses, or it has ended.
    Program(String),
}

/// How a command that was carried out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Fine,
    /// A verdict was found, or a task holds the kernel.
    Verdict,
}

fn main() -> ExitCode {
    let done = args::parse(lexopt::Parser::from_env()).and_then(run);
    match done {
        Ok(Outcome::Fine) => ExitCode::from(0),
        Ok(Outcome::Verdict) => ExitCode::from(3),
        Err(Failure::Program(text)) => {
            eprintln!("curium: {text}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(text)) => {
            eprintln!("curium: {text}\nSee `curium --help`.");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Help => print(HELP),
        Command::Version => print(concat!("curium ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::List { json } => {
            let found = find::programs();
            print(&if json { find::json(&found) } else { find::table(&found) })?;
            if found.iter().any(find::Found::is_alive) {
                return Ok(Outcome::Fine);
            }
            return Err(Failure::Program(find::NONE.into()));
        }
        Command::Show { show, target, json: false } => {
            return shown(&show, &find::address(target.as_deref())?);
        }
        Command::Show { target, json: true, .. } => {
            let text = talk::document(&find::address(target.as_deref())?)?;
            let document = Document::parse(&text).map_err(Failure::Program)?;
            print(&text::clean_json(&text))?;
            return Ok(document.outcome());
        }
        Command::Cancel { id, target } => {
            print(&cancel::cancel(&find::address(target.as_deref())?, &id)?)
        }
        Command::Trace { secs, file, target } => {
            let (bytes, left_out) = talk::trace(&find::address(target.as_deref())?, &secs)?;
            let name = text::clean_line(&file.display().to_string());
            let written = fs::write(&file, &bytes);
            written.map_err(|error| Failure::Program(format!("{name}: {error}")))?;
            print(&format!("{name}: {} bytes, for ui.perfetto.dev\n", bytes.len()))?;
            match left_out {
                Some(cores) => print(&format!("without cores that have not answered: {cores}\n")),
                None => Ok(()),
            }
        }
        Command::Top { target } => {
            top::check_terminal()?;
            return top::run(&find::address(target.as_deref())?);
        }
    }?;
    Ok(Outcome::Fine)
}

/// Prints what the command of the monitor prints.
fn shown(show: &Show, address: &Address) -> Result<Outcome, Failure> {
    let command = match show {
        Show::Ps => "ps".to_owned(),
        Show::Tree => "tree".to_owned(),
        Show::Where(id) => format!("where {id}"),
        Show::Graph { dot: false } => "graph".to_owned(),
        Show::Graph { dot: true } => "graph dot".to_owned(),
        Show::Stats => "stats".to_owned(),
    };
    let answer = talk::ask(address, &command)?;
    print(&answer)?;
    Ok(if text::has_verdict(&answer) { Outcome::Verdict } else { Outcome::Fine })
}

/// Prints to standard output. A reader that has gone, as `head` does, has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Program(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
