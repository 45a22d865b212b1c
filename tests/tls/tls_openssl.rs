//! The tools of OpenSSL as the other side.

use std::io::{self, ErrorKind};
use std::time::Duration;

use curium::io::{BufReadExt, BufReader, ReadExt, WriteExt};
use curium::kernel::{spawn, timeout_after};
use curium::net::rustls::ProtocolVersion;
use curium::net::{TcpListener, TcpStream, TlsAcceptor, TlsConnector, TlsStream};
use curium::process::{Child, Command, Stdio};

use crate::certificates::{client, file, known_client, server, strict_server};

/// The tests run real processes: a limit in case one of them never ends.
const LIMIT: Duration = Duration::from_secs(60);

fn run(body: impl AsyncFnOnce() -> io::Result<()>) {
    let ended = curium::run(async || timeout_after(LIMIT, body()).await);
    ended.expect("the time is up").unwrap();
}

fn openssl(command: &str, name: &str) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.arg(command);
    for (option, path) in
        [("-cert", file(&format!("{name}.pem"))), ("-key", file(&format!("{name}.key")))]
    {
        openssl.arg(option).arg(path);
    }
    openssl.arg("-CAfile").arg(file("ca.pem")).arg("-verify_return_error");
    openssl
}

/// A server that reverses lines, its port, and the rest of what it prints.
async fn reversing_server(options: &[&str]) -> io::Result<(Child, u16)> {
    let mut command = openssl("s_server", "server");
    command.args(["-rev", "-accept", "127.0.0.1:0", "-alpn", "reverse"]).args(options);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().await?;
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    while let Some(line) = lines.next().await? {
        if let Some(port) = line.strip_prefix("ACCEPT 127.0.0.1:") {
            child.stdout = Some(lines.into_parts().0.into_inner());
            return Ok((child, port.trim().parse().map_err(io::Error::other)?));
        }
    }
    Err(io::Error::other("the server has ended"))
}

async fn ask(stream: &mut BufReader<TlsStream<TcpStream>>, text: &str) -> io::Result<String> {
    stream.write_all(format!("{text}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

/// N13: a client of s_server, with a certificate, by TLS 1.3 and 1.2. When the server is killed,
/// the end of the stream is an error.
#[test]
fn a_client_talks_to_the_server_of_openssl() {
    run(async || {
        let cases: [(&[&str], _); 2] = [
            (&["-Verify", "1"], ProtocolVersion::TLSv1_3),
            (&["-Verify", "1", "-tls1_2"], ProtocolVersion::TLSv1_2),
        ];
        for (options, version) in cases {
            let (mut child, port) = reversing_server(options).await?;
            let mut config = known_client();
            config.alpn_protocols = vec![b"reverse".to_vec()];
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let stream = TlsConnector::new(config).connect("localhost", stream).await?;
            assert_eq!(stream.session().protocol_version(), Some(version));
            assert_eq!(stream.session().alpn_protocol(), Some(&b"reverse"[..]));
            let mut stream = BufReader::new(stream);
            assert_eq!(ask(&mut stream, "stressed").await?, "desserts");
            assert_eq!(ask(&mut stream, &"ab".repeat(5000)).await?, "ba".repeat(5000));
            child.kill()?;
            child.wait().await?;
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        Ok(())
    });
}

/// N13: s_server refuses a client without a certificate, which learns it from its first read.
#[test]
fn the_server_of_openssl_refuses_a_stranger() {
    run(async || {
        let (mut child, port) = reversing_server(&["-Verify", "1"]).await?;
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut stream = TlsConnector::new(client(&[])).connect("localhost", stream).await?;
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        child.kill()?;
        child.wait().await?;
        Ok(())
    });
}

/// N13: s_client talks to a server, and sees a clean end only if the stream was closed.
#[test]
fn the_client_of_openssl_talks_to_a_server() {
    run(async || {
        for (version, closes) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_3", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            let served = spawn(async move {
                let (stream, _) = listener.accept().await?;
                let mut config = strict_server();
                config.alpn_protocols = vec![b"shout".to_vec()];
                let stream = TlsAcceptor::new(config).accept(stream).await?;
                assert_eq!(stream.session().alpn_protocol(), Some(&b"shout"[..]));
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                stream.write_all(line.to_uppercase().as_bytes()).await?;
                match closes {
                    true => stream.close().await,
                    false => stream.flush().await,
                }
            });
            let mut command = openssl("s_client", "client");
            command.args(["-quiet", "-connect", &address, "-servername", "localhost"]);
            command.args(["-alpn", "shout", version]).input("hello\n");
            let output = command.output().await?;
            served.await?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), "HELLO\n");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said.contains("unexpected eof"), !closes, "{said}");
        }
        Ok(())
    });
}

/// N13: s_client does not take a server that it cannot verify, and says so.
#[test]
fn the_client_of_openssl_refuses_another_name() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let served = spawn(async move {
            let (stream, _) = listener.accept().await?;
            TlsAcceptor::new(server(&[])).accept(stream).await
        });
        let mut command = openssl("s_client", "client");
        command.args(["-quiet", "-connect", &address, "-verify_hostname", "example.org"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        assert!(!command.status().await?.success());
        assert_eq!(served.await.unwrap_err().kind(), ErrorKind::InvalidData);
        Ok(())
    });
}
