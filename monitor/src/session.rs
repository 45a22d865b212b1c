//! The dialogue with one client, without its socket: bytes in, bytes out.
//!
//! The first line decides whether it is a terminal or speaks HTTP. Before it nothing is said: a
//! browser opens connections before it needs them, and takes what comes on one of them for the
//! answer to its next request. A client is asked for more only when it has read its last answer, so
//! that one that does not read costs one answer of memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::FlightRecord;

use crate::command::{Command, HELP};
use crate::http::{self, Head, Request};
use crate::shot::{self, Shot};
use crate::signals;
use crate::text::{clean, clean_json};
use crate::world::{Act, Answer, Waiting, World};

/// How often a page gets what has changed.
pub(crate) const EVENTS: Duration = Duration::from_millis(250);

/// A longer line of a terminal is refused.
const LINE: usize = 1024;

const PROMPT: &str = "curium > ";

#[derive(Debug)]
enum Mode {
    /// The first line has not come.
    Open,
    Terminal,
    /// The rest of a line that is too long.
    Skipping,
    /// A page that gets events. `None`: it has just come.
    Events(Option<Instant>),
    /// Closed when everything is written.
    Closing,
}

/// What a session waits for a shot for.
#[derive(Debug)]
enum Question {
    Greeting,
    Command(Command),
    Document,
    Event,
    /// Of a page.
    Cancel(String),
    Trace(Duration),
}

#[derive(Debug)]
pub(crate) struct Session {
    mode: Mode,
    input: Vec<u8>,
    /// The client sends no more.
    has_ended: bool,
    waiting: Option<(Question, Waiting)>,
    output: VecDeque<Arc<[u8]>>,
    /// The number of bytes of the first piece that are written.
    written: usize,
}

impl Session {
    pub(crate) fn new() -> Self {
        Session {
            mode: Mode::Open,
            input: Vec::new(),
            has_ended: false,
            waiting: None,
            output: VecDeque::new(),
            written: 0,
        }
    }

    /// Whether the session takes input now.
    pub(crate) fn wants_input(&self) -> bool {
        let is_idle = self.waiting.is_none() && self.output.is_empty();
        (is_idle || matches!(self.mode, Mode::Events(_)))
            && !self.has_ended
            && !matches!(self.mode, Mode::Closing)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        // What a page sends after its request is of no interest.
        if !matches!(self.mode, Mode::Events(_)) {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The client sends no more.
    pub(crate) fn end_input(&mut self) {
        self.has_ended = true;
    }

    /// What is to be written.
    pub(crate) fn output(&self) -> &[u8] {
        self.output.front().map_or(&[], |piece| &piece[self.written..])
    }

    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.output().is_empty() {
            self.output.pop_front();
            self.written = 0;
        }
    }

    /// The number of bytes that it keeps for later.
    #[cfg(test)]
    pub(crate) fn input_length(&self) -> usize {
        self.input.len()
    }

    /// Whether the connection is to be closed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Closing) && self.output.is_empty() && self.waiting.is_none()
    }

    fn say(&mut self, text: impl Into<Arc<str>>) {
        let text = text.into();
        if !text.is_empty() {
            self.output.push_back(text.into());
        }
    }

    fn prompt(&mut self) {
        if matches!(self.mode, Mode::Terminal) {
            self.say(PROMPT);
        }
    }

    fn ask(&mut self, question: Question, world: &mut World) {
        self.waiting = Some((question, world.ask()));
    }

    /// The number of the shots that it waits for, if it wants what the flight recorders have.
    pub(crate) fn record_wanted(&self) -> Option<u64> {
        let (question, waiting) = self.waiting.as_ref()?;
        let is_trace =
            matches!(question, Question::Trace(_) | Question::Command(Command::Trace(_)));
        is_trace.then_some(waiting.number)
    }

    /// Goes on as far as possible. Called when bytes came or were written, when a shot came, and
    /// from time to time.
    pub(crate) fn step(&mut self, world: &mut World) {
        loop {
            if let Some((_, waiting)) = &self.waiting {
                let Some(answer) = world.answer(*waiting) else { return };
                let (question, _) = self.waiting.take().expect("it was there");
                self.tell(question, &answer, world);
            }
            if world.is_over && !matches!(self.mode, Mode::Closing) {
                self.mode = Mode::Closing;
            }
            if !self.output.is_empty() || !self.read(world) {
                return;
            }
        }
    }

    /// Reads the next piece of the input. False: there is none.
    fn read(&mut self, world: &mut World) -> bool {
        match self.mode {
            Mode::Open => self.read_first(world),
            Mode::Terminal => self.read_line(world),
            Mode::Skipping => self.skip(),
            Mode::Events(last) => {
                let is_due = last.is_none_or(|last| world.now >= last + EVENTS);
                if self.has_ended {
                    self.mode = Mode::Closing;
                } else if is_due {
                    self.mode = Mode::Events(Some(world.now));
                    self.ask(Question::Event, world);
                }
                is_due
            }
            Mode::Closing => false,
        }
    }

    fn read_first(&mut self, world: &mut World) -> bool {
        match http::head(&self.input) {
            Head::Request(request) => self.serve(&request, world),
            Head::Bad(status) => {
                self.say(http::text(status, "This is no request that the monitor takes.\n"));
                self.mode = Mode::Closing;
            }
            Head::Incomplete if self.has_ended => self.mode = Mode::Closing,
            Head::Incomplete => return false,
            Head::None => {
                let line = self.input.iter().position(|byte| *byte == b'\n');
                if line.is_none() && self.input.len() <= LINE && !self.has_ended {
                    return false;
                }
                // An empty line asks for the greeting alone.
                if let Some(end) = line.filter(|end| self.input[..*end].trim_ascii().is_empty()) {
                    self.input.drain(..=end);
                }
                self.mode = Mode::Terminal;
                self.ask(Question::Greeting, world);
            }
        }
        true
    }

    fn read_line(&mut self, world: &mut World) -> bool {
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            if self.input.len() > LINE {
                self.mode = Mode::Skipping;
                return true;
            }
            if self.has_ended && !self.input.is_empty() {
                // The last line without its end.
                self.input.push(b'\n');
                return true;
            }
            if self.has_ended {
                self.mode = Mode::Closing;
            }
            return false;
        };
        if end > LINE {
            self.mode = Mode::Skipping;
            return true;
        }
        let line: Vec<u8> = self.input.drain(..=end).collect();
        // Also ends the session at the character that a terminal sends for the end of input.
        let command = match line.first() {
            Some(4) => Command::Quit,
            _ => Command::parse(&String::from_utf8_lossy(&line)),
        };
        self.obey(command, world);
        true
    }

    fn skip(&mut self) -> bool {
        match self.input.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.input.drain(..=end);
                self.mode = Mode::Terminal;
                self.say("Bad command. The line is too long.\n");
                self.prompt();
                true
            }
            None => {
                self.input.clear();
                if self.has_ended {
                    self.mode = Mode::Closing;
                }
                false
            }
        }
    }

    fn obey(&mut self, command: Command, world: &mut World) {
        match command {
            Command::Nothing => {}
            Command::Help => self.say(HELP),
            Command::Unknown => self.say("Unknown command. Type help.\n"),
            Command::Bad(reason) => self.say(format!("Bad command. {reason}\n")),
            Command::Quit => {
                self.say("Leaving monitor.\n");
                self.mode = Mode::Closing;
            }
            Command::Signal(name) => self.signal(&name, world),
            Command::Cancel(_) if !world.rights.cancel => {
                self.say("This program does not allow `cancel`; see Monitor::allow_cancel.\n");
            }
            _ => return self.ask(Question::Command(command), world),
        }
        self.prompt();
    }

    fn signal(&mut self, name: &str, world: &mut World) {
        if !world.rights.signal {
            self.say("This program does not allow `signal`; see Monitor::allow_signals.\n");
        } else if let Some(signal) = signals::named(name) {
            world.acts.push(Act::Signal(signal));
        } else {
            self.say(format!("Unknown signal {}\n", clean(name)));
        }
    }

    /// Gives the answer to a question.
    fn tell(&mut self, question: Question, answer: &Answer, world: &mut World) {
        match question {
            Question::Greeting => {
                let tasks: usize = answer.shots().map(|shot| shot.len()).sum();
                self.say(format!("\nCurium Monitor: {tasks} tasks running\n"));
                self.say(&*answer.excuse);
                self.say(answer.alarms());
                self.say("Type help for commands\n");
                self.prompt();
            }
            Question::Command(command) => {
                self.say(&*answer.excuse);
                self.show(&command, answer, world);
                self.prompt();
            }
            Question::Document => {
                self.say(http::json(&world.document(answer, "")));
                self.mode = Mode::Closing;
            }
            Question::Event => self.say(world.document(answer, "data: ") + "\n"),
            Question::Trace(time) => {
                match answer.last_records(time) {
                    Ok(records) => {
                        let mut bytes = Vec::new();
                        // Nothing fails that is written to memory.
                        let _ = FlightRecord::write_perfetto_of(&records, &mut bytes);
                        self.output.push_back(http::trace(&bytes, &answer.left_out()).into());
                    }
                    Err((status, text)) => self.say(http::text(status, &text)),
                }
                self.mode = Mode::Closing;
            }
            Question::Cancel(id) => {
                let told = self.cancel(&id, answer, world);
                let status = if told.is_ok() { "200 OK" } else { "404 Not Found" };
                self.say(http::text(status, &told.unwrap_or_else(|text| text)));
                self.mode = Mode::Closing;
            }
        }
    }

    fn show(&mut self, command: &Command, answer: &Answer, world: &mut World) {
        if answer.shots().next().is_none() {
            return;
        }
        let of_task = |id: &str| answer.find(id).ok_or_else(|| answer.no_task(id));
        let text = match command {
            Command::Ps => return self.table(answer),
            Command::Json => Ok(world.document(answer, "")),
            Command::Where(id) => of_task(id).map(|(shot, task)| shot.place(task)),
            Command::Parents(id) => of_task(id).map(|(shot, task)| shot.parents(task)),
            Command::Tree => Ok(answer.tree()),
            Command::Graph(false) => {
                Ok(answer.alarms() + &answer.each(|shot| shot.graph.to_string()))
            }
            Command::Graph(true) => Ok(answer.dot()),
            Command::Stats => Ok(answer.each(Shot::stats)),
            // The excuse says why there is none.
            Command::Trace(_) if !answer.is_any_fresh() => return,
            Command::Trace(time) => {
                answer.last_records(*time).map_err(|(_, text)| text).map(|all| {
                    let mut json = Vec::new();
                    let _ = FlightRecord::write_chrome_json_of(&all, &mut json);
                    clean_json(&String::from_utf8_lossy(&json))
                })
            }
            Command::Cancel(id) => self.cancel(id, answer, world),
            _ => return,
        };
        self.say(text.unwrap_or_else(|text| text));
    }

    /// The table of all tasks. Its rows are those that all clients share.
    fn table(&mut self, answer: &Answer) {
        self.say(answer.alarms() + &shot::head());
        answer.shots().for_each(|shot| self.say(shot.rows()));
    }

    fn cancel(&mut self, id: &str, answer: &Answer, world: &mut World) -> Result<String, String> {
        let Some((shot, task)) = answer.find(id) else { return Err(answer.no_task(id)) };
        world.acts.push(Act::Cancel(shot.snapshot().core.unwrap_or(0), task.info.id));
        Ok(format!("Cancelling task {}\n", clean(id)))
    }

    /// Answers a request, or asks the kernel for the answer.
    fn serve(&mut self, request: &Request, world: &mut World) {
        self.input.clear();
        self.mode = Mode::Closing;
        match http::route(request, &world.token, world.rights.cancel) {
            http::Route::Text(status, text) => self.say(http::text(status, text)),
            http::Route::Page => self.say(http::page()),
            http::Route::Document => self.ask(Question::Document, world),
            http::Route::Trace(time) => self.ask(Question::Trace(time), world),
            http::Route::Cancel(id) => self.ask(Question::Cancel(id), world),
            http::Route::Events => {
                self.say(http::EVENTS);
                self.mode = Mode::Events(None);
            }
        }
    }
}
