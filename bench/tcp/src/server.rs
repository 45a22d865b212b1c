//! A server as a child process, and the system's figures about it.

use std::fs::{self, DirEntry};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::serve::{Form, Runtime};

/// A running server. Dropping this stops it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The process id of the server, which is not the child when another program runs it.
    process: u32,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one on a core.
    pub(crate) fn start(runtime: Runtime, form: Form, core: Option<usize>) -> io::Result<Server> {
        Server::start_under(&[], runtime, form, core)
    }

    /// Starts one under a program that watches it.
    pub(crate) fn start_under(
        watcher: &[String],
        runtime: Runtime,
        form: Form,
        core: Option<usize>,
    ) -> io::Result<Server> {
        let own = std::env::current_exe()?;
        let mut command = match watcher.split_first() {
            None => Command::new(own),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own);
                command
            }
        };
        command.args(["serve", runtime.name(), "--form", form.name()]);
        if let Some(core) = core {
            command.args(["--core".to_owned(), core.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
        })?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let unclear = || io::Error::other(format!("{runtime} does not say where: {line:?}"));
        let mut numbers = line.split_whitespace();
        let port: u16 = numbers.next().and_then(|n| n.parse().ok()).ok_or_else(unclear)?;
        let process = numbers.next().and_then(|n| n.parse().ok()).ok_or_else(unclear)?;
        Ok(Server { child, process, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// CPU time of all its threads so far, user and system.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        Ok(self.cpu_by_thread()?.into_iter().sum())
    }

    /// The same for each thread. The scheduler counts it in nanoseconds and updates it when a
    /// thread goes to sleep, hence the pause.
    pub(crate) fn cpu_by_thread(&self) -> io::Result<Vec<Duration>> {
        std::thread::sleep(Duration::from_millis(5));
        let of_thread = |thread: io::Result<DirEntry>| {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanos = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            let nanos = nanos.ok_or_else(|| io::Error::other("this system has no schedstat"))?;
            Ok(Duration::from_nanos(nanos))
        };
        fs::read_dir(format!("/proc/{}/task", self.process))?.map(of_thread).collect()
    }

    /// Waits until its main thread sleeps, so that it has done all its work.
    pub(crate) fn until_asleep(&self) -> io::Result<()> {
        self.until('S')
    }

    /// Stops it for a moment, when it has nothing to do.
    pub(crate) fn hold(&self) -> io::Result<()> {
        self.until_asleep()?;
        self.signal(Signal::STOP)?;
        self.until('T')
    }

    pub(crate) fn let_go(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        kill_process(process.expect("the number of a process"), signal)?;
        Ok(())
    }

    fn until(&self, state: char) -> io::Result<()> {
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.process))?;
            // After the name, which is in parentheses and may hold anything.
            match stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with(state)) {
                Some(true) => return Ok(()),
                Some(false) => std::thread::yield_now(),
                None => return Err(io::Error::other("a process without a state")),
            }
        }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.ok_or_else(|| io::Error::other("no VmRSS"))? * 1024)
    }

    /// Requests its end and waits for it, so that a watching program has written all its output.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::TERM)?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which needs no report.
        let _ = self.end();
    }
}
