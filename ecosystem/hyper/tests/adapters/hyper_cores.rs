//! A server over cores.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use curium::kernel::{Core, Cores, kernels, sleep};
use curium::net::Balance;
use curium_hyper::serve_on_cores;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// Says on which core it is. `/stop` stops the cores, and answers after that.
async fn say_core(request: Request<Incoming>) -> curium::Result<Response<String>> {
    let core = Core::current().expect("it runs on a core");
    if request.uri().path() == "/stop" {
        core.stop();
        core.stopping().await?;
        sleep(Duration::from_millis(1)).await?;
    }
    Ok(Response::new(format!("core {}", core.index())))
}

/// The client, whose connection stays, and the answer.
fn get(address: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(address).expect("it listens");
    write!(client, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is served");
    let mut answer = Vec::new();
    while !answer.windows(5).any(|bytes| bytes == b"core ") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        answer.extend_from_slice(&byte);
    }
    let mut core = [0];
    client.read_exact(&mut core).expect("an answer");
    answer.extend_from_slice(&core);
    (client, String::from_utf8(answer).expect("a text"))
}

/// Connections are spread over the cores, and a request that is in flight at a stop is answered.
#[test]
fn every_core_serves_and_a_stop_answers_what_was_begun() {
    let (said, listening) = mpsc::channel();
    let server = thread::spawn(move || {
        let cores = Cores::count(2).drain(Duration::from_secs(60));
        kernels(cores, async |core| {
            let said = said.clone();
            let service = service_fn(say_core);
            let server = serve_on_cores(&core, "127.0.0.1:0", Balance::Fewest, service);
            server.on_listening(move |address| said.send(address).expect("a test")).await
        })
    });
    let address = listening.recv().expect("it listens");
    let mut seen = [false; 2];
    let mut clients = Vec::new();
    while seen != [true; 2] {
        let (client, answer) = get(address, "/");
        let core = usize::from(answer.ends_with('1'));
        seen[core] = true;
        clients.push(client);
    }
    let (_, answer) = get(address, "/stop");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // Connections without a request end by themselves.
    server.join().expect("no panic").expect("no core fails");
    for mut client in clients {
        assert_eq!(client.read_to_end(&mut Vec::new()).expect("a close"), 0);
    }
}
