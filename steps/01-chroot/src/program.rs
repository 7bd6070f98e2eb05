//! What execve(2) is given: arguments, environment, working directory.

use std::convert::Infallible;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{chdir, execve};

use crate::exit::{Coded, NOT_EXECUTABLE, NOT_FOUND};

/// Where commands are looked for when the environment has no PATH: Docker's default.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with everything that it starts with. Nothing of the caller's environment is in it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The command and its arguments; the first is looked up along PATH unless it holds a `/`.
    pub args: Vec<String>,
    /// `NAME=value` pairs, the whole environment.
    pub env: Vec<String>,
    /// The working directory inside the root.
    pub cwd: PathBuf,
}

impl Program {
    /// `command` in `/`, with PATH, HOME and, if the caller has one, TERM.
    pub fn new(command: &[String]) -> Self {
        let mut env = vec![format!("PATH={DEFAULT_PATH}"), "HOME=/root".to_owned()];
        env.extend(std::env::var("TERM").ok().map(|term| format!("TERM={term}")));
        Program { args: command.to_vec(), env, cwd: "/".into() }
    }

    // ANCHOR: program-exec
    /// Becomes this program. Returns only when that fails.
    ///
    /// # Errors
    /// [`Coded`] with 127 when there is no such command, 126 when it can't be executed.
    pub fn exec(&self) -> Result<Infallible> {
        let cwd = self.cwd.display();
        chdir(&self.cwd).with_context(|| format!("chdir {cwd} in the container"))?;
        require_inside(&self.cwd)?;
        inherit_nothing()?;

        let args = c_strings(&self.args)?;
        let env = c_strings(&self.env)?;
        // Like execvp(3): what is there but can't be executed is remembered, and the search goes on.
        let mut failure = None;
        for path in self.candidates() {
            let file = CString::new(path.as_str()).context("command")?;
            let Err(errno) = execve(&file, &args, &env);
            if Path::new(&path).exists() {
                failure = Some(errno);
            }
        }
        Err(self.explain(failure).into())
    }
    // ANCHOR_END: program-exec

    /// The paths to try in turn: the command itself if it holds a `/`, else one in each folder of PATH.
    fn candidates(&self) -> Vec<String> {
        let command = self.args.first().map_or("", String::as_str);
        if command.contains('/') {
            return vec![command.to_owned()];
        }
        if command.is_empty() {
            return Vec::new();
        }
        let path = self.env.iter().find_map(|pair| pair.strip_prefix("PATH="));
        path.unwrap_or(DEFAULT_PATH)
            .split(':')
            // environ(7): an empty entry means the working directory.
            .map(|dir| if dir.is_empty() { "." } else { dir })
            .map(|dir| format!("{dir}/{command}"))
            .collect()
    }

    /// Why there was no exec: `failure` is that of a file which is there.
    fn explain(&self, failure: Option<Errno>) -> Coded {
        let command = self.args.first().map_or("", String::as_str);
        let (code, why) = match failure {
            None => (NOT_FOUND, "no such command in the container".to_owned()),
            // execve(2): also when the file's #! interpreter or its dynamic linker is missing.
            Some(Errno::ENOENT) => (
                NOT_FOUND,
                "its interpreter (#! line or dynamic linker) is not in the container".to_owned(),
            ),
            Some(errno) => (NOT_EXECUTABLE, format!("cannot be executed: {}", errno.desc())),
        };
        Coded { code, message: format!("{command}: {why}") }
    }
}

/// Fails when the working directory, `cwd`, is not below the root.
///
/// An image may name /proc/self/fd/9: if 9 is a folder of the host that somebody left open, chdir(2)
/// goes there, and `..` leads on to all the rest (CVE-2024-21626).
fn require_inside(cwd: &Path) -> Result<()> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the pointer and the length describe `path`, which outlives the call.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    Errno::result(length).context("get the working directory")?;
    // getcwd(2): what lies outside of the root begins with "(unreachable)".
    ensure!(path[0] == b'/', "working directory {}: leads out of the container", cwd.display());
    Ok(())
}

// ANCHOR: inherit-nothing
/// What a program inherits through execve(2) besides its arguments: open files and signals' state.
fn inherit_nothing() -> Result<()> {
    // A descriptor that the caller's shell left open on a host folder would be a way out of the
    // root: `cd /proc/self/fd/9` (CVE-2024-21626). Close on exec rather than now: the pipe by
    // which a failed exec is reported must live until then. See close_range(2).
    //
    // SAFETY: sets a flag on this process's descriptors; it touches no memory.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Errno::result(closed).context("close_range (needs Linux 5.11)")?;

    // Rust's runtime ignores SIGPIPE, and execve(2) keeps what is ignored or blocked.
    //
    // SAFETY: SIG_DFL installs no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.context("reset SIGPIPE")?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("unblock signals")
}
// ANCHOR_END: inherit-nothing

fn c_strings(strings: &[String]) -> Result<Vec<CString>> {
    let convert = |s: &String| {
        CString::new(s.as_str()).with_context(|| format!("{s:?}: an argument cannot hold a NUL"))
    };
    strings.iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &str, env: &[&str]) -> Program {
        let env = env.iter().map(|s| s.to_string()).collect();
        Program { args: vec![command.to_owned()], env, cwd: "/".into() }
    }

    #[test]
    fn a_name_is_looked_for_along_path_and_a_path_is_taken_as_it_is() {
        assert_eq!(
            program("ls", &["PATH=/bin::/usr/bin"]).candidates(),
            ["/bin/ls", "./ls", "/usr/bin/ls"]
        );
        assert_eq!(program("./ls", &["PATH=/bin"]).candidates(), ["./ls"]);
        assert!(program("", &["PATH=/bin"]).candidates().is_empty());
    }
}
