//! The time during which a container runs: its output comes out, its input goes in, signals reach it.
//!
//! One thread and one poll(2) over everything that can happen. Nothing here waits anywhere else: a
//! terminal that nobody reads from may hold up the container's output, but neither a signal on its way
//! in nor the news of its end.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use runtime::{Ended, Started, Stdio};

use crate::log::{Log, Stream};

/// What poll(2) promises to take at once from a pipe that is ready. See pipe(7), PIPE_BUF.
const AT_ONCE: usize = 4096;

/// Keel's ends of the pipes that are a container's streams.
#[derive(Debug)]
pub(crate) struct Pipes {
    stdin: Option<File>,
    stdout: File,
    stderr: File,
}

/// Makes the streams of a container: its ends and ours. Without `interactive` it reads nothing.
///
/// Pipes, although it would be simpler to hand down our own streams: behind a descriptor there may be
/// a file of the host that can be opened again for writing (`/proc/self/fd/0`), or a terminal into which
/// a program can type (TIOCSTI in ioctl_tty(2)).
pub(crate) fn pipes(interactive: bool) -> Result<(Stdio, Pipes)> {
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (their_stdin, stdin) = match interactive {
        true => pipe().map(|(theirs, ours)| (theirs, Some(ours)))?,
        false => (File::open("/dev/null").context("open /dev/null")?.into(), None),
    };
    let theirs = Stdio { stdin: their_stdin, stdout: their_stdout, stderr: their_stderr };
    let ours = Pipes {
        stdin: stdin.map(without_waiting).transpose()?,
        stdout: without_waiting(stdout)?,
        stderr: without_waiting(stderr)?,
    };
    Ok((theirs, ours))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe().context("make a pipe")?;
    Ok((reader.into(), writer.into()))
}

/// The two ends of a pipe are two open files, so this changes ours only. See pipe(7).
fn without_waiting(end: OwnedFd) -> Result<File> {
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make a pipe non-blocking")?;
    Ok(end.into())
}

/// Stays with the container until its first process has ended.
///
/// What the process wrote before its end is passed on to the last byte: the result's second part
/// holds what our reader hasn't taken yet. What some other process writes later through the same
/// pipe is nobody's.
///
/// # Errors
/// When the container can't be waited for.
// ANCHOR: attach
pub(crate) fn attach(mut container: Started, pipes: Pipes, log: Log) -> Result<(Ended, Rest)> {
    let mut streams = Streams::new(pipes, log);
    loop {
        let ready = streams.wait(&container)?;
        if ready.signal {
            container.pass_signals_on()?;
        }
        streams.step(&ready);
        if ready.ended {
            break;
        }
    }
    streams.drain();
    Ok((container.wait()?, Rest(streams)))
}
// ANCHOR_END: attach

/// Output that has been read from a container and not been written yet.
pub(crate) struct Rest(Streams);

impl Rest {
    /// Writes it, for as long as that takes: when the container is done with, and our own signals end
    /// us again, so that a reader that never reads can be given up on.
    pub(crate) fn write(mut self) {
        for copy in &mut self.0.copies[1..] {
            if let Some(to) = &mut copy.to {
                // A reader that is gone misses nothing that it wants.
                let _ = to.write_all(&copy.waiting);
            }
        }
    }
}

/// What poll(2) has found.
#[derive(Debug, Default)]
struct Ready {
    ended: bool,
    signal: bool,
    /// Per copy: its source has something, or its target takes something.
    copies: [bool; 3],
}

/// The three copies, and the log of two of them.
struct Streams {
    copies: [Copy; 3],
    log: Option<Log>,
}

impl Streams {
    fn new(pipes: Pipes, log: Log) -> Streams {
        let Pipes { stdin, stdout, stderr } = pipes;
        let (from, to) = match stdin {
            Some(stdin) => (own(io::stdin()), Some(stdin)),
            None => (None, None),
        };
        Streams {
            copies: [
                Copy::new(from, to, None),
                Copy::new(Some(stdout), own(io::stdout()), Some(Stream::Stdout)),
                Copy::new(Some(stderr), own(io::stderr()), Some(Stream::Stderr)),
            ],
            log: Some(log),
        }
    }

    /// Waits until something can be done, and says what.
    fn wait(&self, container: &Started) -> Result<Ready> {
        let mut fds = vec![
            PollFd::new(container.pidfd(), PollFlags::POLLIN),
            PollFd::new(container.signalfd(), PollFlags::POLLIN),
        ];
        let mut index = [None; 3];
        for (copy, index) in self.copies.iter().zip(&mut index) {
            if let Some((fd, flags)) = copy.waits_for() {
                *index = Some(fds.len());
                fds.push(PollFd::new(fd, flags));
            }
        }
        while let Err(errno) = poll(&mut fds, PollTimeout::NONE) {
            if errno != Errno::EINTR {
                return Err(errno).context("wait for the container");
            }
        }
        // `any` is true for POLLHUP and POLLERR too: the read or write that follows tells which.
        let ready = |index: usize| fds[index].any().unwrap_or(true);
        Ok(Ready {
            ended: ready(0),
            signal: ready(1),
            copies: index.map(|index| index.is_some_and(ready)),
        })
    }

    /// Moves each copy that is ready on by one read or write.
    fn step(&mut self, ready: &Ready) {
        for (copy, _) in self.copies.iter_mut().zip(ready.copies).filter(|(_, ready)| *ready) {
            copy.step(&mut self.log);
        }
    }

    /// Takes what the container's output pipes hold.
    fn drain(&mut self) {
        for copy in &mut self.copies[1..] {
            while copy.read(&mut self.log) {}
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.finish()
        {
            warn_of_log(&error);
        }
    }
}

/// One direction: bytes from one descriptor to another.
struct Copy {
    from: Option<File>,
    to: Option<File>,
    waiting: Vec<u8>,
    /// For the container's output: what it is called in the log.
    logged_as: Option<Stream>,
}

impl Copy {
    fn new(from: Option<File>, to: Option<File>, logged_as: Option<Stream>) -> Copy {
        Copy { from, to, waiting: Vec::new(), logged_as }
    }

    /// It reads only once all that it read before has been written: a slow reader slows the
    /// container down, as in any pipeline, instead of filling the memory.
    fn waits_for(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match (&self.from, &self.to) {
            (_, Some(to)) if !self.waiting.is_empty() => Some((to.as_fd(), PollFlags::POLLOUT)),
            (Some(from), Some(_)) => Some((from.as_fd(), PollFlags::POLLIN)),
            _ => None,
        }
    }

    fn step(&mut self, log: &mut Option<Log>) {
        if self.waiting.is_empty() {
            self.read(log);
        } else {
            self.write();
        }
    }

    /// Reads what is there. False when there is nothing more, now or for ever.
    fn read(&mut self, log: &mut Option<Log>) -> bool {
        let Some(from) = &mut self.from else { return false };
        let mut buffer = [0; 64 * 1024];
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            // At the end (0) the other side must see an end too. So it does when nothing waits.
            Ok(0) | Err(_) => {
                self.from = None;
                if self.waiting.is_empty() {
                    self.to = None;
                }
                return false;
            }
            Ok(read) => &buffer[..read],
        };
        self.waiting.extend_from_slice(read);
        if let (Some(stream), Some(open)) = (self.logged_as, &mut *log)
            && let Err(error) = open.add(stream, read)
        {
            // A full disk ends the log, not the container.
            warn_of_log(&error);
            *log = None;
        }
        true
    }

    fn write(&mut self) {
        let Some(to) = &mut self.to else { return };
        let piece = &self.waiting[..self.waiting.len().min(AT_ONCE)];
        match to.write(piece) {
            Ok(written) => {
                self.waiting.drain(..written);
            }
            Err(error) if is_temporary(error.kind()) => {}
            // The reader is gone. So is the pipe then: the writer gets SIGPIPE, as in any pipeline.
            Err(_) => {
                self.waiting.clear();
                self.from = None;
            }
        }
        if self.from.is_none() && self.waiting.is_empty() {
            self.to = None;
        }
    }
}

fn is_temporary(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A second descriptor for one of our own streams; none when it is closed.
fn own(stream: impl AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

fn warn_of_log(error: &anyhow::Error) {
    let sentence = chroot::exit::sentence(error);
    eprintln!("keel: {sentence} (the container runs on, what it writes is no longer kept)");
}
