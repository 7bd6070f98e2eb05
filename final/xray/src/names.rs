//! Hostname and domainname.

use std::fs;
use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::process;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use serde::Serialize;

use crate::proc::ProcDir;
use crate::seen::Seen;

/// The names in a uts namespace.
#[derive(Debug, Clone, Serialize)]
pub struct Names {
    /// What hostname(1) prints there.
    pub hostname: Seen<String>,
    /// The NIS domain name; `(none)` is the kernel's word for none.
    pub domainname: Seen<String>,
}

impl Names {
    /// The names that `process` sees.
    ///
    /// `own_uts` and `own_user` say whether these namespaces are others than the observer's.
    pub(crate) fn look(process: &ProcDir, own_uts: bool, own_user: bool) -> Result<Self> {
        // The files that hold the names show those of whoever reads them, and there are none below
        // /proc/PID. So it takes a reader inside.
        let uts = || process.file("ns/uts", OFlag::O_RDONLY);
        let names = match own_uts {
            false => read()?,
            true => match read_in_thread(uts()?) {
                Err(_) if own_user => {
                    read_as_owner(process.file("ns/user", OFlag::O_RDONLY)?, uts()?)
                }
                names => names,
            }
            .unwrap_or_else(|_| ["its uts namespace can't be entered from here"; 2].map(unseen)),
        };
        let [hostname, domainname] = names;
        Ok(Names { hostname, domainname })
    }
}

type HostAndDomain = [Seen<String>; 2];

/// Reads the names in another uts namespace, in a thread that enters it and ends.
fn read_in_thread(uts: OwnedFd) -> Result<HostAndDomain> {
    let reader = thread::Builder::new().spawn(move || {
        // setns(2): it moves the calling thread alone. It takes CAP_SYS_ADMIN here and there.
        setns(uts, CloneFlags::CLONE_NEWUTS).context("enter the uts namespace")?;
        read()
    });
    let names = reader.context("start a thread")?.join();
    names.map_err(|_| anyhow!("the thread that reads the hostname failed"))?
}

/// Reads the names in a container of one's own that has a user namespace: who made that has every
/// capability in it, but only once inside, and a thread can't go there alone.
fn read_as_owner(user: OwnedFd, uts: OwnedFd) -> Result<HostAndDomain> {
    let (mut reader, mut writer) = pipe().context("make a pipe")?;
    let child = pid_ns::spawn(&[], move || {
        setns(user, CloneFlags::CLONE_NEWUSER).context("enter the user namespace")?;
        setns(uts, CloneFlags::CLONE_NEWUTS).context("enter the uts namespace")?;
        let [hostname, domainname] = read()?;
        write!(writer, "{hostname}\n{domainname}").context("write to the pipe")?;
        process::exit(0)
    })?;
    // The child never becomes a command: it is done, or has failed, when this returns.
    let _done = child.release()?;
    let mut names = String::new();
    reader.read_to_string(&mut names).context("read from the pipe")?;
    let (hostname, domainname) = names.split_once('\n').context("read both names")?;
    Ok([hostname, domainname].map(|name| Seen::Yes(name.to_owned())))
}

fn read() -> Result<HostAndDomain> {
    let name = |file: &str| -> Result<Seen<String>> {
        let path = format!("/proc/sys/kernel/{file}");
        let name = fs::read(&path).with_context(|| format!("read {path}"))?;
        Ok(Seen::Yes(String::from_utf8_lossy(name.trim_ascii_end()).into_owned()))
    };
    Ok([name("hostname")?, name("domainname")?])
}

fn unseen(why: &str) -> Seen<String> {
    Seen::No { unseen: why.to_owned() }
}
