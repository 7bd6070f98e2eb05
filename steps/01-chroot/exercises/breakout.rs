//! Breaks out of the container of step 1, and shows what would have stopped it.
//!
//! `breakout ROOTFS COMMAND…` goes into the rootfs as every container of step 1 does, gets out again, and runs the command
//! with the host's files. With `--sealed` before the rootfs it first gives up what it takes.

use std::convert::Infallible;
use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, mkdir};

fn main() -> ExitCode {
    match run() {
        Err(error) => chroot::exit::report(Err(error)),
        Ok(never) => match never {},
    }
}

fn run() -> Result<Infallible> {
    let mut words: Vec<String> = env::args().skip(1).collect();
    let sealed = words.first().is_some_and(|word| word == "--sealed");
    if sealed {
        words.remove(0);
    }
    let (rootfs, command) =
        words.split_first().context("usage: breakout [--sealed] ROOTFS COMMAND…")?;
    chroot::enter(Path::new(rootfs))?;
    if sealed {
        seal()?;
    }
    escape()?;
    chroot::exec(command)
}

/// Gets from inside a root directory that chroot(2) has made to the real one.
///
/// The kernel stops `..` at the process's root directory and nowhere else. A working directory that is not below the root
/// never meets it on the way up.
///
/// # Errors
/// EPERM without CAP_SYS_CHROOT. See chroot(2).
fn escape() -> Result<()> {
    // chroot(2) again, to a directory further down; it leaves the working directory where it is, which is now outside.
    let _ = mkdir("/deeper", Mode::S_IRWXU);
    chroot("/deeper").context("chroot /deeper")?;
    // At the real root, `..` is that root itself: more steps than needed do no harm.
    for _ in 0..64 {
        chdir("..").context("chdir ..")?;
    }
    chroot(".").context("chroot to the host's root")
}

/// Gives up for good what [`escape`] needs: the capability to call chroot(2).
///
/// # Errors
/// EPERM. See capset(2).
fn seal() -> Result<()> {
    /// linux/capability.h
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_SYS_CHROOT: u32 = 18;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: header and data are what capget(2) and capset(2) expect for version 3: one and two of them.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    nix::errno::Errno::result(got).context("read the capabilities")?;
    data[0].effective &= !(1 << CAP_SYS_CHROOT);
    data[0].permitted &= !(1 << CAP_SYS_CHROOT);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    nix::errno::Errno::result(set).context("drop CAP_SYS_CHROOT")?;
    Ok(())
}
