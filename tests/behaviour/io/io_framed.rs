//! Messages over a stream.

use std::io::{self, ErrorKind};

use curium::io::{
    Decoder, DuplexStream, Encoder, Framed, LengthDelimitedCodec, ReadExt, WriteExt, duplex,
};
use curium::kernel::{cancelled, ignore_after, spawn, testing};

use crate::support::time::SECOND;

type Channel = Framed<DuplexStream, LengthDelimitedCodec>;

fn framed(stream: DuplexStream) -> Channel {
    Framed::new(stream, LengthDelimitedCodec::new())
}

fn channel(capacity: usize) -> (Channel, Channel) {
    let (ours, theirs) = duplex(capacity);
    (framed(ours), framed(theirs))
}

/// I3: messages keep their bounds, whatever the pieces are in which they come. An empty one is a
/// message. The end comes after the last one.
#[test]
fn messages_keep_their_bounds() {
    testing::run(async || {
        for capacity in [1, 3, 1 << 20] {
            let (mut ours, mut theirs) = channel(capacity);
            let messages = [&b"one"[..], b"", b"a longer message", &[7; 30_000], b"last"];
            let sends = spawn(async move {
                for message in messages {
                    ours.send(message).await?;
                }
                ours.close().await
            });
            for message in messages {
                assert_eq!(theirs.recv().await?.as_deref(), Some(message));
            }
            assert_eq!(theirs.recv().await?, None);
            assert_eq!(theirs.recv().await?, None, "the end stays");
            sends.await?;
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: on the wire, a message is its length in four bytes, the most significant one first, and its
/// bytes.
#[test]
fn a_message_is_its_length_and_its_bytes() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut ours = framed(ours);
        ours.send(vec![b'x'; 3]).await?;
        let mut wire = [0; 7];
        theirs.read_exact(&mut wire).await?;
        assert_eq!(&wire, b"\0\0\0\x03xxx");
        theirs.write_all(b"\0\0\0\x02yy\0\0").await?;
        assert_eq!(ours.recv().await?.unwrap(), b"yy");
        assert_eq!((ours.buffer(), ours.unwritten()), (&b"\0\0"[..], &b""[..]));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: a message that is too long is an error of the sender, which has sent nothing of it, and of
/// the receiver, which does not wait for its bytes.
#[test]
fn a_message_that_is_too_long_is_refused() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Framed::new(ours, LengthDelimitedCodec::new().max_frame_length(5));
        let refused = ours.send("123456").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(refused.to_string(), "a message of 6 bytes, but 5 is the most");
        ours.send("12345").await?;
        let mut wire = [0; 9];
        theirs.read_exact(&mut wire).await?;
        assert_eq!(&wire, b"\0\0\0\x0512345");
        theirs.write_all(&u32::MAX.to_be_bytes()).await?;
        for _ in 0..2 {
            let refused = ours.recv().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidData);
            assert!(refused.to_string().contains("4294967295 bytes"), "{refused}");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: a stream that ends inside a message, or inside its length, is an error, and not the end.
#[test]
fn a_truncated_message_is_an_error() {
    testing::run(async || {
        for wire in [&b"\0\0"[..], b"\0\0\0\x05hell"] {
            let (ours, mut theirs) = duplex(64);
            let mut ours = framed(ours);
            theirs.write_all(b"\0\0\0\x01x").await?;
            theirs.write_all(wire).await?;
            theirs.close().await?;
            assert_eq!(ours.recv().await?.unwrap(), b"x");
            for _ in 0..2 {
                let error = ours.recv().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                let text = format!("of which {} bytes were read", wire.len());
                assert!(error.to_string().contains(&text), "{error}");
            }
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3, C1: a receive that is cancelled or times out keeps what it has read of the message.
#[test]
fn a_cancelled_receive_keeps_what_it_has_read() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let receives = spawn(async move {
            let mut ours = framed(ours);
            assert!(ignore_after(SECOND, ours.recv()).await?.is_none());
            let error = ours.recv().await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert_eq!(ours.buffer(), b"\0\0\0\x05hel");
            ours.recv().await
        });
        theirs.write_all(b"\0\0\0\x05h").await?;
        testing::advance(SECOND).await?;
        theirs.write_all(b"el").await?;
        testing::settle().await?;
        assert_eq!(receives.state().to_string(), "RECV");
        receives.request_cancel();
        testing::settle().await?;
        theirs.write_all(b"lo").await?;
        assert_eq!(receives.await?.unwrap(), b"hello");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: a message whose send was cancelled goes out whole before the next one.
#[test]
fn a_cancelled_send_leaves_no_half_message() {
    testing::run(async || {
        let (mut ours, mut theirs) = channel(6);
        let sends = spawn(async move {
            let error = ours.send("hello").await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert_eq!(ours.unwritten(), b"llo");
            assert!(ignore_after(SECOND, ours.send("again")).await?.is_none());
            ours.flush().await?;
            ours.send("and").await?;
            ours.close().await
        });
        testing::settle().await?;
        assert_eq!(sends.state().to_string(), "SEND");
        sends.request_cancel();
        testing::advance(SECOND).await?;
        for message in ["hello", "again", "and"] {
            assert_eq!(theirs.recv().await?.unwrap(), message.as_bytes());
        }
        assert_eq!(theirs.recv().await?, None);
        sends.await
    })
    .unwrap();
}

/// Numbers in decimal with commas between them. After the last one there may be none.
struct Numbers;

impl Decoder for Numbers {
    type Item = u64;

    fn decode(&mut self, bytes: &[u8]) -> io::Result<Option<(u64, usize)>> {
        let Some(end) = bytes.iter().position(|byte| *byte == b',') else { return Ok(None) };
        Ok(self.decode_eof(&bytes[..end])?.map(|(number, _)| (number, end + 1)))
    }

    fn decode_eof(&mut self, bytes: &[u8]) -> io::Result<Option<(u64, usize)>> {
        let end = bytes.iter().position(|byte| *byte == b',').unwrap_or(bytes.len());
        if bytes.is_empty() {
            return Ok(None);
        }
        let number = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| io::Error::other("no number"))?;
        Ok(Some((number, bytes.len().min(end + 1))))
    }
}

impl Encoder<u64> for Numbers {
    fn encode(&mut self, number: u64, to: &mut Vec<u8>) -> io::Result<()> {
        to.extend(format!("{number},").bytes());
        if number == 13 { Err(io::Error::other("13 is not sent")) } else { Ok(()) }
    }
}

/// I3: a codec of the program's own. The end of the stream may be that of a message. An error of
/// the codec sends nothing.
#[test]
fn a_codec_can_be_of_the_programs_own() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Framed::new(ours, Numbers);
        theirs.write_all(b"1,22,333").await?;
        theirs.close().await?;
        assert_eq!((ours.recv().await?, ours.recv().await?), (Some(1), Some(22)));
        assert_eq!((ours.recv().await?, ours.recv().await?), (Some(333), None));
        ours.send(7).await?;
        assert_eq!(ours.send(13).await.unwrap_err().to_string(), "13 is not sent");
        ours.send(8).await?;
        ours.close().await?;
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).await?;
        assert_eq!(sent, "7,8,");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: bytes that are no message are an error each time, and stay in the buffer.
#[test]
fn bytes_that_are_no_message_stay() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Framed::new(ours, Numbers);
        theirs.write_all(b"x,1,").await?;
        for _ in 0..2 {
            assert_eq!(ours.recv().await.unwrap_err().to_string(), "no number");
            assert_eq!(ours.buffer(), b"x,1,");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
