//! A mesh of queues: four cores count the words of a text. Each core reads every fourth line, and
//! sends each word to the core that owns it, which counts it.
//!
//! An inbox has room for eight words, so that a core that is behind holds up those that send to
//! it. In a second run a core fails in the middle, and all end; no word is lost on the way.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use curium::kernel::{CoreErrors, gather, kernels};
use curium::sync::UniversalQueue;

const CORES: usize = 4;
const TEXT: &str = include_str!("../LICENSE-APACHE");

type Counts = BTreeMap<String, usize>;

/// What the cores share.
struct Mesh {
    /// One for each core. `None` is the last thing that each sender puts.
    inboxes: [UniversalQueue<Option<String>>; CORES],
    sent: AtomicUsize,
    received: AtomicUsize,
}

impl Mesh {
    fn new() -> Self {
        let inboxes = [(); CORES].map(|()| UniversalQueue::bounded(8));
        Mesh { inboxes, sent: AtomicUsize::new(0), received: AtomicUsize::new(0) }
    }

    /// The half of a core that reads its lines.
    async fn read(&self, core: usize, unreadable: Option<usize>) -> io::Result<()> {
        for (number, line) in TEXT.lines().enumerate().skip(core).step_by(CORES) {
            if unreadable == Some(number) {
                return Err(io::Error::other(format!("line {number} is unreadable")));
            }
            let words = line.split(|letter: char| !letter.is_alphabetic());
            for word in words.filter(|word| !word.is_empty()) {
                let word = word.to_lowercase();
                self.inboxes[owner(&word)].put(Some(word)).await?;
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        for inbox in &self.inboxes {
            inbox.put(None).await?;
        }
        Ok(())
    }

    /// The half that counts the words that it owns.
    async fn count(&self, core: usize) -> io::Result<Counts> {
        let (mut counts, mut senders) = (Counts::new(), CORES);
        while senders > 0 {
            match self.inboxes[core].get().await? {
                Some(word) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    *counts.entry(word).or_default() += 1;
                }
                None => senders -= 1,
            }
        }
        Ok(counts)
    }

    /// What every core has counted. The cores borrow the mesh.
    fn run(&self, unreadable: Option<usize>) -> Result<Vec<Counts>, CoreErrors<io::Error>> {
        kernels(CORES, async |core| {
            let core = core.index();
            let ((), counts) = gather((self.read(core, unreadable), self.count(core))).await?;
            Ok(counts)
        })
    }

    /// The words that were sent, and are neither counted nor in an inbox.
    fn lost(self) -> usize {
        let left = self.inboxes.iter().flat_map(|inbox| std::iter::from_fn(|| inbox.try_get()));
        self.sent.into_inner() - self.received.into_inner() - left.flatten().count()
    }
}

/// The core that counts a word.
fn owner(word: &str) -> usize {
    word.bytes().map(usize::from).sum::<usize>() % CORES
}

fn main() -> Result<(), CoreErrors<io::Error>> {
    let mesh = Mesh::new();
    let counted = mesh.run(None)?;
    for (core, counts) in counted.iter().enumerate() {
        let most = counts.iter().max_by_key(|(_, count)| **count);
        let (word, count) = most.expect("every core owns words");
        println!("core {core}: {} words, '{word}' {count} times", counts.len());
    }
    let all: usize = counted.iter().flat_map(|counts| counts.values()).sum();
    println!("{all} words were counted, {} are lost", mesh.lost());

    let mesh = Mesh::new();
    if let Err(failed) = mesh.run(Some(102)) {
        println!("{failed}; {} words are lost", mesh.lost());
    }
    Ok(())
}
