//! Hostname and domainname.

use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use serde::Serialize;

use crate::proc::{ProcDir, errno};
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
    /// The names that `process` sees; `own` says whether its uts namespace is another than ours.
    pub(crate) fn look(process: &ProcDir, own: bool) -> Result<Self> {
        if !own {
            return read();
        }
        match read_inside(process) {
            Err(error) if errno(&error).is_some() => {
                let why = Seen::No { unseen: "only root may enter its uts namespace".to_owned() };
                Ok(Names { hostname: why.clone(), domainname: why })
            }
            names => names,
        }
    }
}

// ANCHOR: inside
/// Reads the names of another uts namespace, in a thread that enters it and ends.
fn read_inside(process: &ProcDir) -> Result<Names> {
    // These files show the names of whoever reads them, not of a pid: it takes a reader inside.
    let uts = process.file("ns/uts", OFlag::O_RDONLY)?;
    let reader = thread::Builder::new().spawn(move || {
        // setns(2): it moves the calling thread alone.
        setns(uts, CloneFlags::CLONE_NEWUTS).context("enter the uts namespace")?;
        read()
    });
    let names = reader.context("start a thread")?.join();
    names.map_err(|_| anyhow!("the thread that reads the hostname failed"))?
}
// ANCHOR_END: inside

fn read() -> Result<Names> {
    let name = |file: &str| -> Result<Seen<String>> {
        let path = format!("/proc/sys/kernel/{file}");
        let name = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(Seen::Yes(name.trim_end().to_owned()))
    };
    Ok(Names { hostname: name("hostname")?, domainname: name("domainname")? })
}
