//! Endpoints, their connections and their streams.

use curium::kernel::{self, TaskGroup, cancellable, cancellable_after, now, sleep, timeout_after};
use curium_quinn::GroupRuntime;
use quinn::{ConnectionError, Runtime};

use crate::kit::{Anything, HERE, connected, endpoints, ping, quiet, secs};

/// E1: the drivers of an endpoint and of its connections do not keep their group open, and end with
/// it, also if they are in use.
#[test]
fn what_quinn_spawned_ends_with_its_group() {
    quiet(async || {
        let begun = now();
        let left = TaskGroup::scope(async |group| {
            let (server, client) = endpoints(group, group)?;
            let (theirs, ours) = connected(&server, &client).await?;
            ping(&ours, &theirs).await?;
            assert_eq!(kernel::tasks().len(), 5, "two endpoints and two ends of a connection");
            Ok::<_, Anything>((server, client, theirs, ours))
        });
        let (_server, client, _theirs, ours) = left.await?;
        assert_eq!((kernel::tasks().len(), now()), (1, begun));
        assert!(client.connect(HERE, "localhost").is_err(), "the endpoint has ended");
        assert!(cancellable(ours.accept_uni()).await?.is_err(), "the connection has ended");
        Ok::<_, Anything>(())
    })
    .unwrap();
}

/// E1: what is to be spawned once the group has ended, or outside its kernel, is dropped.
#[test]
fn what_quinn_spawns_too_late_is_dropped() {
    let runtime = quiet(async || {
        let made = TaskGroup::<Anything>::scope(async |group| Ok(GroupRuntime::new(group)));
        let runtime = made.await.unwrap();
        runtime.spawn(Box::pin(async { panic!("it is polled") }));
        runtime
    });
    runtime.spawn(Box::pin(async { panic!("it is polled") }));
}

/// E2: a cancel arrives in each wait of quinn, and leaves the connection as it was.
#[test]
fn a_cancel_arrives_in_each_wait_of_quinn() {
    quiet(async || {
        TaskGroup::scope(async |group| {
            let (server, client) = endpoints(group, group)?;
            let (theirs, ours) = connected(&server, &client).await?;
            let (mut sender, mut receiver) = cancellable(ours.open_bi()).await??;
            expires(server.accept()).await;
            expires(ours.accept_bi()).await;
            expires(ours.open_bi()).await; // there is room for one
            expires(ours.read_datagram()).await;
            expires(ours.closed()).await;
            expires(receiver.read(&mut [0])).await;
            expires(sender.write_all(&[7; 1001])).await;
            expires(sender.stopped()).await;
            expires(client.wait_idle()).await;
            let silent = std::net::UdpSocket::bind(HERE)?;
            expires(client.connect(silent.local_addr()?, "localhost")?).await;
            for _ in 0..3 {
                ping(&ours, &theirs).await?;
                ping(&theirs, &ours).await?;
            }
            Ok::<_, Anything>(())
        })
        .await
    })
    .unwrap();
}

/// Ends a wait by a timeout, which is a cancellation, after a second.
async fn expires<T>(wait: impl IntoFuture<Output = T>) {
    let begun = now();
    assert!(cancellable_after(secs(1), wait).await.is_err(), "it does not wait");
    assert_eq!(now() - begun, secs(1));
}

/// E2: a stream that is written is cancelled in the middle. The peer hears what the cleanup says,
/// and other streams go on.
#[test]
fn a_cancelled_writer_resets_its_stream() {
    quiet(async || {
        TaskGroup::scope(async |group| {
            let (server, client) = endpoints(group, group)?;
            let (theirs, ours) = connected(&server, &client).await?;
            let writer = async {
                let (mut sender, _receiver) = cancellable(ours.open_bi()).await??;
                let written = cancellable(sender.write_all(&[7; 100_000])).await;
                if written.is_err() {
                    sender.reset(7_u32.into())?;
                }
                Ok::<_, Anything>(written??)
            };
            assert!(timeout_after(secs(1), writer).await.is_err());
            let (_sender, mut receiver) = cancellable(theirs.accept_bi()).await??;
            let error = cancellable(receiver.read_to_end(100_000)).await?.unwrap_err();
            assert_eq!(error.to_string(), "read error: stream reset by peer: error 7");
            ping(&theirs, &ours).await
        })
        .await
    })
    .unwrap();
}

/// K4: quinn's timers count by the clock of the kernel. A peer that has gone without a word is
/// given up after the idle limit, which passes at once on a virtual clock.
#[test]
fn the_limits_of_quinn_are_of_the_clock_of_the_kernel() {
    quiet(async || {
        TaskGroup::scope(async |clients| {
            let gone = TaskGroup::scope(async |servers| {
                let (server, client) = endpoints(servers, clients)?;
                let (theirs, ours) = connected(&server, &client).await?;
                Ok::<_, Anything>((client, ours, theirs))
            });
            let (client, ours, _theirs) = gone.await?;
            let begun = now();
            assert_eq!(cancellable(ours.closed()).await?, ConnectionError::TimedOut);
            assert_eq!((now() - begun).as_secs(), 30, "the default of quinn");
            cancellable(client.wait_idle()).await?;
            Ok::<_, Anything>(())
        })
        .await
    })
    .unwrap();
}

/// E1: an endpoint that is closed before its group ends says goodbye.
#[test]
fn an_endpoint_that_is_closed_says_goodbye() {
    quiet(async || {
        TaskGroup::scope(async |group| {
            let (server, client) = endpoints(group, group)?;
            let (theirs, ours) = connected(&server, &client).await?;
            server.close(3_u32.into(), b"goodbye");
            let begun = now();
            let closed = cancellable(ours.closed()).await?.to_string();
            assert_eq!(closed, "closed by peer: goodbye (code 3)");
            assert_eq!(now(), begun);
            let idle = async || {
                cancellable(server.wait_idle()).await?;
                cancellable(client.wait_idle()).await
            };
            timeout_after(secs(10), idle()).await??;
            drop((client, server, ours, theirs));
            sleep(secs(10)).await?;
            assert_eq!(kernel::tasks().len(), 1, "what is dropped has no task");
            Ok::<_, Anything>(())
        })
        .await
    })
    .unwrap();
}
