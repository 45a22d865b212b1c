//! What is asked of a monitor: a command of its text port, its document, and its events.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::time::Duration;

use crate::Failure;
use crate::address::{Address, Stream};
use crate::text::{clean, clean_line};

/// How long a program may be silent. Its monitor answers after two seconds at the latest, also if
/// its kernel does not; of that there are two, for the greeting and for the command.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A longer answer is refused. The document of a million tasks is shorter.
const LONGEST: u64 = 1 << 30;

const GREETING: &str = "\nCurium Monitor: ";
const PROMPT: &str = "curium > ";

/// Sends a command and gives its answer, which is harmless for a terminal.
pub(crate) fn ask(address: &Address, command: &str) -> Result<String, Failure> {
    let (_, answer) = dialogue(address, command, PATIENCE)?;
    if answer.starts_with("The kernel has ended.") {
        return Err(has_ended(address));
    }
    match answer.lines().last() {
        Some(last) if is_refusal(last) => Err(Failure::Program(format!("{address}: {last}"))),
        _ => Ok(answer),
    }
}

fn is_refusal(line: &str) -> bool {
    ["No task ", "Unknown command", "Bad command", "This program does not allow"]
        .iter()
        .any(|refusal| line.starts_with(refusal))
}

/// The number of tasks, as the greeting says it.
pub(crate) fn tasks(address: &Address, patience: Duration) -> Result<usize, Failure> {
    let (greeting, _) = dialogue(address, "", patience)?;
    let number = greeting.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| is_no_monitor(address))
}

/// Has one command carried out. Gives what follows in the greeting, and the answer.
fn dialogue(
    address: &Address,
    command: &str,
    patience: Duration,
) -> Result<(String, String), Failure> {
    let mut stream = address.connect(patience)?;
    send(&mut stream, &format!("{command}\nquit\n"), address)?;
    let said = String::from_utf8_lossy(&read_all(&mut stream, address)?).into_owned();
    let Some(said) = said.strip_prefix(GREETING) else {
        return Err(if said.is_empty() { has_ended(address) } else { is_no_monitor(address) });
    };
    // The names in a greeting have no line ends.
    let Some((greeting, answer)) = said.split_once(&format!("\n{PROMPT}")) else {
        return Err(has_ended(address));
    };
    match answer.strip_suffix(&format!("{PROMPT}Leaving monitor.\n")) {
        Some(answer) => Ok((greeting.to_owned(), clean(answer))),
        None if answer == "Leaving monitor.\n" => Ok((greeting.to_owned(), String::new())),
        None => Err(has_ended(address)),
    }
}

/// The document with everything, as it came.
pub(crate) fn document(address: &Address) -> Result<String, Failure> {
    String::from_utf8(body(address, "/json")?).map_err(|_| is_no_monitor(address))
}

/// What the flight recorder has of the last seconds, and the cores that it lacks.
pub(crate) fn trace(address: &Address, secs: &str) -> Result<(Vec<u8>, Option<String>), Failure> {
    answer(address, &format!("/trace?secs={secs}"))
}

/// The whole answer to a request.
fn body(address: &Address, path: &str) -> Result<Vec<u8>, Failure> {
    Ok(answer(address, path)?.0)
}

/// The same, and the cores that it leaves out.
fn answer(address: &Address, path: &str) -> Result<(Vec<u8>, Option<String>), Failure> {
    let mut reader = get(address, path)?;
    let mut body = Vec::new();
    let Head { length, left_out } = head(&mut reader, address)?;
    read_into(&mut reader, &mut body, address)?;
    if length.is_some_and(|length| length != body.len()) {
        return Err(has_ended(address));
    }
    Ok((body, left_out))
}

/// The documents that a program sends, one after the other.
#[derive(Debug)]
pub(crate) struct Events {
    address: Address,
    reader: BufReader<Stream>,
}

impl Events {
    pub(crate) fn open(address: &Address) -> Result<Self, Failure> {
        let mut reader = get(address, "/events")?;
        head(&mut reader, address)?;
        Ok(Events { address: address.clone(), reader })
    }

    /// Waits for the next document.
    pub(crate) fn next(&mut self) -> Result<String, Failure> {
        loop {
            let line = read_line(&mut self.reader, &self.address)?;
            if line.is_empty() {
                return Err(has_ended(&self.address));
            }
            if let Some(document) = line.strip_prefix("data: ") {
                return Ok(document.to_owned());
            }
        }
    }
}

/// Sends a request. The monitor serves only those that name this machine.
fn get(address: &Address, path: &str) -> Result<BufReader<Stream>, Failure> {
    let mut stream = address.connect(PATIENCE)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(&mut stream, &request, address)?;
    Ok(BufReader::new(stream))
}

/// The head of an answer.
#[derive(Debug, Default)]
struct Head {
    /// The length of the body, if it is said.
    length: Option<usize>,
    /// The cores that have not answered, if there are any.
    left_out: Option<String>,
}

/// Reads the head of an answer.
fn head(reader: &mut BufReader<Stream>, address: &Address) -> Result<Head, Failure> {
    let status = read_line(reader, address)?;
    if status.is_empty() {
        return Err(has_ended(address));
    }
    let Some(status) = status.strip_prefix("HTTP/1.1 ") else {
        return Err(is_no_monitor(address));
    };
    let mut head = Head::default();
    loop {
        let line = read_line(reader, address)?;
        match line.trim_end() {
            "" => break,
            field => match field.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    head.length = value.trim().parse().ok();
                }
                Some((name, value)) if name.eq_ignore_ascii_case("x-curium-left-out") => {
                    head.left_out = Some(clean_line(value.trim()));
                }
                _ => {}
            },
        }
    }
    if status.starts_with("200") {
        return Ok(head);
    }
    let mut reason = Vec::new();
    read_into(reader, &mut reason, address)?;
    let reason = String::from_utf8_lossy(&reason).into_owned();
    let (status, reason) = (clean_line(status.trim_end()), clean_line(reason.trim_end()));
    Err(Failure::Program(format!("{address}: it refuses ({status}). {reason}")))
}

fn send(stream: &mut Stream, text: &str, address: &Address) -> Result<(), Failure> {
    stream.write_all(text.as_bytes()).map_err(|error| broken(&error, address))
}

fn read_all(stream: &mut Stream, address: &Address) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    read_into(stream, &mut bytes, address)?;
    Ok(bytes)
}

fn read_into(
    reader: &mut impl Read,
    bytes: &mut Vec<u8>,
    address: &Address,
) -> Result<(), Failure> {
    let read = reader.take(LONGEST).read_to_end(bytes);
    read.map(drop).map_err(|error| broken(&error, address))
}

/// Reads a line with its end. It is empty at the end of the stream.
fn read_line(reader: &mut BufReader<Stream>, address: &Address) -> Result<String, Failure> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line);
    read.map_err(|error| broken(&error, address))?;
    if !line.is_empty() && !line.ends_with(b"\n") {
        return Err(has_ended(address));
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn broken(error: &io::Error, address: &Address) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Program(format!(
            "{address}: no answer for {} s; is a monitor of Curium listening there?",
            PATIENCE.as_secs()
        )),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => has_ended(address),
        _ => Failure::Program(format!("{address}: {}", clean_line(&error.to_string()))),
    }
}

fn has_ended(address: &Address) -> Failure {
    Failure::Program(format!("{address}: the program has ended, or has closed the connection"))
}

fn is_no_monitor(address: &Address) -> Failure {
    Failure::Program(format!("{address}: what listens there is no monitor of Curium"))
}
