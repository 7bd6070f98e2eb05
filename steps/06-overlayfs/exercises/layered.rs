//! Mounts an overlay of several layers and leaves it there; what is written goes to the folder `changes`.
//!
//! `layered [--before-6.7] TARGET LAYER…`, topmost layer first. With the flag it first makes the kernel answer as one from
//! before Linux 6.7 would, to which layers can't be given one by one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::errno::Errno;
use overlayfs::Overlay;

fn main() -> ExitCode {
    chroot::exit::report(run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let mut words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if words.first().is_some_and(|word| word.as_os_str() == "--before-6.7") {
        words.remove(0);
        refuse_fsconfig()?;
    }
    let (target, layers) =
        words.split_first().context("usage: layered [--before-6.7] TARGET LAYER…")?;
    Overlay::in_folder(layers, Path::new("changes"))?.mount(target)
}

/// From here on fsconfig(2) fails with EINVAL, which is what a kernel says to an option that it doesn't know. See seccomp(2).
fn refuse_fsconfig() -> Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let number = libc::SYS_fsconfig as u32;
    let mut filter = [
        // The call's number is the first thing in what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes no pointer.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    Errno::result(set).context("give up new privileges")?;
    // SAFETY: `program` and the filter that it points to outlive the call, and the length is the filter's.
    let set = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    Errno::result(set).context("install a seccomp filter")?;
    Ok(())
}
