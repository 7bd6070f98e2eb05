//! Which container has which address: one small JSON file, which a reader can open.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{AccessFlags, Pid, access};
use pid_ns::start_time;
use serde::{Deserialize, Serialize};
use unshare::Namespace;

use crate::{Port, Subnet};

/// An address, whose it is, and which ports of the host lead to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The container's address.
    pub address: Ipv4Addr,
    /// The container's id.
    pub owner: String,
    /// Its first process. The lease ends with it.
    pub pid: i32,
    /// The pid namespace in which that is its pid.
    pub pid_namespace: u64,
    /// When that process started, in clock ticks since boot: a pid alone may belong to another by
    /// now. See proc_pid_stat(5), field 22.
    pub started: u64,
    /// Its published ports.
    pub ports: Vec<Port>,
}

impl Lease {
    /// Whether the owner still lives, or nobody can tell from here.
    pub fn is_alive(&self) -> bool {
        let pid = Pid::from_raw(self.pid);
        let is_foreign = Namespace::Pid.inode(Pid::this()).ok() != Some(self.pid_namespace);
        is_foreign || start_time(pid).ok() == Some(self.started)
    }
}

/// The lease file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    /// The address that was given out last: the search for a free one goes on behind it, so that an
    /// address rests before it is used again.
    last: Option<Ipv4Addr>,
    leases: Vec<Lease>,
}

/// The lease file, locked: whoever holds this is alone in changing the network.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    page: Page,
    _lock: Flock<File>,
}

impl Book {
    /// Opens the lease file `name` in `folder` and waits until nobody else has it.
    ///
    /// The lock is on the folder: the file itself is replaced by every change, and a lock on a file
    /// that has been replaced keeps nobody out. See flock(2).
    pub fn open(folder: &Path, name: &str) -> Result<Book> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let opened = File::open(folder).with_context(|| format!("open {}", folder.display()))?;
        let lock = Flock::lock(opened, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .with_context(|| format!("lock {}", folder.display()))?;
        let path = folder.join(name);
        let page = read(&path)?;
        Ok(Book { path, page, _lock: lock })
    }

    /// All leases.
    pub fn leases(&self) -> &[Lease] {
        &self.page.leases
    }

    /// Gives the process `pid` of the container `owner` an address, and writes it down.
    pub fn lease(
        &mut self,
        subnet: &Subnet,
        owner: &str,
        pid: Pid,
        ports: &[Port],
    ) -> Result<Ipv4Addr> {
        let taken: HashSet<_> = self.page.leases.iter().map(|lease| lease.address).collect();
        let last = self.page.last.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let behind = subnet.hosts().filter(|&address| address > last);
        let Some(address) = behind.chain(subnet.hosts()).find(|address| !taken.contains(address))
        else {
            bail!(
                "all {} addresses of {subnet} are in use: remove a container, or choose a larger subnet",
                self.page.leases.len()
            );
        };
        self.page.leases.push(Lease {
            address,
            owner: owner.to_owned(),
            pid: pid.as_raw(),
            pid_namespace: Namespace::Pid.inode(Pid::this())?,
            started: start_time(pid)?,
            ports: ports.to_vec(),
        });
        self.page.last = Some(address);
        self.save()?;
        Ok(address)
    }

    /// Ends the leases that `which` picks.
    pub fn end(&mut self, which: impl Fn(&Lease) -> bool) -> Result<()> {
        self.page.leases.retain(|lease| !which(lease));
        self.save()
    }

    /// Replaces the file in one step: a reader, or the next run after a crash, finds either the old
    /// state or the new one. See rename(2).
    ///
    /// Without fsync(2), which makes a file survive a loss of power, and takes 5 ms: no lease does.
    fn save(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.page).context("write the leases as JSON")?;
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.with_context(|| format!("write {}", self.path.display()))
    }
}

fn read(path: &Path) -> Result<Page> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Page::default()),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        // What a loss of power may leave of a file that was just replaced.
        Ok(text) if text.is_empty() => return Ok(Page::default()),
        Ok(text) => text,
    };
    serde_json::from_slice(&text).with_context(|| {
        format!("read {} (when no container runs, it can be deleted)", path.display())
    })
}

/// Where leases are kept, unless an engine has its own place.
pub(crate) fn default_folder() -> Result<PathBuf> {
    let from = |variable: &str| env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let candidates = [
        from("KEEL_ROOT").map(|root| root.join("network")),
        Some(PathBuf::from("/run/keel")),
        from("XDG_RUNTIME_DIR").map(|run| run.join("keel")),
        from("HOME").map(|home| home.join(".local/share/keel/network")),
    ];
    let usable = |folder: &PathBuf| {
        fs::create_dir_all(folder).is_ok() && access(folder, AccessFlags::W_OK).is_ok()
    };
    candidates
        .into_iter()
        .flatten()
        .find(usable)
        .context("no folder for the network's leases can be written: set KEEL_ROOT to one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_rest_before_they_are_used_again() {
        let folder = env::temp_dir().join(format!("keel-lease-{}", std::process::id()));
        let subnet: Subnet = "10.1.2.0/29".parse().unwrap();
        let me = Pid::this();
        let mut book = Book::open(&folder, "test.json").unwrap();
        let lease = |book: &mut Book, owner: &str| {
            book.lease(&subnet, owner, me, &[]).map(|address| address.octets()[3])
        };
        assert_eq!(lease(&mut book, "a").unwrap(), 2);
        book.end(|lease| lease.owner == "a").unwrap();
        for last in [3, 4, 5, 6, 2] {
            assert_eq!(lease(&mut book, "b").unwrap(), last);
        }
        let error = lease(&mut book, "c").unwrap_err().to_string();
        assert!(error.starts_with("all 5 addresses of 10.1.2.0/29 are in use"), "{error}");

        drop(book);
        let book = Book::open(&folder, "test.json").unwrap();
        assert_eq!(book.leases().len(), 5);
        assert!(book.leases().iter().all(Lease::is_alive));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_reused_pid_is_not_the_owner() {
        let lease = Lease {
            address: Ipv4Addr::LOCALHOST,
            owner: "a".into(),
            pid: std::process::id() as i32,
            pid_namespace: Namespace::Pid.inode(Pid::this()).unwrap(),
            started: 1,
            ports: Vec::new(),
        };
        assert!(!lease.is_alive());
    }
}
