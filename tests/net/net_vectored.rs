//! Reads into several buffers, and writes of several.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::rc::Rc;

use curium::kernel::testing;
use curium::net::{TcpStream, UnixStream};
use curium::prelude::*;

use crate::support::connections;

/// The methods of both types of streams, for one test of both.
macro_rules! checks {
    ($stream:ident, $theirs:ident) => {{
        let (stream, mut theirs) = (Rc::new($stream), $theirs);
        let (mut one, mut other) = ([0; 2], [0; 4]);
        // A read parks, and then fills the buffers in order.
        let reader = spawn({
            let stream = stream.clone();
            async move {
                let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
                let n = stream.read_vectored(&mut bufs).await?;
                Ok::<_, io::Error>((n, one, other))
            }
        });
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        theirs.write_all(b"abcde")?;
        assert_eq!(reader.await?, (5, *b"ab", *b"cde\0"));

        // A cancelled one has consumed nothing.
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
        let cut = timeout_after(Duration::from_secs(1), stream.read_vectored(&mut bufs));
        assert!(cut.await.is_err());
        theirs.write_all(b"fgh")?;
        assert_eq!(stream.read_vectored(&mut bufs).await?, 3);
        assert_eq!((one, &other[..1]), (*b"fg", &b"h"[..]));
        assert_eq!(stream.read_vectored(&mut []).await?, 0);
        assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut [])]).await?, 0);

        let bufs = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"three")];
        assert_eq!(stream.write_vectored(&bufs).await?, 8);
        let mut got = [0; 8];
        theirs.set_nonblocking(false)?;
        theirs.read_exact(&mut got)?;
        assert_eq!(&got, b"onethree");
        assert_eq!(stream.write_vectored(&[]).await?, 0);

        // Few bytes, which are copied into one buffer, and one more than those.
        for (first, second) in [(0, 1), (5, 0), (1, 1023), (1023, 1), (1, 1024), (1024, 1)] {
            let bytes: Vec<u8> = (0..=255).cycle().take(first + second).collect();
            let bufs = [IoSlice::new(&bytes[..first]), IoSlice::new(&bytes[first..])];
            assert_eq!(stream.write_vectored(&bufs).await?, bytes.len());
            let mut got = vec![0; bytes.len()];
            theirs.read_exact(&mut got)?;
            assert!(got == bytes, "{first} and {second} bytes come as others");
        }

        // A write without room parks, and is cancelled there.
        let large = vec![7; 1 << 20];
        let bufs = [IoSlice::new(&large), IoSlice::new(&large)];
        let mut written = 0;
        while let Some(n) =
            ignore_after(Duration::from_secs(1), stream.write_vectored(&bufs)).await?
        {
            written += n;
        }
        drop(stream);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest)?;
        assert_eq!(rest.len(), written);
        assert!(rest.iter().all(|byte| *byte == 7));
        Ok::<_, io::Error>(())
    }};
}

/// N1, N4: a read fills its buffers in order, a write takes what there is room for; both park, and
/// a cancelled one has done nothing.
#[test]
fn several_buffers_are_one_read_or_one_write() {
    testing::run(async || {
        let (stream, theirs): (TcpStream, _) = connections::to_std().await?;
        checks!(stream, theirs)
    })
    .unwrap();
    testing::run(async || {
        let (stream, theirs) = std::os::unix::net::UnixStream::pair()?;
        let stream = UnixStream::from_std(stream)?;
        checks!(stream, theirs)
    })
    .unwrap();
}
