//! What the container's first process does between its birth and its exec.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use cgroups::Cgroup;
use image_layers::user::User;
use mount_ns::{Root, cgroup_view, devices, masks};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::resource::setrlimit;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use unshare::Namespace;

use crate::plan::Plan;
use pid_ns::Parent;

/// What takes the place of the process's stdin, stdout and stderr.
#[derive(Debug)]
pub struct Stdio {
    /// Where it reads from.
    pub stdin: OwnedFd,
    /// Where its output goes.
    pub stdout: OwnedFd,
    /// Where its complaints go.
    pub stderr: OwnedFd,
}

/// The child and its surroundings, as [`crate::create`] was given them.
pub(crate) struct Child<F> {
    pub(crate) plan: Plan,
    pub(crate) parent: Parent,
    pub(crate) stdio: Option<Stdio>,
    pub(crate) init: bool,
    pub(crate) mount_rootfs: F,
}

impl<F: FnOnce() -> Result<()>> Child<F> {
    // ANCHOR: become
    /// Becomes the container's command. The order is the point: each line needs a power or a view
    /// of the host that a later one takes away.
    pub(crate) fn r#become(self, cgroup: Option<&Cgroup>) -> Result<Infallible> {
        let Child { plan, parent, stdio, init, mount_rootfs } = self;
        // A session without a terminal: through that of the caller, /dev/tty, the container could type
        // commands into the caller's shell (TIOCSTI in ioctl_tty(2), CVE-2017-5226).
        setsid().context("leave the terminal's session")?;
        if let Some(stdio) = &stdio {
            stdio.adopt()?;
        }

        // While the host's cgroups are in sight. A cgroup namespace shows as its root the cgroup in
        // which it was made: so join first. cgroup_namespaces(7).
        if let Some(cgroup) = cgroup {
            cgroup.join()?;
        }
        if plan.has_new(Namespace::Cgroup) {
            unshare::leave(&[Namespace::Cgroup])?;
        }
        plan.join_namespaces()?;
        plan.set_names()?;

        mount_ns::make_private()?;
        mount_rootfs()?;
        let root = plan.move_in(cgroup.is_some())?;

        let mut program = plan.program.clone();
        let user = plan.user.find()?;
        set_home(&mut program.env, &user);
        make_working_directory(&root, &program.cwd)?;
        plan.seal(&root)?;

        if init {
            pid_ns::become_init()?;
        }
        plan.set_rlimits()?;
        user.switch_to()?;
        if !init {
            parent.take_me_along()?;
        }
        if plan.no_new_privileges {
            prctl::set_no_new_privs().context("set no_new_privs")?;
        }
        program.exec()
    }
    // ANCHOR_END: become
}

impl Stdio {
    fn adopt(&self) -> Result<()> {
        dup2_stdin(&self.stdin).context("set stdin")?;
        dup2_stdout(&self.stdout).context("set stdout")?;
        dup2_stderr(&self.stderr).context("set stderr")
    }
}

impl Plan {
    fn join_namespaces(&self) -> Result<()> {
        for (kind, file) in &self.joined {
            // setns(2): given the kind too, the kernel refuses a file that is another one's.
            setns(file, CloneFlags::from_bits_retain(kind.flag()))
                .with_context(|| format!("join the {kind} namespace"))?;
        }
        Ok(())
    }

    fn set_names(&self) -> Result<()> {
        if let Some(name) = &self.hostname {
            unshare::set_hostname(name)?;
        }
        if let Some(name) = &self.domainname {
            unshare::set_domainname(name)?;
        }
        Ok(())
    }

    /// [`mount_ns::pivot_into`] with the config's own lists.
    fn move_in(&self, has_cgroup: bool) -> Result<Root> {
        let root = Root::bind(&self.rootfs)?;
        let dev = Path::new("/dev");
        // A bundle may bring no /dev of its own, or bind one that has its devices already.
        if !self.mounts.iter().any(|mount| mount.target == dev) {
            devices::create(&root, &devices::defaults())?;
        }
        for mount in &self.mounts {
            match mount.kind.as_str() {
                // Nothing of its own to show without one.
                "cgroup" | "cgroup2" if !has_cgroup => {}
                "cgroup" | "cgroup2" => cgroup_view::mount(&root)?,
                _ => root.mount(mount)?,
            }
            if mount.target == dev && !mount.is_bind() {
                devices::create(&root, &devices::defaults())?;
            }
        }
        root.pivot()?;
        devices::own_null(&root)?;
        Ok(root)
    }

    /// What takes away comes last.
    fn seal(&self, root: &Root) -> Result<()> {
        if self.read_only {
            root.make_read_only()?;
        }
        self.hidden.iter().try_for_each(|path| masks::hide(root, path))?;
        self.protected.iter().try_for_each(|path| masks::protect(root, path))
    }

    fn set_rlimits(&self) -> Result<()> {
        for &(resource, soft, hard) in &self.rlimits {
            setrlimit(resource, soft, hard).with_context(|| format!("set {resource:?}"))?;
        }
        // The caller's own would decide over the container's files. This is runc's default.
        umask(Mode::from_bits_truncate(self.umask.unwrap_or(0o022)));
        Ok(())
    }
}

/// Docker and runc do so too: HOME is the user's, unless the config sets it.
fn set_home(env: &mut Vec<String>, user: &User) {
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home.display()));
    }
}

/// A working directory that the image lacks is made, as by runc; inside the root, whatever links there
/// are on the way. See CVE-2024-21626 for one that isn't followed: /proc/self/fd/9.
fn make_working_directory(root: &Root, cwd: &Path) -> Result<()> {
    let made = root.directory(cwd).map(drop);
    made.with_context(|| format!("find or make the working directory {}", cwd.display()))
}
