//! Messages that begin with their length.

use std::io::{self, ErrorKind};

use super::codec::{Decoder, Encoder};

/// Messages of bytes, each behind its length in four bytes, the most significant one first. It is
/// the form in which many protocols send messages, curio's channels among them.
///
/// A message may be empty. The greatest length is 8 MiB unless it is set.
#[derive(Debug, Clone)]
pub struct LengthDelimitedCodec {
    max_frame_length: usize,
}

/// The size of the length.
const HEAD: usize = 4;

impl LengthDelimitedCodec {
    /// With a greatest length of 8 MiB.
    pub fn new() -> Self {
        LengthDelimitedCodec { max_frame_length: 8 << 20 }
    }

    /// Sets the greatest length of a message in bytes. A longer one is an error of the sender, of
    /// the kind [`ErrorKind::InvalidInput`], and of the receiver, of the kind
    /// [`ErrorKind::InvalidData`], which keeps no memory for it.
    pub fn max_frame_length(mut self, bytes: usize) -> Self {
        self.max_frame_length = bytes;
        self
    }

    fn check(&self, len: usize, kind: ErrorKind) -> io::Result<()> {
        if len <= self.max_frame_length {
            return Ok(());
        }
        let most = self.max_frame_length;
        Err(io::Error::new(kind, format!("a message of {len} bytes, but {most} is the most")))
    }
}

impl Default for LengthDelimitedCodec {
    fn default() -> Self {
        LengthDelimitedCodec::new()
    }
}

impl Decoder for LengthDelimitedCodec {
    type Item = Vec<u8>;

    fn decode(&mut self, bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        self.check(len, ErrorKind::InvalidData)?;
        Ok(rest.get(..len).map(|message| (message.to_vec(), HEAD + len)))
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for LengthDelimitedCodec {
    fn encode(&mut self, message: T, to: &mut Vec<u8>) -> io::Result<()> {
        let message = message.as_ref();
        self.check(message.len(), ErrorKind::InvalidInput)?;
        let Ok(head) = u32::try_from(message.len()) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a message of 4 GiB or more"));
        };
        to.reserve(HEAD + message.len());
        to.extend(head.to_be_bytes());
        to.extend(message);
        Ok(())
    }
}
