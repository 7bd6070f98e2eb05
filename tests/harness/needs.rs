//! What a test needs of the machine, and what this machine has.

use std::env;
use std::path::Path;

use nix::sys::utsname::uname;
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
    /// A filesystem in memory in which this user's overlays can keep their marks.
    Marks,
    /// A processor that isn't emulated.
    Speed,
}

/// Whether who runs the tests says that this machine is slow, being emulated.
pub(crate) fn is_slow() -> bool {
    env::var_os("KEEL_SLOW").is_some()
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
            Need::Speed => is_slow().then(|| {
                "needs a processor that isn't emulated: it does hundreds of things, or repeats what other tests do"
                    .to_owned()
            }),
            Need::Marks => (!geteuid().is_root() && kernel() < (6, 6)).then(|| {
                "needs root, or Linux 6.6: before, a tmpfs has no user.* attributes".to_owned()
            }),
            Need::Users => (!geteuid().is_root())
                .then(|| "needs root: an ordinary user's lab has no user but root".to_owned()),
        }
    }
}

/// The kernel's version, as in (6, 1). See uname(2).
fn kernel() -> (u32, u32) {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn program(name: &str, package: &str) -> Option<String> {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(name).exists()))
        || Path::new("/usr/sbin").join(name).exists();
    (!found).then(|| format!("needs '{name}' ({package})"))
}

/// A test that this machine can't run.
pub(crate) struct Skip {
    pub(crate) name: &'static str,
    pub(crate) need: Need,
    pub(crate) why: String,
}

/// Says what was skipped and why. With CI=true a skip is a failure, unless KEEL_MAY_LACK names its need: whoever sets it
/// knows the machine. Returns whether all is well.
pub(crate) fn report(skipped: &[Skip]) -> bool {
    let in_ci = env::var("CI").is_ok_and(|value| value == "true");
    let may_lack = env::var("KEEL_MAY_LACK").unwrap_or_default();
    let mut ok = true;
    for Skip { name, need, why } in skipped {
        println!("skipped: {name}: {why}");
        if in_ci && !may_lack.split(',').any(|known| known == format!("{need:?}")) {
            println!("  this is a failure in CI: KEEL_MAY_LACK doesn't name {need:?}");
            ok = false;
        }
    }
    ok
}
