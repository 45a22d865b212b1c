//! What turns messages into bytes, and bytes into messages.

use std::io;

/// Finds messages in bytes, for a [`Framed`](crate::Framed).
///
/// ```
/// use std::io;
/// use curium::io::{Decoder, Encoder, Framed, duplex};
///
/// /// Lines of text.
/// struct Lines;
///
/// impl Decoder for Lines {
///     type Item = String;
///
///     fn decode(&mut self, bytes: &[u8]) -> io::Result<Option<(String, usize)>> {
///         let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
///         Ok(Some((String::from_utf8_lossy(&bytes[..end]).into(), end + 1)))
///     }
/// }
///
/// impl Encoder<&str> for Lines {
///     fn encode(&mut self, line: &str, to: &mut Vec<u8>) -> io::Result<()> {
///         to.extend(line.as_bytes());
///         to.push(b'\n');
///         Ok(())
///     }
/// }
///
/// curium::run(async || {
///     let (ours, theirs) = duplex(64);
///     let (mut ours, mut theirs) = (Framed::new(ours, Lines), Framed::new(theirs, Lines));
///     ours.send("hello").await?;
///     assert_eq!(theirs.recv().await?.as_deref(), Some("hello"));
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
pub trait Decoder {
    /// A message.
    type Item;

    /// Looks for a whole message at the front of `bytes`. Gives it with its length in bytes, or
    /// `None` if more bytes are needed. It is called with the same bytes and more until then.
    ///
    /// # Errors
    ///
    /// The bytes are no message. The bytes stay, so the next call finds the same.
    fn decode(&mut self, bytes: &[u8]) -> io::Result<Option<(Self::Item, usize)>>;

    /// The same when the stream has ended, so that the end may be that of a message. It is called
    /// until it gives `None`. If bytes are left then, the stream has ended inside a message.
    ///
    /// # Errors
    ///
    /// As [`decode`](Decoder::decode).
    fn decode_eof(&mut self, bytes: &[u8]) -> io::Result<Option<(Self::Item, usize)>> {
        self.decode(bytes)
    }
}

/// Makes bytes of messages, for a [`Framed`](crate::Framed). See [`Decoder`] for an example.
pub trait Encoder<Item> {
    /// Appends the bytes of `item` to `to`.
    ///
    /// # Errors
    ///
    /// The item cannot be sent. What was appended is removed.
    fn encode(&mut self, item: Item, to: &mut Vec<u8>) -> io::Result<()>;
}
