//! The lab: throw-away namespaces in which steps, tests and exercises run.
//!
//! It is made like the containers that are tried in it, by the same steps' libraries: a held child
//! in its own namespaces, a root of its own, an init. Its root is a tmpfs that holds the host's
//! folders, read-only, and `/lab`, which is the reader's. When its first process ends, the kernel
//! takes everything away; the cgroup, which the kernel keeps, is the [`Janitor`]'s.

use std::convert::Infallible;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cgroups::{Bytes, Cgroup, Count, Limits, Max};
use chroot::{DEFAULT_PATH, Program};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::geteuid;
use pid_ns::Exit;
use unshare::Namespace;

use crate::janitor::Janitor;
use crate::{lab_root, prepare};

/// A lab that has not been opened yet.
#[derive(Debug)]
pub struct Lab {
    rootfs: PathBuf,
    command: Vec<String>,
    programs: Option<PathBuf>,
    limited: bool,
}

/// What a limited lab may use: enough for every exercise, and little enough for every machine.
const MEMORY: Bytes = Bytes(512 << 20);
const PROCESSES: u64 = 300;

impl Lab {
    /// A lab for `command`, a shell if that is empty, with a copy of `rootfs` in its folder.
    pub fn new(rootfs: PathBuf, command: Vec<String>) -> Self {
        let command = if command.is_empty() { shell() } else { command };
        Lab { rootfs, command, programs: None, limited: false }
    }

    /// The same with programs of this folder before the steps' own.
    pub fn with_programs(self, programs: Option<PathBuf>) -> Self {
        Lab { programs, ..self }
    }

    /// The same with a limit on memory and processes, if `limited`: for a program that may run wild.
    pub fn limited(self, limited: bool) -> Self {
        Lab { limited, ..self }
    }

    /// Opens it, runs the command, and waits until that has ended and the lab is gone.
    ///
    /// # Errors
    /// When this machine forbids it, with what forbids it, or the command can't be run.
    pub fn run(&self) -> Result<Exit> {
        let name = format!("lab-{}", cgroups::unique_name()?);
        // An ordinary user without a delegated cgroup has a lab without one.
        let mut cgroup = Cgroup::create_with_all(&name).ok();
        let _janitor = cgroup.as_ref().map(|_| Janitor::hire(&name)).transpose()?;

        if let (true, Some(cgroup)) = (self.limited, &mut cgroup) {
            // A machine that lacks a controller has the lab's other limits.
            let memory = Limits { memory: Some(MEMORY), ..Limits::default() };
            let processes = Limits { pids: Some(Max::At(Count(PROCESSES))), ..Limits::default() };
            let _ = cgroup.limit(&memory).and(cgroup.limit(&processes));
        }

        let ordinary_user = !geteuid().is_root();
        let mut kinds =
            vec![Namespace::Mount, Namespace::Uts, Namespace::Ipc, Namespace::Pid, Namespace::Net];
        if ordinary_user {
            kinds.push(Namespace::User);
        }
        let held = match pid_ns::spawn(&kinds, || self.set_up_and_exec(cgroup.as_ref())) {
            Err(error) if ordinary_user => return Err(unshare::user::explain(error)),
            held => held?,
        };
        if ordinary_user {
            unshare::user::map_root(held.pid())?;
        }
        held.release()?.wait()
    }

    /// The lab's first process, up to its command.
    fn set_up_and_exec(&self, cgroup: Option<&Cgroup>) -> Result<Infallible> {
        if let Some(cgroup) = cgroup {
            cgroup.join()?;
        }
        unshare::leave(&[Namespace::Cgroup])?;
        unshare::set_hostname("lab")?;
        veth_bridge::loopback_up()?;
        if self.limited {
            // getrlimit(2): it doesn't hold for root, who has a cgroup.
            setrlimit(Resource::RLIMIT_NPROC, PROCESSES, PROCESSES).context("limit processes")?;
        }
        lab_root::enter(&self.rootfs, cgroup.is_some(), self.limited)?;
        pid_ns::become_init()?;
        self.program()?.exec()
    }

    fn program(&self) -> Result<Program> {
        let bin = prepare::bin_dir()?;
        let path = env::var("PATH").unwrap_or_default();
        let programs = self.programs.iter().map(|folder| format!("{}:", folder.display()));
        let programs: String = programs.collect();
        let path = format!("PATH={programs}{}:{path}:{DEFAULT_PATH}", bin.display());
        let mut env = vec![path];
        env.extend(["HOME=/lab", "KEEL_ROOT=/lab/keel", "PS1=lab$ "].map(str::to_owned));
        env.extend(env::var("TERM").ok().map(|term| format!("TERM={term}")));
        Ok(Program { args: self.command.clone(), env, cwd: "/lab".into() })
    }
}

/// An interactive shell that shows the lab's prompt rather than the user's own.
fn shell() -> Vec<String> {
    let bash = Path::new("/bin/bash").exists();
    let words: &[&str] = if bash { &["bash", "--norc", "--noprofile"] } else { &["sh"] };
    words.iter().map(|word| (*word).to_owned()).collect()
}
