//! The suite for streams of every kind, over TLS.

use crate::certificates::{client, connected_over, plainly_connected, server};
use crate::conformance::{both_ways, conform, one_way};
use crate::support::connections;

/// N13, I1, I2: a connection in memory, under TLS, passes the suite.
#[test]
fn tls_in_memory_conforms() {
    // The pair has room for whole records. What has no room stays in the session of its writer.
    conform(both_ways(async || plainly_connected(64 * 1024).await));
}

/// N13, I1, I2: so does TLS over a connection of the system.
#[test]
fn tls_over_tcp_conforms() {
    conform(both_ways(async || {
        let (ours, theirs) = connections::ours().await?;
        connected_over(client(&[]), server(&[]), ours, theirs).await
    }));
}

/// N13, I1, I2: so do the halves of a connection.
#[test]
fn the_halves_of_a_tls_connection_conform() {
    conform(one_way(async || {
        let (ours, theirs) = plainly_connected(64 * 1024).await?;
        Ok((ours.into_split().1, theirs.into_split().0))
    }));
}
