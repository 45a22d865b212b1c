//! A kernel that ends while clients look at it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use curium::kernel::{self, Kernel, TaskCancelled, sleep, spawn, yield_now};
use curium::monitor::MonitorExt;
use curium::sync::UniversalEvent;

use crate::monitor_kit::anywhere;
use crate::support::time::secs;

/// What comes after the lines, until the monitor closes the connection.
fn asked(at: &str, lines: &str, sent: &UniversalEvent) -> String {
    let mut stream = TcpStream::connect(at).expect("the monitor listens");
    stream.write_all(lines.as_bytes()).expect("the monitor reads");
    sent.set();
    let mut answer = Vec::new();
    // A connection that is closed with input left in it is reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

/// A round: the kernel ends so many turns after the last client has asked. A look at its tasks
/// takes several parts.
fn ends_while_asked(turns: u32, lines: &[&'static str]) -> Vec<String> {
    let (monitor, address) = anywhere();
    let kernel = Kernel::builder().monitor(monitor).build().expect("a kernel");
    let (at, token) = address.recv().expect("the monitor listens");
    let clients = lines.iter().map(|lines| {
        let (at, sent) = (at.clone(), Arc::new(UniversalEvent::new()));
        let lines = lines.replace("HOST", &at).replace("TOKEN", &token);
        let theirs = sent.clone();
        (sent, thread::spawn(move || asked(&at, &lines, &theirs)))
    });
    let clients: Vec<_> = clients.collect();
    let ended = kernel.run(async || {
        let tasks: Vec<_> = (0..1000).map(|_| spawn(sleep(secs(3600)))).collect();
        for (sent, _) in &clients {
            sent.wait().await?;
        }
        for _ in 0..turns {
            yield_now().await?;
        }
        drop(tasks);
        Ok::<_, TaskCancelled>(kernel::tasks().len())
    });
    assert_eq!(ended.expect("nothing cancels main"), 1001);
    kernel.shutdown();
    let joined = clients.into_iter().map(|(_, client)| client.join().expect("it does not panic"));
    joined.collect()
}

/// M3: whenever the kernel ends, its clients are closed, also those that wait for a look of which
/// some parts are taken.
#[test]
fn a_kernel_that_ends_while_it_is_looked_at_closes_its_clients() {
    let page = "GET /json HTTP/1.1\r\nHost: HOST\r\n\r\n";
    let clients = ["ps\nps\nps\n", "tree\ngraph\njson\n", page, "cancel 1\nps\nquit\n"];
    for round in 0..40 {
        let answers = ends_while_asked(round * 7 % 97, &clients);
        for (answer, start) in answers.iter().zip(["\nCurium", "\nCurium", "HTTP/1.1 200 "]) {
            let begins = answer.is_empty() || answer.starts_with(start);
            assert!(begins, "round {round}: {answer}");
        }
    }
}
