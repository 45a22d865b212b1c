//! Input against sessions, also random one, without sockets and without a kernel.

use std::time::{Duration, Instant};

use crate::known::Known;
use crate::session::Session;
use crate::world::{Rights, World};

/// Pieces of which input is made, beside random bytes.
const PIECES: [&[u8]; 28] = [
    b"ps\n",
    b"w 1\n",
    b"where",
    b"parents #1\n",
    b"tree\r\n",
    b"graph dot\n",
    b"stats\n",
    b"trace 1\n",
    b"GET /trace?secs=1 HTTP/1.1\r\n",
    b"json\n",
    b"cancel 1\n",
    b"cancel 1:1\n",
    b"w #0:0.1\n",
    b"signal TERM\n",
    b"help\n",
    b"q\n",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b"\x04\n",
    b"GET /json HTTP/1.1\r\n",
    b"GET /events HTTP/1.1\n",
    b"POST /cancel?task=1&token=",
    b"t ",
    b"HTTP/1.0\r\n",
    b"Host: localhost:1\r\n",
    b"Host:",
    b"Origin: http://localhost:1\r\n",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn input(&mut self) -> Vec<u8> {
        let mut input = Vec::new();
        for _ in 0..self.below(8) {
            match self.below(10) {
                0 => input.extend((0..self.below(64)).map(|_| self.0 as u8 ^ 0x5a)),
                1 => input.push(self.next() as u8),
                2 => input.resize(input.len() + self.below(3000), b'x'),
                _ => input.extend_from_slice(PIECES[self.below(PIECES.len())]),
            }
        }
        input
    }
}

/// Kernels that never answer: one alone, or those of several cores, of which the last has ended.
fn add_kernels(world: &mut World, cores: usize) {
    world.kernels.insert(0, Known::of((cores > 0).then_some(0)));
    for core in 1..cores {
        world.kernels.insert(core, Known { has_ended: core == 2, ..Known::of(Some(core)) });
    }
}

/// What a client does: sends, reads, waits, in pieces of any size. At its end the session is over.
fn play(random: &mut Random) {
    let mut now = Instant::now();
    let all = random.below(2) == 0;
    let mut world = World::new(now, Rights { cancel: all, signal: all }, "t".into());
    add_kernels(&mut world, random.below(4));
    world.is_over = random.below(50) == 0;
    let mut session = Session::new();
    let mut input = &*random.input();
    let mut text = Vec::new();
    for _ in 0..1000 {
        now += Duration::from_millis(random.below(300) as u64);
        world.now = now;
        session.step(&mut world);
        if session.wants_input() {
            let (piece, rest) = input.split_at(random.below(input.len().min(4096) + 1));
            session.feed(piece);
            input = rest;
            if input.is_empty() {
                session.end_input();
            }
        }
        let output = session.output();
        let read = random.below(output.len() + 1);
        text.extend_from_slice(&output[..read]);
        if read > 0 {
            session.wrote(read);
        }
        assert!(session.input_length() < 16 * 1024, "input is kept");
        if session.is_over() {
            break;
        }
    }
    assert!(session.is_over(), "{session:?} after {:?}", String::from_utf8_lossy(&text));
    let text = String::from_utf8(text).expect("the output is text");
    let is_plain = |c: char| c == '\n' || c == '\r' || !c.is_control();
    assert!(text.chars().all(is_plain), "{text:?}");
    assert!(all || world.acts.is_empty(), "{:?}", world.acts);
}

/// M3: no input makes a session panic, hang, keep what it was sent, or pass on control characters.
/// `CURIUM_FUZZ` sets the number of inputs, `CURIUM_SEED` where they begin.
#[test]
fn no_input_harms_a_session() {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let inputs = number("CURIUM_FUZZ").unwrap_or(3_000);
    let first = number("CURIUM_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 32);
    for seed in first..first + inputs {
        let played = std::panic::catch_unwind(|| play(&mut Random(seed)));
        if let Err(payload) = played {
            println!("CURIUM_SEED={seed} CURIUM_FUZZ=1 fails");
            std::panic::resume_unwind(payload);
        }
    }
    println!("{inputs} inputs from CURIUM_SEED={first} on");
}

/// What comes out of a session that is alone, up to now.
fn said(session: &mut Session, world: &mut World) -> String {
    let mut text = String::new();
    for _ in 0..10 {
        session.step(world);
        text += std::str::from_utf8(session.output()).expect("text");
        session.wrote(session.output().len());
    }
    text
}

/// M3: a browser opens connections before it needs them. What is said on one of them is taken
/// for the answer to a later request.
#[test]
fn nothing_is_said_before_the_first_line() {
    let now = Instant::now();
    let mut world = World::new(now, Rights::default(), "t".into());
    add_kernels(&mut world, 0);
    let (mut browser, mut terminal) = (Session::new(), Session::new());
    world.now += Duration::from_secs(3600);
    assert_eq!(said(&mut browser, &mut world), "");
    assert_eq!(said(&mut terminal, &mut world), "");
    browser.feed(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = said(&mut browser, &mut world);
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    terminal.feed(b"\r\n");
    assert_eq!(said(&mut terminal, &mut world), "");
    // The kernel does not answer.
    world.now += Duration::from_secs(3);
    let answer = said(&mut terminal, &mut world);
    assert!(answer.starts_with("\nCurium Monitor: 0 tasks running\n"), "{answer}");
}
