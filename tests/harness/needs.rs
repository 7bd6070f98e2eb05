//! What a test needs of the machine, and what this machine has.

use std::env;
use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

use super::{cgroup, chromium};

/// Something that not every machine, or not every user, can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A cgroup that the user may make others in.
    Cgroup,
    /// Version 2 of cgroups and no other, besides [`Need::Cgroup`].
    CgroupV2,
    /// The cpuset controller.
    Cpuset,
    /// A virtual disk that may be read and limited.
    Disk,
    /// A cgroup namespace that can't lift its own limits.
    NsDelegate,
    /// Pressure stall information.
    Pressure,
    /// The program `nft`.
    Nft,
    /// The program `mdbook`.
    Mdbook,
    /// Chromium, or another browser that is made of it.
    Chromium,
    /// The program `strace`.
    Strace,
    /// Users besides root in the lab: an ordinary user's has only that one.
    Users,
}

/// What this machine offers to this user.
pub(crate) struct Machine {
    cgroup: Option<String>,
}

impl Machine {
    /// Looks.
    pub(crate) fn probe() -> Self {
        Machine { cgroup: cgroup::obstacle() }
    }

    /// Why `need` isn't met; `None` if it is.
    pub(crate) fn lacks(&self, need: Need) -> Option<String> {
        match need {
            Need::Cgroup => self.cgroup.clone(),
            Need::CgroupV2 => cgroup::v2_obstacle().or_else(|| self.cgroup.clone()),
            Need::Cpuset => cgroup::cpuset_obstacle(),
            Need::Disk => cgroup::disk_obstacle(),
            Need::NsDelegate => cgroup::delegate_obstacle(),
            Need::Pressure => cgroup::pressure_obstacle(),
            Need::Nft => program("nft", "nftables"),
            Need::Mdbook => program("mdbook", "cargo install mdbook"),
            Need::Strace => program("strace", "strace"),
            Need::Chromium => chromium::program()
                .is_none()
                .then(|| "needs a browser: 'chromium' or 'google-chrome'".to_owned()),
            Need::Users => (!geteuid().is_root())
                .then(|| "needs root: an ordinary user's lab has no user but root".to_owned()),
        }
    }
}

fn program(name: &str, package: &str) -> Option<String> {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(name).exists()))
        || Path::new("/usr/sbin").join(name).exists();
    (!found).then(|| format!("needs '{name}' ({package})"))
}

/// Says what was skipped and why. With CI=true a skip is a failure, unless tests/skips.txt names it;
/// returns whether all is well.
pub(crate) fn report(skipped: &[(&'static str, String)]) -> bool {
    let allowed = allowed();
    let in_ci = env::var("CI").is_ok_and(|value| value == "true");
    let mut ok = true;
    for (name, reason) in skipped {
        let known = allowed.iter().any(|allowed| allowed == name);
        println!("skipped: {name}: {reason}");
        if in_ci && !known {
            println!("  a skip that tests/skips.txt doesn't name is a failure in CI");
            ok = false;
        }
    }
    ok
}

/// The tests that an ordinary user without a cgroup of its own may skip: one name a line.
fn allowed() -> Vec<String> {
    if geteuid().is_root() {
        return Vec::new();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("skips.txt");
    let text = fs::read_to_string(file).unwrap_or_default();
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
