//! The suite for streams of every kind, over those in memory and over any descriptor, and the bugs
//! that it must find.

use curium::io::{AsyncFd, BufReader, BufWriter, duplex};

use crate::conformance::buggy::{Bug, buggy};
use crate::conformance::{Kind, both_ways, conform, fails, plain_both_ways};

/// I1, I2, I3: a connection in memory passes the suite.
#[test]
fn a_connection_in_memory_conforms() {
    conform(both_ways(async || Ok(duplex(1000))));
}

/// I1, I2: so do the buffers, with room for less than what is sent at once, and for more.
#[test]
fn buffers_conform() {
    for capacity in [7, 3000] {
        conform(both_ways(async move || {
            let buffered =
                |end| BufReader::with_capacity(capacity, BufWriter::with_capacity(capacity, end));
            let (a, b) = duplex(500);
            Ok((buffered(a), buffered(b)))
        }));
    }
}

/// I1, I2, I4: a descriptor of other code is a stream. Its drop ends it.
#[cfg(unix)]
#[test]
fn any_descriptor_conforms() {
    let kinds = both_ways(async || {
        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        a.set_nonblocking(true)?;
        b.set_nonblocking(true)?;
        Ok((AsyncFd::new(a), AsyncFd::new(b)))
    });
    conform(kinds.into_iter().map(Kind::ends_when_dropped));
}

/// Checks that the suite finds a bug: the check of that name fails.
#[track_caller]
fn finds(bug: Bug, check: &str) {
    fails(&plain_both_ways(async move || Ok(buggy(bug))), check);
}

/// I1: a planted bug: what was read for a call that is cancelled is lost.
#[test]
fn the_suite_finds_a_lost_read() {
    finds(Bug::LosesWhatWasCancelled, "cancelled reads lose nothing");
}

/// I1: a planted bug: a poll that has to wait arranges for no wake.
#[test]
fn the_suite_finds_a_forgotten_wake() {
    finds(Bug::ForgetsToWake, "bytes arrive in order");
}

/// I1: a planted bug: of several polls for reading, the first is woken.
#[test]
fn the_suite_finds_a_stale_waker_of_a_reader() {
    finds(Bug::WakesTheFirstPoll, "the last poll for reading is woken");
}

/// I1: a planted bug: of several polls for writing, the first is woken.
#[test]
fn the_suite_finds_a_stale_waker_of_a_writer() {
    finds(Bug::WakesTheFirstPoll, "the last poll for writing is woken");
}

/// I1: a planted bug: both directions have one waker.
#[test]
fn the_suite_finds_a_waker_for_both_directions() {
    finds(Bug::WakesOneDirection, "each direction wakes its own poll");
}

/// I1: a planted bug: when there is nothing to read, that is the end.
#[test]
fn the_suite_finds_an_end_that_is_none() {
    finds(Bug::EndsTooEarly, "bytes arrive in order");
}

/// I1: a planted bug: the end of the stream comes once.
#[test]
fn the_suite_finds_an_end_that_comes_once() {
    finds(Bug::EndsOnce, "the end comes after the last byte and stays");
}

/// I1: a planted bug: a close closes nothing.
#[test]
fn the_suite_finds_a_close_without_effect() {
    finds(Bug::IgnoresTheClose, "the end comes after the last byte and stays");
}

/// I1: a planted bug: a close ends both directions.
#[test]
fn the_suite_finds_a_close_of_both_directions() {
    finds(Bug::ClosesBoth, "the end of one direction leaves the other");
}

/// I1: a planted bug: a close forgets what is in a buffer.
#[test]
fn the_suite_finds_a_dropped_tail() {
    finds(Bug::DropsTheTail, "the end comes after the last byte and stays");
}

/// I1: a planted bug: what had to wait is written twice.
#[test]
fn the_suite_finds_bytes_that_are_written_twice() {
    finds(Bug::WritesTwice, "bytes arrive in order");
}

/// I1: a planted bug: a vectored write counts buffers that it did not write.
#[test]
fn the_suite_finds_a_wrong_count_of_buffers() {
    finds(Bug::CountsAllBuffers, "several buffers are read and written in order");
}

/// I1: a planted bug: a read or write of no bytes waits.
#[test]
fn the_suite_finds_a_wait_for_nothing() {
    finds(Bug::WaitsForNothing, "empty buffers wait for nothing");
}

/// I1: a planted bug: a poll function returns a cancellation (C9).
#[test]
fn the_suite_finds_a_cancellation_from_a_poll() {
    finds(Bug::ReturnsTheCancellation, "a poll returns no cancellation");
}

/// I1: a planted bug: a closed stream takes bytes.
#[test]
fn the_suite_finds_writes_after_the_close() {
    finds(Bug::TakesBytesForEver, "a write after the close is an error");
}

/// I1: a planted bug: a stream without a reader takes bytes.
#[test]
fn the_suite_finds_writes_without_a_reader() {
    finds(Bug::TakesBytesForEver, "a writer without a reader gets an error");
}
