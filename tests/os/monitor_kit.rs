//! A kernel with a monitor, and the client that asks it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use curium::kernel::{Builder, Kernel, TaskCancelled};
use curium::monitor::{Monitor, MonitorExt};
use curium::sync::UniversalEvent;
use std::sync::Arc;

/// What ends the dialogue in time if the monitor does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PROMPT: &str = "curium > ";

/// A monitor at a port that the system chooses, and where its address comes.
pub(crate) fn anywhere() -> (Monitor, Receiver<(String, String)>) {
    let (sender, receiver) = channel();
    let monitor = Monitor::new().address(([127, 0, 0, 1], 0)).announce(move |listening| {
        sender.send((listening.at().to_owned(), listening.token().to_owned())).unwrap();
    });
    (monitor, receiver)
}

/// Runs `main` with such a monitor, and `client` on a thread of its own. `main` gets an event that
/// is set when the client has ended.
pub(crate) fn with_client<T>(
    builder: Builder,
    change: impl FnOnce(Monitor) -> Monitor,
    client: impl FnOnce(Client) -> T + Send + 'static,
    main: impl AsyncFnOnce(&UniversalEvent) -> Result<(), TaskCancelled>,
) -> T
where
    T: Send + 'static,
{
    let (monitor, address) = anywhere();
    let kernel = builder.monitor(change(monitor)).build().unwrap();
    let (at, token) = address.recv().unwrap();
    let ended = Arc::new(UniversalEvent::new());
    let at_its_end = SetAtEnd(ended.clone());
    let thread = thread::spawn(move || {
        let _at_its_end = at_its_end;
        client(Client { at, token })
    });
    kernel.run(async || main(&ended).await).unwrap();
    kernel.shutdown();
    thread.join().unwrap()
}

/// Sets an event also if the client panics.
pub(crate) struct SetAtEnd(pub(crate) Arc<UniversalEvent>);

impl Drop for SetAtEnd {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The same, with a `main` that only waits for the client.
pub(crate) fn asked<T: Send + 'static>(client: impl FnOnce(Client) -> T + Send + 'static) -> T {
    with_client(Kernel::builder(), |it| it, client, async |ended| ended.wait().await)
}

/// Where the monitor is.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) at: String,
    pub(crate) token: String,
}

impl Client {
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A terminal that has been greeted, with the greeting.
    pub(crate) fn terminal(&self) -> (Terminal<TcpStream>, String) {
        Terminal::greeted(self.connect())
    }

    /// What comes after a request, until the connection is closed.
    pub(crate) fn http(&self, first: &str, headers: &str) -> String {
        String::from_utf8(self.http_bytes(first, headers)).unwrap()
    }

    pub(crate) fn http_bytes(&self, first: &str, headers: &str) -> Vec<u8> {
        let mut stream = self.connect();
        let at = &self.at;
        write!(stream, "{first} HTTP/1.1\r\nHost: {at}\r\n{headers}\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

/// A dialogue of text.
pub(crate) struct Terminal<S>(pub(crate) S);

impl<S: Read + Write> Terminal<S> {
    pub(crate) fn greeted(stream: S) -> (Self, String) {
        let mut terminal = Terminal(stream);
        writeln!(terminal.0).unwrap();
        let greeting = terminal.read_answer();
        (terminal, greeting)
    }

    /// The text up to the next prompt.
    fn read_answer(&mut self) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        // Nothing comes after the prompt until the next question.
        while !text.ends_with(PROMPT.as_bytes()) {
            let read = self.0.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..read]);
        }
        text.truncate(text.len() - PROMPT.len());
        String::from_utf8(text).unwrap()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.0, "{line}").unwrap();
        self.read_answer()
    }

    /// Asks until the answer contains this.
    pub(crate) fn ask_until(&mut self, line: &str, part: &str) -> String {
        loop {
            let answer = self.ask(line);
            if answer.contains(part) {
                return answer;
            }
        }
    }
}

/// The id of the task with that name in a table of `ps`.
pub(crate) fn id_of(ps: &str, name: &str) -> String {
    let mut rows = ps.lines().skip_while(|row| !row.starts_with("---"));
    let row = rows.find(|row| row.ends_with(&format!(" {name}")));
    let row = row.unwrap_or_else(|| panic!("{name} is not in\n{ps}"));
    row.split_whitespace().next().unwrap().to_owned()
}

/// A kernel whose reports are not shown.
pub(crate) fn silent() -> Builder {
    Kernel::builder().on_report(|_| ())
}
