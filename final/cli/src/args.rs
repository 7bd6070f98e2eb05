//! The command line: Docker's, as far as keel goes.

use std::path::PathBuf;

use cgroups::Limits;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use engine::Options;
use mount_ns::View;
use veth_bridge::{Network, Port};

/// A container engine made of eight steps.
///
/// It keeps its state in plain files: in /var/lib/keel for root, in ~/.local/share/keel for anybody else.
#[derive(Parser)]
#[command(
    name = "keel",
    version,
    disable_help_subcommand = true,
    after_help = "Environment:\n  \
        KEEL_ROOT     where images and containers are kept\n  \
        KEEL_STORAGE  overlay or vfs: how containers share their image's files [default: what works]"
)]
pub struct Keel {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make an image of a folder with a root filesystem
    Import {
        /// The folder
        rootfs: PathBuf,
        /// What the image is to be called
        #[arg(value_name = "NAME[:TAG]")]
        name: String,
    },
    /// Take images out of an archive by 'docker save', or an OCI image layout
    Load {
        /// The archive (tar, also compressed) or the layout's folder [default: standard input]
        #[arg(short, long = "input", value_name = "FILE")]
        input: Option<PathBuf>,
        /// The same without -i
        #[arg(conflicts_with = "input")]
        file: Option<PathBuf>,
    },
    /// List images
    Images {
        /// Only the ids
        #[arg(short, long)]
        quiet: bool,
    },
    /// Make a container of an image and run a command in it
    Run(Box<Run>),
    /// List containers
    Ps {
        /// Also those that don't run
        #[arg(short, long)]
        all: bool,
        /// Only the ids
        #[arg(short, long)]
        quiet: bool,
        /// Whole ids and commands
        #[arg(long)]
        no_trunc: bool,
    },
    /// Show what a container has written
    Logs {
        /// Put the time in front of each line
        #[arg(short, long)]
        timestamps: bool,
        #[arg(short, long, hide = true)]
        follow: bool,
        /// Only the last lines
        #[arg(short = 'n', long, value_name = "NUMBER")]
        tail: Option<usize>,
        /// Its name or id
        container: String,
    },
    /// Remove containers
    Rm {
        /// Kill those that run
        #[arg(short, long)]
        force: bool,
        /// Their names or ids
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Make an image of a container's files
    Commit {
        /// Its name or id
        container: String,
        /// What the image is to be called
        #[arg(value_name = "NAME[:TAG]")]
        name: Option<String>,
    },
    /// Show which files a container has added, changed and deleted
    Diff {
        /// Its name or id
        container: String,
    },
    /// Show all about containers, as JSON
    Inspect {
        /// Their names or ids
        #[arg(required = true, value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Look at a running container from outside, in /proc, and draw what it is made of
    Xray {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Its name or id
        container: String,
    },
}

/// The flags of `keel run`.
#[derive(Args)]
#[command(
    // -h is the hostname's, as in Docker.
    disable_help_flag = true,
    override_usage = "keel run [OPTIONS] IMAGE [COMMAND]...",
    after_help = "An ordinary user's containers have no network of their own by default (--network none): outside of\n\
                  'cargo workshop lab' it takes root to make one.\n\n\
                  Example: keel run --rm -m 64m -p 8080:80 busybox httpd -f"
)]
pub struct Run {
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    /// Its name [default: two words]
    #[arg(long)]
    pub name: Option<String>,
    /// Let it read standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Set a variable; without a value, to the one that it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = variable)]
    pub env: Vec<String>,
    /// Start in this folder of the container
    #[arg(short, long, value_name = "FOLDER")]
    pub workdir: Option<PathBuf>,
    /// Be this user of the container, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    #[command(flatten)]
    pub view: View,
    /// Its hostname [default: its short id]
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,
    #[command(flatten)]
    pub limits: Limits,
    /// Whether it gets a cgroup, to be counted and limited in: enabled or disabled
    #[arg(long, value_name = "MODE", default_value = "enabled", hide_possible_values = true)]
    pub cgroups: Cgroups,
    /// bridge, none, host, or container:NAME [default: bridge; none for an ordinary user]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub network: Option<Network>,
    /// Lead a port of the host to one of the container
    #[arg(short, long, value_name = "[ADDRESS:]HOST:CONTAINER[/udp]")]
    pub publish: Vec<Port>,
    /// Put a small init in front of the command: it reaps orphans and passes signals on
    #[arg(long)]
    pub init: bool,
    /// Run this in place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    // Flags that come with later steps: a clear word instead of "unexpected argument".
    #[arg(short, long, hide = true)]
    pub tty: bool,
    #[arg(short, long, hide = true)]
    pub detach: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
    /// The image, by name or id, and the command with its arguments [default: the image's]
    // One list: what follows the image is the command's, also if it looks like a flag of ours.
    #[arg(trailing_var_arg = true, required = true, value_name = "IMAGE [COMMAND]")]
    pub words: Vec<String>,
}

fn variable(text: &str) -> Result<String, &'static str> {
    match text.starts_with('=') || text.is_empty() {
        true => Err("a variable has a name: NAME=VALUE, or NAME for the value that it has here"),
        false => Ok(text.to_owned()),
    }
}

/// Whether a container gets a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cgroups {
    Enabled,
    Disabled,
}

impl From<Run> for Options {
    fn from(run: Run) -> Options {
        let mut words = run.words.into_iter();
        Options {
            image: words.next().unwrap_or_default(),
            command: words.collect(),
            entrypoint: run.entrypoint,
            name: run.name,
            remove: run.rm,
            interactive: run.interactive,
            env: run.env,
            workdir: run.workdir,
            user: run.user,
            volumes: run.view.volumes,
            tmpfs: run.view.tmpfs,
            read_only: run.view.read_only,
            hostname: run.hostname,
            limits: run.limits,
            without_cgroup: run.cgroups == Cgroups::Disabled,
            network: run.network,
            publish: run.publish,
            init: run.init,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Keel::command().debug_assert();
    }

    #[test]
    fn flags_end_where_the_image_stands() {
        let line = "keel run --rm -it -h box -m 64m -p 80:8080 busybox:1 ls -la --color";
        let Command::Run(run) = Keel::parse_from(line.split(' ')).command else { panic!() };
        assert!(run.rm && run.interactive && run.tty);
        assert_eq!(run.hostname.as_deref(), Some("box"));
        assert_eq!(run.words, ["busybox:1", "ls", "-la", "--color"]);

        // An image with an entrypoint takes flags of its own.
        let line = "keel run hello -d --name x --nonsense";
        let Command::Run(run) = Keel::parse_from(line.split(' ')).command else { panic!() };
        assert!(!run.detach && run.name.is_none());
        assert_eq!(run.words, ["hello", "-d", "--name", "x", "--nonsense"]);
    }
}
