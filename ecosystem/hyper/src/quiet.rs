//! Which errors of a connection are the client's doing.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Whether the client has caused this error of its connection: it hung up, was too slow, or did
/// not speak the protocol. hyper has answered it then, where that was possible. Or the client has
/// not said anything yet when the server stops.
pub(crate) fn is_of_client(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_user() {
                return false;
            }
            let left = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
            if left || error.is_parse() || error.is_timeout() {
                return true;
            }
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_remote() || error.is_library() || error.is_reset();
        } else if let Some(error) = error.downcast_ref::<io::Error>() {
            if is_hang_up(error.kind()) {
                return true;
            }
        }
        at = error.source();
    }
    false
}

fn is_hang_up(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    use ErrorKind::{TimedOut, UnexpectedEof};
    let gone = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
    // By this hyper-util ends a connection whose protocol is not known yet.
    gone.contains(&kind) || [TimedOut, ErrorKind::Interrupted].contains(&kind)
}
