//! What curio's tests of files check.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::io::{self, Read, SeekFrom, Write};

use curium::fs::{File, OpenOptions};
use curium::io::{BufReadExt, BufReader};
use curium::kernel::testing;

use crate::support::dirs::TempDir;

const TEXT: &str = "line 1\nline 2\nline 3\n";

/// Runs a test with a file that has three lines.
fn run(main: impl AsyncFnOnce(&TempDir, File) -> io::Result<()>) {
    let dir = TempDir::new();
    let path = dir.file("text", TEXT);
    testing::run(async || main(&dir, File::open(path).await?).await).unwrap();
}

/// O3: a read fills the caller's buffer with what one call of the system gives, and no more.
#[test]
fn a_read_gives_what_one_call_of_the_system_gives() {
    run(async |dir, mut file| {
        let mut plain = std::fs::File::open(dir.of("text"))?;
        for len in [3, 100, 100] {
            let (mut expected, mut buf) = (vec![0; len], vec![0; len]);
            assert_eq!(file.read(&mut buf).await?, plain.read(&mut expected)?);
            assert_eq!(buf, expected);
        }
        Ok(())
    });
}

/// O3: lines come in order, and then the end, as often as one asks.
#[test]
fn lines_come_in_order_and_then_the_end() {
    run(async |_, file| {
        let mut file = BufReader::new(file);
        for expected in ["line 1\n", "line 2\n", "line 3\n", "", ""] {
            let mut line = String::new();
            assert_eq!(file.read_line(&mut line).await?, expected.len());
            assert_eq!(line, expected);
        }
        Ok(())
    });
}

/// O3: the next line, or none at the end.
#[test]
fn the_lines_of_a_file_come_one_by_one() {
    run(async |_, file| {
        let mut lines = BufReader::new(file).lines();
        for expected in [Some("line 1"), Some("line 2"), Some("line 3"), None, None] {
            assert_eq!(lines.next().await?.as_deref(), expected);
        }
        Ok(())
    });
}

/// O3: what was written is there for every other reader, line by line and in order.
#[test]
fn what_was_written_is_there() {
    run(async |dir, _| {
        let path = dir.of("written");
        let mut file = File::create(&path).await?;
        file.write_all(b"line 1\n").await?;
        file.flush().await?;
        assert_eq!(std::fs::read_to_string(&path)?, "line 1\n");
        for line in ["line 2\n", "line 3\n"] {
            file.write_all(line.as_bytes()).await?;
        }
        assert_eq!(std::fs::read_to_string(&path)?, TEXT);
        Ok(())
    });
}

/// O3: the position can be set and asked for, and a read goes on there.
#[test]
fn the_position_can_be_set_and_asked_for() {
    run(async |_, mut file| {
        assert_eq!(file.seek(SeekFrom::Start(7)).await?, 7);
        assert_eq!(file.stream_position().await?, 7);
        let mut line = [0; 6];
        file.read(&mut line).await?;
        assert_eq!(&line, b"line 2");
        Ok(())
    });
}

/// O3: a file can be cut short, and written on from its new end.
#[test]
fn a_file_can_be_cut_short_and_written_on() {
    run(async |dir, _| {
        let path = dir.of("text");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        file.set_len(7).await?;
        file.seek(SeekFrom::End(0)).await?;
        file.write_all(b"the end\n").await?;
        assert_eq!(std::fs::read_to_string(&path)?, "line 1\nthe end\n");
        Ok(())
    });
}

/// O3: the plain file can be borrowed for code that blocks, and goes on where the other was.
#[test]
fn the_plain_file_can_be_borrowed() {
    run(async |dir, _| {
        let path = dir.of("written");
        let mut file = File::create_new(&path).await?;
        file.write_all(b"one ").await?;
        let mut plain = file.into_std().await?;
        plain.write_all(b"two ")?;
        let mut file = File::from_std(plain);
        file.write_all(b"three").await?;
        assert_eq!(std::fs::read_to_string(&path)?, "one two three");
        Ok(())
    });
}
