//! What is run, how much of it, and the result.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A workload. They are implemented in `workloads/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Spawn a batch, join it in order.
    SpawnJoin,
    /// The same, with all alive at once.
    SpawnJoinAll,
    /// Spawn one, await it, again.
    SpawnJoinOne,
    /// Tasks that take turns.
    Yield,
    /// The same without the cost of spawning and joining, for FIFO ready queues.
    TurnsAlone,
    /// Two channels of capacity 1: an item there and back.
    ChanPingpong,
    /// A channel of capacity 128, one sender, one receiver.
    ChanThroughput,
    /// The same with queues. Curium only.
    QueuePingpong,
    /// The same with a queue. Curium only.
    QueueThroughput,
    /// Tasks that contend for one lock, and yield while they hold it.
    LockContended,
    /// Take a lock that is free, and release it. Curium only.
    LockFree,
    /// Tasks that contend for the permits of a semaphore, and yield while they hold one. Curium
    /// only.
    PermitContended,
    /// Take a permit that is free, and give it back. Curium only.
    PermitFree,
    /// Make a sleep, poll it once, drop it, while others sleep.
    TimerInsertCancel,
    /// Spawn a task that sleeps, cancel it, wait for its end.
    Cancel,
    /// Many sleep; cancel one after the other, and wait for each.
    CancelMany,
    /// Spawn a batch of members of a group, and leave the group when all have ended.
    GroupMember,
    /// A group without members.
    GroupEmpty,
    /// A group of one member.
    GroupOne,
    /// A group of ten members.
    GroupTen,
    /// A scope of ten children that each yield once.
    ScopeTen,
    /// The same ten futures in a `FuturesUnordered`.
    UnorderedTen,
    /// Two futures that are ready, awaited together.
    GatherTwo,
    /// A timeout round a future that is ready.
    TimeoutReady,
    /// An item there and back, with one of the two receives under a timeout.
    TimeoutRecv,
    /// Nested timeouts round one sleep, all left by one cancellation. Curium only.
    TimeoutNested,
    /// Many sleep once, for 1 to 100 ms; processor time.
    TimerFire,
    /// One sleeps for 1 ms, again and again: how late?
    Sleep1ms,
    /// The same, for 100 µs.
    Sleep100us,
    /// A thread wakes a sleeping runtime and is answered: how long is a trip?
    WakeThread,
    /// Tasks of which each runs empty jobs on other threads, one after the other.
    Job,
    /// The same with one task.
    JobOne,
    /// A runtime starts, runs an empty task and stops.
    StartStop,
    /// A runtime ends while many tasks sleep.
    EndSleepers,
    /// Tasks that wait for nothing: how many bytes?
    HoldIdle,
    /// Tasks that sleep: how many bytes?
    HoldSleeping,
}

use Workload::*;

impl Workload {
    /// Whether it needs a core beside that of the runtime.
    pub fn has_threads(self) -> bool {
        matches!(self, WakeThread | Job | JobOne)
    }

    /// Whether it ends by a cancellation, which never comes in a build without records.
    pub fn cancels(self) -> bool {
        matches!(self, TimerInsertCancel | Cancel | CancelMany | TimeoutNested | EndSleepers)
    }
}

/// Each workload, its name, how many operations a run measures, and how many tasks take part.
const ALL: [(Workload, &str, Load); 36] = [
    (SpawnJoin, "spawn_join", Load::new(1_000_000, 1_000)),
    (SpawnJoinAll, "spawn_join_all", Load::new(1_000_000, 1_000_000)),
    (SpawnJoinOne, "spawn_join_1", Load::new(500_000, 1)),
    (Yield, "yield", Load::new(3_000_000, 1_000)),
    (TurnsAlone, "turns_alone", Load::new(2_000_000, 1_000)),
    (ChanPingpong, "chan_pingpong", Load::new(400_000, 1)),
    (ChanThroughput, "chan_throughput", Load::new(2_000_000, 1)),
    (QueuePingpong, "queue_pingpong", Load::new(400_000, 1)),
    (QueueThroughput, "queue_throughput", Load::new(2_000_000, 1)),
    (LockContended, "lock_contended", Load::new(400_000, 100)),
    (LockFree, "lock_free", Load::new(3_000_000, 1)),
    (PermitContended, "permit_contended", Load::new(400_000, 100)),
    (PermitFree, "permit_free", Load::new(3_000_000, 1)),
    (TimerInsertCancel, "timer_insert_cancel", Load::new(500_000, 100_000)),
    (Cancel, "cancel", Load::new(300_000, 1)),
    (CancelMany, "cancel_many", Load::new(300_000, 15_000)),
    (GroupMember, "group_member", Load::new(500_000, 1_000)),
    (GroupEmpty, "group_empty", Load::new(500_000, 0)),
    (GroupOne, "group_one", Load::new(300_000, 1)),
    (GroupTen, "group_ten", Load::new(50_000, 10)),
    (ScopeTen, "scope_ten", Load::new(50_000, 10)),
    (UnorderedTen, "unordered_ten", Load::new(50_000, 10)),
    (GatherTwo, "gather_two", Load::new(1_000_000, 2)),
    (TimeoutReady, "timeout_ready", Load::new(2_000_000, 1)),
    (TimeoutRecv, "timeout_recv", Load::new(400_000, 1)),
    (TimeoutNested, "timeout_nested", Load::new(500_000, 1_000)),
    (TimerFire, "timer_fire", Load::new(100_000, 100_000)),
    (Sleep1ms, "sleep_1ms", Load::new(200, 1)),
    (Sleep100us, "sleep_100us", Load::new(300, 1)),
    (WakeThread, "wake_thread", Load::new(5_000, 1)),
    (Job, "job", Load::new(300_000, 100)),
    (JobOne, "job_1", Load::new(30_000, 1)),
    (StartStop, "start_stop", Load::new(5_000, 1)),
    (EndSleepers, "end_sleepers", Load::new(100_000, 1)),
    (HoldIdle, "idle_task", Load::new(0, 100_000)),
    (HoldSleeping, "sleeping_task", Load::new(0, 100_000)),
];

impl Workload {
    /// Every workload, in the order of the tables.
    pub fn all() -> impl Iterator<Item = Workload> {
        ALL.iter().map(|(workload, _, _)| *workload)
    }

    /// The workload of this name.
    pub fn named(name: &str) -> Option<Workload> {
        ALL.iter().find(|(_, known, _)| *known == name).map(|(workload, _, _)| *workload)
    }

    /// The name on the command line and in the tables.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// How much of it the tables run.
    pub fn load(self) -> Load {
        self.row().2
    }

    fn row(self) -> &'static (Workload, &'static str, Load) {
        ALL.iter().find(|(workload, _, _)| *workload == self).expect("every workload has a row")
    }
}

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Operations, over all tasks.
    pub ops: u64,
    /// How many tasks take part: a batch, those that take turns, or those that sleep meanwhile.
    pub size: u64,
}

impl Load {
    /// So many operations, by so many tasks.
    pub const fn new(ops: u64, size: u64) -> Self {
        Load { ops, size }
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Operations done between start and stop.
    pub ops: u64,
    /// Time by the clock.
    pub wall: Duration,
    /// Processor time of the whole process, for the workloads that ask this.
    pub cpu: Duration,
    /// By how much each sleep was late, or how long each trip was, for the workloads that ask this.
    pub each: Vec<Duration>,
    /// The size of a task's own future, for the workloads that ask for bytes.
    pub future_bytes: usize,
}

/// Times a part of a workload.
#[derive(Debug)]
pub struct Meter {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Meter {
    /// Begins to measure.
    pub fn start() -> Self {
        Meter { cpu: None, wall: Instant::now() }
    }

    /// Begins to measure processor time too, which costs a system call.
    pub fn start_with_cpu() -> Self {
        Meter { cpu: Some(process_time()), wall: Instant::now() }
    }

    /// What `ops` operations took.
    pub fn stop(self, ops: u64) -> Sample {
        let wall = self.wall.elapsed();
        let cpu = self.cpu.map_or(Duration::ZERO, |begun| process_time() - begun);
        Sample { ops, wall, cpu, ..Sample::default() }
    }
}

/// The processor time that this process has used so far.
fn process_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// Pseudo-random numbers that are the same in every run (a linear congruence of Knuth's).
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The same sequence every time.
    pub fn new() -> Self {
        Numbers(1)
    }

    /// An instant to sleep until that never comes in a run: 100 to 200 seconds.
    pub fn far(&mut self) -> Duration {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(100_000 + (self.0 >> 33) % 100_000)
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers::new()
    }
}
