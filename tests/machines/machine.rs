//! The machines, and how the suite is run on one.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use workshop::exercises::catalogue;
use workshop::guest::Guest;
use workshop::prepare::{self, repository};

use crate::outcome::Outcome;
use crate::proofs;

/// One machine, and who runs the suite on it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What it is called here.
    pub(crate) name: &'static str,
    guest: Guest,
    /// What it can't offer, in the words of the suite's `Need`: tests that need it are passed over, and no others.
    lacks: &'static str,
}

/// No program that the book's tests drive is in a guest: the book is the same on every machine.
const NO_BOOK: &str = "Speed,Mdbook,Chromium";
/// With version 1 there is nothing to prove of version 2.
const NO_V2: &str = "Speed,Mdbook,Chromium,CgroupV2,Pressure,NsDelegate,Disk";
/// An ordinary user has no other user beside it, reads no disk, gets no cpuset from systemd, and on
/// an older kernel can't keep an overlay's marks in memory.
const A_USER: &str = "Speed,Mdbook,Chromium,Users,Disk,Cpuset,Marks";

/// Debian 13's kernel and Debian 12's, each as systemd mounts cgroups today; and the two layouts of older systems.
pub(crate) const MACHINES: &[Machine] = &[
    machine("linux-6.12-v2-root", "trixie", "v2", false, NO_BOOK),
    machine("linux-6.12-v2-user", "trixie", "v2", true, A_USER),
    machine("linux-6.1-v2-root", "bookworm", "v2", false, NO_BOOK),
    machine("linux-6.1-v2-user", "bookworm", "v2", true, A_USER),
    machine("linux-6.1-v1-root", "bookworm", "v1", false, NO_V2),
    machine("linux-6.1-hybrid-root", "bookworm", "hybrid", false, NO_V2),
];

/// Emulation takes ten times as long as the processor itself, and CI's machines are slow.
const LIMIT_IN_SECONDS: u32 = 30 * 60;

const fn machine(
    name: &'static str,
    kernel: &'static str,
    cgroups: &'static str,
    ordinary_user: bool,
    lacks: &'static str,
) -> Machine {
    let guest =
        Guest { kernel, cgroups, ordinary_user, seconds: LIMIT_IN_SECONDS, terminal: false };
    Machine { name, guest, lacks }
}

impl Machine {
    /// Boots it, and runs the suite's binary in it. Everything that is printed goes to target/vm/NAME.log.
    ///
    /// # Errors
    /// When the machine can't be booted, dies, or runs out of time.
    pub(crate) fn run(&self, suite: &Path) -> Result<Outcome> {
        let log = repository().join("target/vm").join(format!("{}.log", self.name));
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let start = Instant::now();
        let suite = suite.display().to_string();
        // With two threads one test waits while the other computes, on one processor too.
        let words = ["sh", "-c", "echo kernel: $(uname -r); exec \"$0\" --test-threads 2", &suite];
        let status = self
            .guest
            .command(&words)
            .env("CI", "true")
            .env("KEEL_SLOW", "1")
            .env("KEEL_MAY_LACK", self.lacks)
            .env("INSTA_UPDATE", "no")
            .env("INSTA_WORKSPACE_ROOT", repository())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("start rootfs-scripts/vm-run.sh")?;
        let said = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
        let said = String::from_utf8_lossy(&said);
        Outcome::read(&said, status.success(), start.elapsed())
            .with_context(|| format!("the suite did not end; see {}", log.display()))
    }
}

/// Builds the programs, the root filesystem, and the suite. Returns its binary.
///
/// # Errors
/// When one of them can't be built.
pub(crate) fn prepare() -> Result<PathBuf> {
    prepare::build()?;
    proofs::prepare_all(&catalogue::all()?)?;
    let rootfs = prepare::rootfs()?;
    // In a guest that root started, the tree belongs to root there too, and the ordinary user must read all of it to copy it.
    fs::set_permissions(rootfs.join("root"), Permissions::from_mode(0o755))
        .context("make the root filesystem readable")?;
    fs::create_dir_all(repository().join("target/vm")).context("make target/vm")?;
    let built = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["test", "-p", "keel-tests", "--test", "keel", "--no-run", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    ensure!(built.status.success(), "build the suite: cargo ended with {}", built.status);
    let messages = String::from_utf8_lossy(&built.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter_map(|message: serde_json::Value| Some(message["executable"].as_str()?.into()))
        .next_back()
        .context("cargo named no binary of the suite")
}
