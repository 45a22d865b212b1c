//! How one core asks all cores for snapshots.
//!
//! A thread of a pool asks, so that the time is real also if the clock of the own kernel is a
//! virtual one. A core gives its snapshot in parts, between which its tasks run: one with many
//! tasks is neither held up nor taken for one that blocks. Several parts are not one moment, so
//! their kernel confirms the verdicts on them, or these are left out.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::core::current;
use crate::core::survey::{SnapshotParts, are_unpolled};
use crate::core::watcher::Link;
use crate::cores::seen::{CoreSilent, CoreSnapshots};
use crate::cores::shared::Shared;
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::insight::{Snapshot, WaitGraph};
use crate::task::waker::{Message, Remote};
use crate::threads::pool::ThreadPool;
use crate::wait::sleep::yield_now;

/// How long a core has to answer, and for each further part.
pub(super) const ANSWER: Duration = Duration::from_millis(250);

/// The number of tasks that one look takes. The kernel is away from its tasks for that long.
const PART: usize = 256;

/// Threads of its own: jobs of the program that hang hold up no snapshot.
static ASKING: ThreadPool = ThreadPool::new("curium-snapshot", 64);

/// A core as the thread that asks knows it. It keeps nothing of the program.
pub(super) struct Peer {
    /// None: it could not start.
    pub(super) remote: Option<Arc<Remote>>,
    pub(super) link: Option<Link>,
}

/// The task that a core is polling, with its name, if its kernel is watched.
pub(super) fn polled(link: Option<&Link>) -> Option<(TaskId, String)> {
    let link = link?;
    let task = link.poll_mark().task?;
    Some((task, link.name_of(task)?))
}

/// All parts of one core.
struct Whole {
    parts: SnapshotParts,
    is_one_moment: bool,
}

impl Whole {
    /// Begins in the kernel of this thread.
    fn begin() -> Self {
        Whole { parts: SnapshotParts::begin(), is_one_moment: true }
    }

    /// Takes the next part. True: it was the last one.
    fn take(&mut self) -> bool {
        let is_last = self.parts.take(PART);
        self.is_one_moment &= is_last;
        is_last
    }
}

/// What comes to the thread that asks.
enum Came {
    /// A core has given a part, and gives more.
    Part(usize),
    /// All parts of a core. None: its kernel has ended.
    End(usize, Option<Box<Whole>>),
    /// Whether no task of the verdicts was polled since the first part.
    AtRest(usize, bool),
    /// Nobody waits any more.
    Left,
}

/// What a core answers when this is dropped, also if its kernel ends before it looks.
struct Answer {
    came: Option<Came>,
    sender: Sender<Came>,
    wanted: Weak<()>,
}

impl Answer {
    fn fill(&mut self, came: Came) {
        self.came = Some(came);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Nobody may wait any more.
        let _ = self.came.take().map(|came| self.sender.send(came));
    }
}

/// The call. Its end is that of the thread that asks, too.
struct Call {
    sender: Sender<Came>,
    /// A core that has blocked for long looks only for those who still wait.
    _wanted: Arc<()>,
}

impl Drop for Call {
    fn drop(&mut self) {
        // The thread may have ended.
        let _ = self.sender.send(Came::Left);
    }
}

/// Looks at the own core, and has another thread ask the others.
#[track_caller]
pub(super) fn snapshots(
    shared: &Shared,
    own: usize,
) -> impl Future<Output = Result<CoreSnapshots, TaskCancelled>> + use<> {
    let (sender, came) = channel();
    let wanted = Arc::new(());
    let asker = Asker {
        peers: (0..shared.count()).map(|core| shared.peer(core)).collect(),
        sender: sender.clone(),
        came,
        wanted: Arc::downgrade(&wanted),
        seen: BTreeMap::new(),
        at_rest: BTreeMap::new(),
        silent: BTreeMap::new(),
    };
    let call = Call { sender, _wanted: wanted };
    let others = ASKING.run_in_thread(move || asker.ask(own));
    async move {
        let call = call;
        // Opens the scopes of the caller, whose deadlines are shown.
        current::ambient();
        let mut whole = Whole::begin();
        while !whole.take() {
            yield_now().await?;
        }
        // The thread begins at the next poll, and finds this.
        let _ = call.sender.send(Came::End(own, Some(Box::new(whole))));
        let cores = others.await?;
        Ok(CoreSnapshots { cores })
    }
}

/// The thread that asks.
struct Asker {
    peers: Vec<Peer>,
    sender: Sender<Came>,
    came: Receiver<Came>,
    wanted: Weak<()>,
    seen: BTreeMap<usize, Option<Box<Whole>>>,
    at_rest: BTreeMap<usize, bool>,
    silent: BTreeMap<usize, CoreSilent>,
}

impl Asker {
    /// Asks all cores but one, of which the answer has come, and puts together what comes, in the
    /// order of the cores.
    fn ask(mut self, own: usize) -> Vec<Result<Snapshot, CoreSilent>> {
        for core in (0..self.peers.len()).filter(|core| *core != own) {
            let answer = self.answer(Came::End(core, None));
            if let Some(remote) = &self.peers[core].remote {
                take_part(remote, core, None, answer);
            }
        }
        if !self.hear(0..self.peers.len()) {
            return Vec::new();
        }
        let (mut seen, mut doubtful) = (BTreeMap::new(), Vec::new());
        for (core, whole) in std::mem::take(&mut self.seen) {
            let Some(whole) = whole else { continue };
            let is_one_moment = whole.is_one_moment;
            let mut snapshot = whole.parts.finish();
            if !is_one_moment {
                snapshot = self.ask_again(core, snapshot);
                doubtful.extend(snapshot.refuted.then_some(core));
            }
            seen.insert(core, snapshot);
        }
        self.hear(doubtful);
        for (core, _) in self.at_rest.iter().filter(|(_, at_rest)| **at_rest) {
            seen.entry(*core).and_modify(|snapshot| snapshot.refuted = false);
        }
        (0..self.peers.len())
            .map(|core| {
                let silent = self.silent.remove(&core).unwrap_or(CoreSilent::Gone { core });
                seen.remove(&core).ok_or(silent)
            })
            .collect()
    }

    fn answer(&self, came: Came) -> Answer {
        Answer { came: Some(came), sender: self.sender.clone(), wanted: self.wanted.clone() }
    }

    /// Has the kernel confirm the verdicts, if there are any. Until then they do not hold.
    fn ask_again(&self, core: usize, snapshot: Snapshot) -> Snapshot {
        let mut graph = WaitGraph::from(snapshot);
        if !graph.verdicts().is_empty() {
            let evidence = graph.evidence();
            let mut answer = self.answer(Came::AtRest(core, false));
            let look = move || answer.fill(Came::AtRest(core, are_unpolled(&evidence)));
            let remote = self.peers[core].remote.as_ref();
            // If the kernel has ended, the answer is dropped and says so.
            let _ = remote.map(|remote| remote.post(Message::Look(Box::new(look))));
            graph.refute();
        }
        graph.snapshot
    }

    /// Waits for answers of these cores. One that gives none in time is blocked. False: nobody
    /// waits any more.
    fn hear(&mut self, cores: impl IntoIterator<Item = usize>) -> bool {
        let now = Instant::now();
        let mut waits: BTreeMap<usize, Instant> =
            cores.into_iter().map(|core| (core, now)).collect();
        while let Some((&first, &since)) = waits.iter().min_by_key(|(_, since)| **since) {
            match self.came.recv_timeout(ANSWER.saturating_sub(since.elapsed())) {
                Ok(Came::Part(core)) => {
                    waits.entry(core).and_modify(|since| *since = Instant::now());
                }
                Ok(Came::End(core, whole)) => {
                    waits.remove(&core);
                    self.seen.insert(core, whole);
                }
                Ok(Came::AtRest(core, at_rest)) => {
                    waits.remove(&core);
                    self.at_rest.insert(core, at_rest);
                }
                Ok(Came::Left) => return false,
                Err(_) => {
                    waits.remove(&first);
                    let (waited, task) = (since.elapsed(), polled(self.peers[first].link.as_ref()));
                    let silent = CoreSilent::Blocked { core: first, waited, task };
                    self.silent.insert(first, silent);
                }
            }
        }
        true
    }
}

/// Has a core take the next part, and then the others.
fn take_part(remote: &Arc<Remote>, core: usize, whole: Option<Box<Whole>>, mut answer: Answer) {
    let again = remote.clone();
    let look = move || {
        if answer.wanted.strong_count() == 0 {
            return;
        }
        let mut whole = whole.unwrap_or_else(|| Box::new(Whole::begin()));
        if whole.take() {
            answer.fill(Came::End(core, Some(whole)));
        } else {
            // As in the drop of the answer.
            let _ = answer.sender.send(Came::Part(core));
            take_part(&again, core, Some(whole), answer);
        }
    };
    // If the kernel has ended, the answer is dropped and says so.
    let _ = remote.post(Message::Look(Box::new(look)));
}
