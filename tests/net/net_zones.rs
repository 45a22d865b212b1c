//! IPv6 addresses with a zone: the name or the number of a network interface.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use kernel::testing;
use net::{TcpListener, TcpStream};

/// A machine may have IPv6 switched off.
async fn listener() -> Option<TcpListener> {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.ok();
    if listener.is_none() {
        println!("skipped: no IPv6");
    }
    listener
}

/// The index of the loopback interface in the system.
fn loopback() -> u32 {
    let number = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
    number.trim().parse().unwrap()
}

/// N4: a zone by name and by number, in a text and beside a port, with and without brackets.
#[test]
fn a_connect_finds_its_zone_by_name_and_by_number() {
    testing::run(async || {
        let Some(listener) = listener().await else { return Ok(()) };
        let port = listener.local_addr()?.port();
        let number = loopback();
        for text in
            [format!("[::1%lo]:{port}"), format!("[::1%{number}]:{port}"), format!("[::1]:{port}")]
        {
            let client = TcpStream::connect(&text).await?;
            assert_eq!(client.peer_addr()?.port(), port, "{text}");
        }
        for host in ["::1%lo".to_owned(), format!("::1%{number}"), "[::1%lo]".into()] {
            TcpStream::connect((host.as_str(), port)).await?;
        }
        TcpStream::connect(("[::1]", port)).await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4: a listener is bound with a zone, too, and a link-local address is valid only in its zone.
#[test]
fn a_bind_takes_a_zone() {
    testing::run(async || {
        if listener().await.is_none() {
            return Ok(());
        }
        for text in ["[::1%lo]:0", "[::%lo]:0"] {
            let bound = TcpListener::bind(text).await?;
            assert!(bound.local_addr()?.is_ipv6());
        }
        // The loopback interface has no address of this kind.
        let refused = TcpListener::bind("[fe80::1%lo]:0").await.unwrap_err();
        let named = format!("cannot listen on [fe80::1%{}]:0", loopback());
        assert!(refused.to_string().contains(&named), "{refused}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4: the link-local addresses of this machine are reached with the name of their interface, and
/// not without it.
#[test]
fn a_link_local_address_is_reached_through_its_zone() {
    testing::run(async || {
        let known = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        for line in known.lines() {
            // Address, index, length of the prefix, scope, flags, name.
            let parts: Vec<&str> = line.split_whitespace().collect();
            let (digits, index, name) = (parts[0], parts[1], parts[5]);
            let ip = Ipv6Addr::from(u128::from_str_radix(digits, 16).unwrap());
            if !digits.starts_with("fe80") {
                continue;
            }
            let number = u32::from_str_radix(index, 16).unwrap();
            if std::net::TcpListener::bind(SocketAddrV6::new(ip, 0, 0, number)).is_err() {
                // The address may be tentative or gone.
                continue;
            }
            let listener = TcpListener::bind(format!("[{ip}%{name}]:0")).await?;
            let port = listener.local_addr()?.port();
            let client = TcpStream::connect(format!("[{ip}%{name}]:{port}")).await?;
            match client.peer_addr()? {
                SocketAddr::V6(peer) => {
                    assert_eq!(IpAddr::V6(*peer.ip()), IpAddr::V6(ip));
                    assert_eq!(peer.scope_id(), number);
                }
                other => panic!("{other}"),
            }
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4: the error names a zone that is not an interface, at once.
#[test]
fn a_zone_that_is_no_interface_is_named_in_the_error() {
    testing::run(async || {
        for text in ["[fe80::1%nonsense]:80", "[::1%a_name_longer_than_any_interface]:80"] {
            let zone = text.split(['%', ']']).nth(1).unwrap();
            for error in [
                TcpStream::connect(text).await.unwrap_err(),
                TcpListener::bind(text).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
                let message = error.to_string();
                assert!(message.contains("interface") && message.contains(zone), "{message}");
                assert!(message.contains(text), "{message}");
            }
        }
        let error = TcpStream::connect(("fe80::1%", 80)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
