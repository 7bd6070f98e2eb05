//! How long a container takes from its start to its end, when all that it does is to end.
//!
//! ```text
//! cargo bench -p keel-runtime --bench start [-- --rounds 100]
//! ```
//!
//! The contestants run /bin/true, in turns, so that whatever else the machine does hits all alike:
//! the floor (what the kernel itself needs: `floor.rs`), steps, keel, and those of crun, runc, bwrap and
//! podman that are installed. They run in the lab: nothing of it touches the host.
//!
//! This program plays three parts. Called by Cargo it builds what is to be measured and opens a lab,
//! in which it is called again, as `race`; and from there again, as `floor`, for a contestant.

mod bundle;
mod contestant;
mod floor;
mod hybrid;
mod keel;
mod race;
mod rivals;
mod table;

use std::env;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use mount_ns::{Mount, Root};

use floor::Floor;

/// Measure how long a container takes from its start to its end.
#[derive(Parser)]
#[command(name = "start")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How often each contestant runs
    ///
    /// The more, the less a median moves between two runs of this program. 100 take about half a minute.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Take the release binaries that are there
    #[arg(long)]
    no_build: bool,
    /// What Cargo calls every benchmark with
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// In the lab: measure, and print the table
    #[command(hide = true)]
    Race { rounds: u32 },
    /// Be a contestant: the floor
    #[command(hide = true)]
    Floor(Floor),
}

fn main() -> ExitCode {
    let args = Args::parse();
    chroot::exit::report(match args.part {
        None => open_lab(&args),
        Some(Part::Race { rounds }) => hold_race(rounds),
        Some(Part::Floor(floor)) => floor.run().map(|()| ExitCode::SUCCESS),
    })
}

/// Builds what is to be measured, and goes on in a lab.
fn open_lab(args: &Args) -> Result<ExitCode> {
    let me = env::current_exe().context("find this program's own file")?;
    // target/release/deps/start-0123abcd
    let bin = me.parent().and_then(Path::parent).context("find the folder of the binaries")?;
    if !args.no_build {
        build()?;
    }
    let workshop = bin.join("workshop");
    ensure!(
        workshop.exists(),
        "there is no {}: leave out --no-build, and Cargo makes it",
        workshop.display()
    );
    let status = Command::new(&workshop)
        .args(["lab", "--no-build", "--"])
        .arg(&me)
        .args(["race", &args.rounds.to_string()])
        .status()
        .context("open the lab")?;
    Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}

fn build() -> Result<()> {
    eprintln!("building the release binaries (the first time takes some minutes)");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "--workspace", "--bins"])
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "build the release binaries: cargo ended with {status}");
    Ok(())
}

/// The second part: in the lab, whose working directory is the reader's own.
fn hold_race(rounds: u32) -> Result<ExitCode> {
    let lab = env::current_dir().context("get the working directory")?;
    let ground = Ground::prepare(&lab)?;
    let mut left_out = Vec::new();
    let mut lined_up = floor::contestants(&ground)?;
    lined_up.extend(keel::contestants(&ground, &mut left_out)?);
    lined_up.extend(rivals::contestants(&ground, &mut left_out)?);

    let started = table::conditions();
    let waiting = stderr().is_terminal();
    let results = race::run(lined_up, rounds, &mut left_out, |done| {
        if waiting {
            eprint!("\rround {done} of {rounds}");
        }
    })?;
    if waiting {
        eprint!("\r\x1b[K");
    }
    table::print(&started, rounds, &results, &left_out);
    Ok(ExitCode::SUCCESS)
}

/// What the contestants find in the lab.
struct Ground {
    /// The lab's own folder, on a tmpfs.
    lab: PathBuf,
    /// A root filesystem with /bin/true, statically linked.
    rootfs: PathBuf,
    /// Why containers can't have cgroups here, if they can't.
    no_cgroups: Option<String>,
    /// A config.json as keel writes it.
    config: serde_json::Value,
}

impl Ground {
    fn prepare(lab: &Path) -> Result<Ground> {
        let state = lab.join("keel");
        ensure!(env::var_os("KEEL_ROOT") == Some(state.into()), "this part runs in the lab");
        let rootfs = lab.join("rootfs");
        ensure!(rootfs.join("bin/true").exists(), "there is no rootfs in {}", lab.display());
        // podman and the runtimes that it starts keep their state there.
        let run = Mount::new("tmpfs", "tmpfs".as_ref(), "/run".as_ref(), ["mode=755"])?;
        Root::open("/".as_ref())?.mount(&run)?;

        keel::import(&rootfs)?;
        let made = cgroups::Cgroup::create("start-bench").and_then(cgroups::Cgroup::remove);
        let no_cgroups = made.err().map(|error| chroot::exit::sentence(&error));
        let config = keel::config(lab)?;
        Ok(Ground { lab: lab.to_owned(), rootfs, no_cgroups, config })
    }
}
