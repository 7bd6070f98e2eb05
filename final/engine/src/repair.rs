//! Clearing up: what a container had, and what a killed `keel` has left.
//!
//! Everything that a container has beyond its folder ends by itself when its `keel run` is killed:
//! the process (it dies with its parent), its mounts and its network device (with their namespaces). What
//! can stay is a cgroup without processes, rules for a published port, an address that is still
//! leased, and the folder. The mark tells that they may be there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cgroups::Cgroup;
use chroot::exit::sentence;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::Engine;
use crate::container::{self, Container, State, short};
use crate::files::{self, Locked};
use crate::home;

/// How long a killed process may take to end, in milliseconds: one that waits for a disk takes longer.
const PATIENCE: u16 = 10_000;

impl Engine {
    /// Clears away what killed commands have left. Every command starts with this; as long as nothing
    /// was killed it is a look into one small folder.
    ///
    /// # Errors
    /// When the state folder can't be read or written.
    pub fn repair(&self) -> Result<()> {
        if home::list(&self.home.marks())?.is_empty() {
            return Ok(());
        }
        let _lock = self.home.lock()?;
        self.repair_locked()
    }

    /// The caller holds the lock: so every mark that can be locked is a dead command's. What can't be
    /// done now (the disk may be full, and this the command that makes room) waits for the next time.
    pub(crate) fn repair_locked(&self) -> Result<()> {
        for id in home::list(&self.home.marks())? {
            let Some(mark) = files::try_lock(&self.home.mark(&id))? else { continue };
            if let Err(error) = self.repair_one(&id, mark) {
                eprintln!("keel: clear up after container {}: {}", short(&id), sentence(&error));
            }
        }
        Ok(())
    }

    // ANCHOR: repair
    fn repair_one(&self, id: &str, mark: Locked) -> Result<()> {
        let container = Container::load(&self.home, id).ok();
        self.release(id, container.as_ref())?;
        match container {
            // It never ran, or should be gone, or is half made or half removed.
            None => self.discard_locked(id, None, mark),
            Some(container) if container.remove || container.state == State::Created => {
                self.discard_locked(id, Some(&container.name), mark)
            }
            Some(mut container) => {
                if container.is_running() {
                    container.assume_killed();
                    container.save(&self.home)?;
                }
                files::remove_file(&self.home.mark(id))
            }
        }
    }
    // ANCHOR_END: repair

    /// Takes back what a dead container has outside of its folder.
    fn release(&self, id: &str, record: Option<&Container>) -> Result<()> {
        // A program with the set-user-ID bit loses the signal that ties it to its parent: prctl(2).
        kill_all(id, record)?;
        Cgroup::open(container::cgroup(id))?.remove()?;
        if self.home.network().exists() {
            self.bridge()?.detach(id)?;
        }
        Ok(())
    }

    /// Removes all that is left of the container `id`, its name, and at last its mark.
    pub(crate) fn discard(&self, id: &str, name: Option<&str>, mark: Locked) -> Result<()> {
        // Without the lock: a large tree takes its time, and others need not wait for that.
        self.empty(id)?;
        let _lock = self.home.lock()?;
        self.discard_locked(id, name, mark)
    }

    fn discard_locked(&self, id: &str, name: Option<&str>, mark: Locked) -> Result<()> {
        self.empty(id)?;
        let found = match name {
            Some(name) => Some(name.to_owned()),
            None => self.home.name_of(id)?,
        };
        // The name may be another's: when this one was not to have it.
        if let Some(name) = found.filter(|name| self.home.named(name).as_deref() == Some(id)) {
            files::remove_file(&self.home.name(&name))?;
        }
        files::remove_file(&self.home.mark(id))?;
        drop(mark);
        Ok(())
    }

    /// Deletes a container's folder. The record goes first: a folder without one is rubbish.
    fn empty(&self, id: &str) -> Result<()> {
        let folder = self.home.container(id);
        files::remove_file(&folder.join("container.json"))?;
        files::remove_folder(&folder)
    }

    /// Removes the container that `text` means; one that runs only with `force`, which kills it.
    ///
    /// # Errors
    /// When there is none, or it runs.
    pub fn remove(&self, text: &str, force: bool) -> Result<()> {
        let id = container::find(&self.home, text)?;
        let record = match self.read(&id) {
            Err(error) if !force => return Err(error),
            record => record.ok(),
        };
        if let Some(running) = record.as_ref().filter(|container| container.is_running()) {
            ensure!(
                force,
                "container {} is running: stop it first, or 'keel rm -f {0}' kills and removes it",
                running.name
            );
            kill_all(&id, Some(running))?;
        }
        let path = self.home.mark(&id);
        let mark = match record.as_ref().map(|container| container.state) {
            // A `keel run` has it in hand, and may have it for long.
            None | Some(State::Created) => files::try_lock(&path)?
                .with_context(|| format!("container {} is just starting", short(&id)))?,
            // Its own `keel run` finishes first, and may have removed it by then.
            Some(_) => take_over(&path, short(&id))?,
        };
        self.release(&id, record.as_ref())?;
        self.discard(&id, record.as_ref().map(|container| container.name.as_str()), mark)
    }
}

/// Kills what is in a container, and waits until its first process has ended.
///
/// First by its cgroup: that also reaches what is frozen, because a `keel commit` was killed.
fn kill_all(id: &str, record: Option<&Container>) -> Result<()> {
    let process = record.and_then(Container::living_process);
    let cgroup = || Cgroup::open(container::cgroup(id));
    match cgroup()?.kill() {
        // The container may end, and its keel remove the cgroup, at this very moment.
        Err(error) if cgroup()?.exists() => return Err(error),
        _ => {}
    }
    process.map_or(Ok(()), |process| kill_and_wait(&process))
}

/// Locks the mark of the container `id`, which has ended, once its `keel run` has let go of it.
///
/// That `keel run` may be stopped, by Ctrl-Z or SIGSTOP. So the wait has a limit.
fn take_over(mark: &Path, id: &str) -> Result<Locked> {
    let end = Instant::now() + Duration::from_millis(PATIENCE.into());
    loop {
        if let Some(locked) = files::try_lock(mark)? {
            return Ok(locked);
        }
        if Instant::now() > end {
            let owner = files::lock_of_another(mark)?.and_then(|lock| lock.pid);
            let owner = owner.map(|pid| format!(" (kill -CONT {pid})"));
            bail!(
                "container {id} has ended, but its 'keel run' doesn't let go of it: if it is stopped, let it go on{}",
                owner.unwrap_or_default()
            );
        }
        sleep(Duration::from_millis(1));
    }
}

/// Kills a process and waits until it has ended.
fn kill_and_wait(pidfd: &OwnedFd) -> Result<()> {
    match pidfd_send_signal(pidfd, Signal::KILL).map_err(io::Error::from) {
        Err(error) if error.raw_os_error() != Some(Errno::ESRCH as i32) => {
            return Err(error).context("kill the container's first process");
        }
        _ => {}
    }
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let ended = poll(&mut fds, PATIENCE).context("wait for the container's end")?;
    ensure!(ended > 0, "the container's first process was killed and does not end");
    Ok(())
}
