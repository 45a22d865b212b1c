//! The little of HTTP that the port speaks beside its text: one request for each connection.
//!
//! A page of another site must not read the port through a browser of this machine. So the header
//! `Host` must name this machine, which the name of a site that resolves to it does not, and
//! `Origin`, if there is one, the port itself. What changes something needs the token too.

use std::time::Duration;

use crate::command;

/// A longer head of a request is refused.
const HEAD: usize = 8192;

/// The head of a stream of events.
pub(crate) const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";

/// What the first bytes of a client are.
#[derive(Debug)]
pub(crate) enum Head {
    /// No request, as far as it goes.
    None,
    /// The beginning of one.
    Incomplete,
    Request(Request),
    /// One that is refused, with that status.
    Bad(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Request {
    method: String,
    path: String,
    query: String,
    host: Option<String>,
    origin: Option<String>,
    token: Option<String>,
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Page,
    Document,
    Events,
    Trace(Duration),
    Cancel(String),
    Text(&'static str, &'static str),
}

/// Looks for a request at the beginning of the input.
pub(crate) fn head(input: &[u8]) -> Head {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Head::None };
    let first = String::from_utf8_lossy(&input[..end]);
    let mut words = first.split_ascii_whitespace();
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Head::None;
    };
    if !version.starts_with("HTTP/") {
        return Head::None;
    }
    let length = ["\r\n\r\n", "\n\n"]
        .iter()
        .filter_map(|blank| input.windows(blank.len()).position(|bytes| bytes == blank.as_bytes()));
    let Some(length) = length.min() else {
        let too_long = input.len() > HEAD;
        return if too_long {
            Head::Bad("431 Request Header Fields Too Large")
        } else {
            Head::Incomplete
        };
    };
    if length > HEAD {
        return Head::Bad("431 Request Header Fields Too Large");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    for line in String::from_utf8_lossy(input.get(end..length).unwrap_or_default()).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = Some(value.trim().to_owned());
        match &*name.to_ascii_lowercase() {
            // A second one could hide the first from another reader of the request.
            "host" if request.host.is_some() => return Head::Bad("400 Bad Request"),
            "host" => request.host = value,
            "origin" => request.origin = value,
            "x-curium-token" => request.token = value,
            _ => {}
        }
    }
    Head::Request(request)
}

impl Request {
    /// A parameter of the query. None of ours needs an escape but the colon of a task of a core,
    /// which needs none either, and which browsers write as one.
    fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn is_from_here(&self) -> bool {
        let Some(host) = &self.host else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
        let is_own = |origin: &String| origin.strip_prefix("http://") == Some(host);
        is_local && self.origin.as_ref().is_none_or(is_own)
    }
}

/// What the request is for, if it may be made.
pub(crate) fn route(request: &Request, token: &str, may_cancel: bool) -> Route {
    if !request.is_from_here() {
        return Route::Text("403 Forbidden", "The request is not from this machine.\n");
    }
    match (&*request.method, &*request.path) {
        ("GET", "/json") => Route::Document,
        ("GET", "/events") => Route::Events,
        ("GET", "/") => Route::Page,
        ("GET", "/trace") => match request.parameter("secs").and_then(command::seconds) {
            Some(time) => Route::Trace(time),
            None => Route::Text("400 Bad Request", "How many `secs`?\n"),
        },
        ("POST", "/cancel") if !may_cancel => Route::Text(
            "403 Forbidden",
            "This program does not allow `cancel`; see Monitor::allow_cancel.\n",
        ),
        ("POST", "/cancel") => {
            let sent = request.token.as_deref().or_else(|| request.parameter("token"));
            match request.parameter("task") {
                _ if sent != Some(token) => Route::Text("403 Forbidden", "The token is wrong.\n"),
                Some(task) => Route::Cancel(task.replace("%3A", ":").replace("%3a", ":")),
                None => Route::Text("400 Bad Request", "Which `task`?\n"),
            }
        }
        (_, "/json" | "/events" | "/" | "/trace" | "/cancel") => {
            Route::Text("405 Method Not Allowed", "Not with this method.\n")
        }
        _ => Route::Text(
            "404 Not Found",
            "There is a page at /, GET /json, GET /events, GET /trace?secs=N, POST /cancel.\n",
        ),
    }
}

/// An answer of text.
pub(crate) fn text(status: &str, text: &str) -> String {
    answer(status, "text/plain; charset=utf-8", text)
}

/// An answer of JSON.
pub(crate) fn json(document: &str) -> String {
    answer("200 OK", "application/json", document)
}

/// The page. Its address may hold the token, so that no other site must learn it.
pub(crate) fn page() -> String {
    let kind = "text/html; charset=utf-8\r\nReferrer-Policy: same-origin\r\n\
        X-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'none'; \
        style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";
    answer("200 OK", kind, include_str!("page.html"))
}

/// An answer that is a trace. A header names the cores that are left out of it, if there are any.
pub(crate) fn trace(bytes: &[u8], left_out: &[usize]) -> Vec<u8> {
    let cores: Vec<String> = left_out.iter().map(usize::to_string).collect();
    let mut kind = "application/octet-stream".to_owned();
    if !cores.is_empty() {
        kind += &format!("\r\nX-Curium-Left-Out: {}", cores.join(", "));
    }
    [start("200 OK", &kind, bytes.len()).as_bytes(), bytes].concat()
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    start(status, kind, body.len()) + body
}

/// What comes before the body.
fn start(status: &str, kind: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(text: &str) -> Route {
        match head(text.as_bytes()) {
            Head::Request(request) => route(&request, "secret", true),
            other => panic!("{other:?}"),
        }
    }

    fn is_refused(text: &str) -> bool {
        matches!(routed(text), Route::Text("403 Forbidden", _))
    }

    #[test]
    fn the_first_line_tells_a_request_from_a_command() {
        assert!(matches!(head(b"ps\n"), Head::None));
        assert!(matches!(head(b"GET /json HTTP/1.1"), Head::None));
        assert!(matches!(head(b"GET /json HTTP/1.1\r\nHost: a\r\n"), Head::Incomplete));
        assert!(matches!(head(b"GET /json HTTP/1.1\r\nHost: a\r\n\r\n"), Head::Request(_)));
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n", "x".repeat(HEAD));
        assert!(matches!(head(long.as_bytes()), Head::Bad(_)));
    }

    #[test]
    fn a_request_names_this_machine_and_the_port_itself() {
        assert_eq!(routed("GET /json HTTP/1.1\r\nHost: localhost:48802\r\n\r\n"), Route::Document);
        assert_eq!(routed("GET /events HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"), Route::Events);
        let page = "GET /?token=secret HTTP/1.1\r\nHost: 127.0.0.1:48802\r\n\r\n";
        assert_eq!(routed(page), Route::Page);
        assert!(is_refused("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        assert!(is_refused("GET /json HTTP/1.1\r\n\r\n"));
        assert!(is_refused("GET /json HTTP/1.1\r\nHost: evil.example:48802\r\n\r\n"));
        assert!(is_refused("GET /json HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n"));
        let origin = "GET /json HTTP/1.1\r\nHost: localhost:1\r\nOrigin: ";
        assert_eq!(routed(&format!("{origin}http://localhost:1\r\n\r\n")), Route::Document);
        assert!(is_refused(&format!("{origin}http://localhost:2\r\n\r\n")));
        assert!(is_refused(&format!("{origin}null\r\n\r\n")));
    }

    #[test]
    fn a_cancel_needs_the_token() {
        let post = |query: &str, more: &str| {
            format!("POST /cancel?{query} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
        };
        assert!(is_refused(&post("task=3", "")));
        assert!(is_refused(&post("task=3&token=guess", "")));
        assert_eq!(routed(&post("task=3&token=secret", "")), Route::Cancel("3".into()));
        let header = "X-Curium-Token: secret\r\n";
        assert_eq!(routed(&post("task=3.1", header)), Route::Cancel("3.1".into()));
        let of_core = Route::Cancel("1:3".into());
        assert_eq!(routed(&post("task=1:3", header)), of_core);
        assert_eq!(routed(&post("task=1%3A3", header)), of_core);
        assert!(matches!(routed(&post("", header)), Route::Text("400 Bad Request", _)));
        let trace = "GET /trace?secs=2 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(routed(trace), Route::Trace(Duration::from_secs(2)));
        let get = "GET /cancel?task=3&token=secret HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert!(matches!(routed(get), Route::Text("405 Method Not Allowed", _)));
    }
}
