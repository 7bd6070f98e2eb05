//! The floor: what the kernel needs for a container, by a program that does nothing else.
//!
//! New namespaces, a bind mount, pivot_root, the command, its end. No libraries of ours: what those
//! cost is to be seen, not to be part of the measure. (It leaves its namespaces by unshare(2) and then
//! starts the command, where keel has clone3(2) do both. The kernel's work is the same.)

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mount_ns::{devices, masks, mount as table};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root};
use unshare::Namespace::{Cgroup, Ipc, Mount, Net, Pid, Uts};

use crate::Ground;
use crate::contestant::{Call, Contestant, Start};

/// The name of the contestant that all others are compared with.
pub const NAME: &str = "the floor";
/// The floor that has what step 4 has, and no more.
pub const NAME_OF_STEP_4: &str = "  with the mounts of step 4, and no network";

/// What the floor is asked to do.
#[derive(Args, Debug, Clone)]
pub struct Floor {
    /// The folder that becomes /
    rootfs: PathBuf,
    /// Have the namespaces and the mounts of step 4
    #[arg(long)]
    as_step_4: bool,
}

/// The floor in its variants.
pub fn contestants(ground: &Ground) -> Result<Vec<Contestant>> {
    let me = std::env::current_exe().context("find this program's own file")?;
    let rootfs = ground.rootfs.display().to_string();
    let program = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Start::Program(Call { words, folder: ground.lab.clone(), world: None })
    };
    let me = me.display().to_string();
    let bare = Floor { rootfs: ground.rootfs.clone(), as_step_4: false };
    let line = |name, start| Contestant { name, cgroup: None, start };
    Ok(vec![
        line("/bin/true, in no container", program(&[&format!("{rootfs}/bin/true")])),
        line(NAME, program(&[&me, "floor", &rootfs])),
        line("  without its own program's start", Start::Here(bare)),
        line(NAME_OF_STEP_4, program(&[&me, "floor", "--as-step-4", &rootfs])),
    ])
}

impl Floor {
    /// Runs /bin/true in a container, and waits for its end.
    ///
    /// The calling thread is in other namespaces afterwards, and its root is another one.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn run(&self) -> Result<()> {
        let kinds = [Mount, Uts, Ipc, Pid, Cgroup, Net];
        let kinds = if self.as_step_4 { &kinds[..5] } else { &kinds };
        unshare::leave(kinds)?;

        let none = None::<&str>;
        let rootfs = self.rootfs.as_path();
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)
            .context("make mounts private")?;
        mount(Some(rootfs), rootfs, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .context("bind the rootfs")?;
        chdir(rootfs).context("chdir to the rootfs")?;
        if self.as_step_4 {
            mount_as_step_4()?;
        }
        // pivot_root(2), "pivot_root(".", ".")": the old root then lies on top of the new one.
        pivot_root(".", ".").context("pivot_root")?;
        umount2(".", MntFlags::MNT_DETACH).context("unmount the old root")?;

        let status = Command::new("/bin/true").status().context("start /bin/true")?;
        ensure!(status.success(), "/bin/true ended with {status}");
        Ok(())
    }
}

/// What step 4 mounts, from the same tables, below the working directory: by plain mount(2), and
/// without a look at what is there.
fn mount_as_step_4() -> Result<()> {
    for line in table::defaults()? {
        let options: Vec<_> = line.data.iter().map(option).collect();
        // The low bits mean the same to mount(2) and to mount_setattr(2): ro, nosuid, nodev, noexec.
        let flags = MsFlags::from_bits_truncate(u64::from(line.attributes.bits()) & 0xF);
        let target = inside(&line.target);
        fs::create_dir_all(&target).context("make a mount point")?;
        let kind = Some(line.kind.as_str());
        mount(Some(&line.source), &target, kind, flags, Some(options.join(",").as_str()))
            .with_context(|| format!("mount {}", line.target.display()))?;
    }
    for (path, (major, minor)) in devices::DEFAULT {
        make_device(path.as_ref(), makedev(major.into(), minor.into()))
            .with_context(|| format!("make {path}"))?;
    }
    for name in ["fd", "stdin", "stdout", "stderr", "ptmx"] {
        symlink("/proc/self/fd", format!("dev/{name}")).context("make a link")?;
    }
    masks::HIDDEN.iter().try_for_each(|path| hide(path.as_ref()))?;
    masks::READ_ONLY.iter().try_for_each(|path| protect(path.as_ref()))
}

fn option((name, value): &(String, Option<String>)) -> String {
    match value {
        // In a user namespace with one id there is no group 5.
        Some(_) if name == "gid" => "gid=0".to_owned(),
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    }
}

fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn make_device(path: &Path, device: u64) -> Result<()> {
    let place = inside(path);
    match mknod(&place, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), device) {
        Err(Errno::EPERM) => {
            File::create(&place)?;
            bind(path, &place)
        }
        made => Ok(made?),
    }
}

fn hide(path: &Path) -> Result<()> {
    let place = inside(path);
    let none = None::<&str>;
    let found = match fs::metadata(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("stat {}", path.display()))?,
    };
    if !found.is_dir() {
        return bind("dev/null".as_ref(), &place);
    }
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::MS_RDONLY, none)
        .with_context(|| format!("hide {}", path.display()))
}

fn protect(path: &Path) -> Result<()> {
    let place = inside(path);
    if !place.exists() {
        return Ok(());
    }
    bind(&place, &place)?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | safe;
    let none = None::<&str>;
    mount(none, &place, none, flags, none).with_context(|| format!("protect {}", path.display()))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .with_context(|| format!("bind {}", target.display()))
}
