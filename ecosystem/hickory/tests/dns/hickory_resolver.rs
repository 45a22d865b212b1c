//! Look-ups, over UDP and over TCP.

use curium::kernel::{self, TaskGroup, now, sleep, timeout_after};
use curium::net::simulated::SimulatedNet;
use hickory_resolver::config::ConnectionConfig;

use crate::kit::{Anything, look_up, quiet, resolver, secs, with_server};

fn udp() -> Vec<ConnectionConfig> {
    vec![ConnectionConfig::udp()]
}

fn tcp() -> Vec<ConnectionConfig> {
    vec![ConnectionConfig::tcp()]
}

/// E1: the connection of a resolver does not keep its group open, and ends with it.
#[test]
fn what_hickory_spawned_ends_with_its_group() {
    quiet(async || {
        with_server(async || {
            let before = kernel::tasks().len();
            let left = TaskGroup::scope(async |group| {
                let resolver = resolver(group, tcp())?;
                look_up(&resolver, "www.").await?;
                assert!(kernel::tasks().len() > before + 1, "the connection, and its server's");
                Ok::<_, Anything>(resolver)
            });
            let resolver = left.await?;
            sleep(secs(1)).await?;
            assert_eq!(kernel::tasks().len(), before);
            assert!(look_up(&resolver, "www.").await.is_err(), "it has no group any more");
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// E2: a look-up is cancelled while it waits for its answer, and the resolver goes on.
#[test]
fn a_cancelled_look_up_leaves_the_resolver_usable() {
    quiet(async || {
        with_server(async || {
            TaskGroup::scope(async |group| {
                for connections in [udp(), tcp()] {
                    let resolver = resolver(group, connections)?;
                    for _ in 0..3 {
                        let begun = now();
                        let silent = timeout_after(secs(1), look_up(&resolver, "silent.")).await;
                        assert!(silent.is_err());
                        assert_eq!(now() - begun, secs(1));
                        look_up(&resolver, "www.").await?;
                        assert_eq!(now() - begun, secs(1));
                    }
                }
                Ok(())
            })
            .await
        })
        .await
    })
    .unwrap();
}

/// K4: hickory's timers count by the clock of the kernel: a question that is lost is asked again,
/// and one without an answer is given up.
#[test]
fn the_limits_of_hickory_are_of_the_clock_of_the_kernel() {
    quiet(async || {
        with_server(async || {
            TaskGroup::scope(async |group| {
                let resolver = resolver(group, udp())?;
                let (begun, net) = (now(), SimulatedNet::current());
                net.loss(1.0);
                let found = group.spawn(async move { look_up(&resolver, "www.").await });
                sleep(secs(1)).await?;
                net.loss(0.0);
                found.await?;
                assert!(now() - begun > secs(1), "the question was lost");
                Ok::<_, Anything>(())
            })
            .await?;
            TaskGroup::scope(async |group| {
                let (resolver, begun) = (resolver(group, udp())?, now());
                assert!(look_up(&resolver, "silent.").await.is_err());
                assert!(now() - begun >= secs(5), "the default of hickory");
                Ok(())
            })
            .await
        })
        .await
    })
    .unwrap();
}

/// E2: a name server that takes no connection is an error, once it has refused or the limit has
/// passed.
#[test]
fn a_name_server_that_is_not_there_is_an_error() {
    quiet(async || {
        TaskGroup::scope(async |group| {
            for connections in [udp(), tcp()] {
                let resolver = resolver(group, connections)?;
                assert!(look_up(&resolver, "www.").await.is_err());
            }
            Ok::<_, Anything>(())
        })
        .await
    })
    .unwrap();
}
