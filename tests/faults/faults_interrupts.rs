//! System calls that are interrupted: one by one, as `strace` makes them fail, and in a storm of
//! stops and continuations, which on Linux interrupt a wait although no handler runs. They must
//! have no effect.

#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kernel::{TaskGroup, handle, now, run_in_thread, sleep, sleep_until, spawn, testing};
use net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::children;
use crate::support::connections;

const WAITS: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2";

/// Two tasks that exchange a number over a connection. Each of them increments it.
async fn count_up(to: u8) -> io::Result<()> {
    let (client, server) = connections::ours().await?;
    let raise = async move |stream: TcpStream| {
        let mut number = [0];
        while number[0] + 1 < to {
            stream.read_exact(&mut number).await?;
            number[0] += 1;
            stream.write_all(&number).await?;
        }
        Ok::<u8, io::Error>(number[0])
    };
    client.write_all(&[0]).await?;
    let counted = TaskGroup::<io::Error>::scope(async |group| {
        let here = group.spawn(async move { raise(client).await });
        let there = group.spawn(async move { raise(server).await });
        let (here, there) = (here.join().await?, there.join().await?);
        Ok((here.unwrap(), there.unwrap()))
    });
    let (here, there) = counted.await?;
    assert!(here.max(there) >= to, "{here} and {there}");
    Ok(())
}

/// Runs `test` in a child in which these calls are interrupted, first, third, and so on.
fn interrupted(test: &str, calls: &str) {
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:error=EINTR:when=1+2");
    if let Some(trace) = children::traced(test, "child", &["-e", &trace, "-e", &inject]) {
        assert!(trace.injected("EINTR") > 0, "{calls}:\n{}", trace.text());
    }
}

/// Two datagram sockets exchange numbers: over UDP, and over a Unix socket.
async fn exchange_datagrams() -> io::Result<()> {
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let address = other.local_addr()?;
    let (here, there) = UnixDatagram::pair()?;
    let mut buf = [0; 2];
    for number in 0..50 {
        one.send_to(&[number], address).await?;
        assert_eq!((other.recv_from(&mut buf).await?.0.len, buf[0]), (1, number));
        here.send(&[number]).await?;
        assert_eq!((there.recv(&mut buf).await?.len, buf[0]), (1, number));
    }
    Ok(())
}

/// N1, N7, N9: an interrupted read or write is tried again.
#[test]
fn interrupted_reads_and_writes_are_tried_again() {
    if children::role().is_some() {
        kernel::run(async || count_up(100).await).unwrap();
        return kernel::run(exchange_datagrams).unwrap();
    }
    interrupted(children::this_test!(), "recvfrom,sendto,recvmsg,sendmsg");
}

/// K2, K8: an interrupted wait for events continues, on the real clock and on the virtual one.
#[test]
fn an_interrupted_wait_for_events_goes_on() {
    if children::role().is_some() {
        let program = async || {
            count_up(20).await?;
            let begun = now();
            let shorter = sleep(Duration::from_millis(20));
            sleep(Duration::from_millis(5)).await?;
            shorter.await?;
            assert!(now() - begun >= Duration::from_millis(20));
            run_in_thread(|| ()).await?;
            Ok::<(), io::Error>(())
        };
        kernel::run(program).unwrap();
        return testing::run(program).unwrap();
    }
    interrupted(children::this_test!(), WAITS);
}

/// N1: a connect that is interrupted continues.
#[test]
fn an_interrupted_connect_goes_on() {
    if children::role().is_some() {
        return kernel::run(async || count_up(3).await).unwrap();
    }
    interrupted(children::this_test!(), "connect");
}

/// N1: the error of a refused connect names the address.
#[test]
fn a_refused_connect_says_by_whom() {
    let name = children::this_test!();
    if children::role().is_some() {
        testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let refused = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert!(refused.to_string().contains(&address.to_string()), "{refused}");
            // The next connect is not affected.
            TcpStream::connect(address).await.map(drop)
        })
        .unwrap();
        return;
    }
    let inject = "inject=connect:error=ECONNREFUSED:when=1";
    if let Some(trace) = children::traced(name, "child", &["-e", "trace=connect", "-e", inject]) {
        assert_eq!(trace.injected("ECONNREFUSED"), 1, "{}", trace.text());
    }
}

/// K7: a wake from another thread is not lost when its system call is interrupted.
#[test]
fn an_interrupted_wake_is_not_lost() {
    let name = children::this_test!();
    if children::role().is_some() {
        kernel::run(async || {
            // Only that thread wakes this task, so the kernel sleeps until then.
            for _ in 0..5 {
                let (handle, ended) = (handle(), Rc::new(sync::Event::new()));
                let waiting = ended.clone();
                let sleeper = spawn(async move { waiting.wait().await });
                let id = sleeper.id();
                std::thread::spawn(move || handle.request_cancel(id).unwrap());
                sleeper.join().await?.unwrap_err();
            }
            Ok::<(), kernel::TaskCancelled>(())
        })
        .unwrap();
        return;
    }
    interrupted(name, "write");
}

/// The state of a process, as the letter in its status.
fn state(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let stat = stat.expect("a child that was not waited for exists");
    let (_, rest) = stat.rsplit_once(')').expect("the name is in brackets");
    rest.trim_start().chars().next().expect("the state follows the name")
}

/// Runs the test `name` in a child that is stopped and continued without pause until it ends.
fn in_a_storm(name: &str) {
    let child = children::Running::of(name, "child");
    let (pid, begun) = (child.pid(), Instant::now());
    let mut stops = 0_u32;
    while begun.elapsed() < children::DEADLINE && state(pid) != 'Z' {
        kill_process(pid, Signal::STOP).unwrap();
        while !matches!(state(pid), 'T' | 'Z') {
            std::thread::yield_now();
        }
        kill_process(pid, Signal::CONT).unwrap();
        stops += 1;
        // Time to reach its next wait. Real signals are under test.
        std::thread::sleep(Duration::from_micros(500));
    }
    let outlived = state(pid) == 'Z';
    child.end();
    assert!(outlived, "{name} came to no end before the storm did");
    assert!(stops >= 10, "{stops} stops are no storm");
}

/// K2, K7: in a storm of interruptions every timer fires, in order and not early, and the sockets
/// work.
#[test]
fn a_storm_of_interruptions_is_invisible() {
    if children::role().is_none() {
        return in_a_storm(children::this_test!());
    }
    kernel::run(async || {
        let (begun, fired) = (now(), Rc::new(RefCell::new(Vec::new())));
        TaskGroup::<io::Error>::scope(async |group| {
            for millis in 1..=300 {
                let fired = fired.clone();
                group.spawn(async move {
                    let due = begun + Duration::from_millis(millis);
                    sleep_until(due).await?;
                    fired.borrow_mut().push((millis, now() >= due));
                    Ok::<(), io::Error>(())
                });
            }
            for _ in 0..10 {
                count_up(50).await?;
            }
            Ok(())
        })
        .await?;
        let expected: Vec<_> = (1..=300).map(|millis| (millis, true)).collect();
        assert_eq!(*fired.borrow(), expected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K8: an interruption is not an event: a virtual clock jumps during a storm.
#[test]
fn a_virtual_clock_jumps_in_a_storm_of_interruptions() {
    if children::role().is_none() {
        return in_a_storm(children::this_test!());
    }
    testing::run(async || {
        let (client, _server) = connections::ours().await?;
        // Parked on a socket, so that the clock waits for silence before it jumps.
        let reader = spawn(async move { client.read(&mut [0]).await });
        for _ in 0..20 {
            sleep(Duration::from_secs(3600)).await?;
        }
        reader.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
