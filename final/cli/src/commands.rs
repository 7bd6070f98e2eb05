//! What each command does: asks the engine, prints the answer.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, ensure};
use chroot::exit;
use engine::home::Home;
use engine::log::Stream;
use engine::{Access, Container, Engine, NotFound};

use crate::args::{Command, Run};
use crate::format::{ago, shorten, size, status, table};

/// Does what was typed.
pub fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Import { rootfs, name } => {
            let id = open(Access::Change)?.import(&rootfs, &name)?;
            print(&format!("{id}\n"))?;
        }
        Command::Load { input, file } => {
            let engine = open(Access::Change)?;
            for name in engine.load(input.or(file).as_deref())? {
                let what = if name.starts_with("sha256:") { "image ID" } else { "image" };
                print(&format!("Loaded {what}: {name}\n"))?;
            }
        }
        Command::Images { quiet } => images(&open(Access::Look)?, quiet)?,
        Command::Run(run) => return self::run(*run),
        Command::Ps { all, quiet, no_trunc } => ps(&open(Access::Look)?, all, quiet, no_trunc)?,
        Command::Logs { timestamps, follow, tail, container } => {
            ensure!(!follow, "-f is not there yet: it comes with the shim");
            logs(&open(Access::Look)?, &container, timestamps, tail)?;
        }
        Command::Rm { force, containers } => return rm(&containers, force),
        Command::Commit { container, name } => {
            let id = open(Access::Change)?.commit(&container, name.as_deref())?;
            print(&format!("{id}\n"))?;
        }
        Command::Diff { container } => {
            let changes = open(Access::Change)?.diff(&container)?;
            print(&changes.iter().map(|change| format!("{change}\n")).collect::<String>())?;
        }
        Command::Inspect { containers } => return inspect(&containers),
        Command::Xray { json, container } => xray(&open(Access::Look)?, &container, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(access: Access) -> Result<Engine> {
    Engine::open(Home::standard()?, access)
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

// ANCHOR: run
fn run(run: Run) -> Result<ExitCode> {
    ensure!(!run.tty, "-t is not there yet: terminals come with step 12 (-i works without one)");
    ensure!(
        !run.detach,
        "-d is not there yet: it comes with the shim (end the line with & for now)"
    );
    let ended = open(Access::Change)?.run(&run.into())?;
    Ok(ended.exit.into())
}
// ANCHOR_END: run

fn images(engine: &Engine, quiet: bool) -> Result<()> {
    let images = engine.images()?;
    if quiet {
        return print(
            &images.iter().map(|image| format!("{}\n", image.id.short())).collect::<String>(),
        );
    }
    let none = || "<none>".to_owned();
    let mut rows = vec![words(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"])];
    rows.extend(images.iter().map(|image| {
        let name = image.name.as_ref();
        let created = image.created.as_ref().and_then(|time| time.parse().ok());
        vec![
            name.map_or_else(none, |name| name.repository.clone()),
            name.map_or_else(none, |name| name.tag.clone()),
            image.id.short().to_owned(),
            created.map_or_else(|| "N/A".to_owned(), ago),
            size(image.size),
        ]
    }));
    print(&table(&rows))
}

fn ps(engine: &Engine, all: bool, quiet: bool, whole: bool) -> Result<()> {
    let containers = engine.containers()?;
    for error in &containers.damaged {
        eprintln!("keel: {}", exit::sentence(error));
    }
    let shown = containers.list.iter().filter(|container| all || container.is_running());
    let id = |container: &Container| match whole {
        true => container.id.clone(),
        false => container.short_id().to_owned(),
    };
    if quiet {
        return print(&shown.map(|container| id(container) + "\n").collect::<String>());
    }
    let header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    let mut rows = vec![words(header)];
    rows.extend(shown.map(|container| {
        let command = container.command.join(" ");
        let command = if whole { command } else { shorten(&command, 20) };
        vec![
            id(container),
            container.image.clone(),
            format!("{command:?}"),
            ago(container.created),
            status(&container.state),
            ports(container),
            container.name.clone(),
        ]
    }));
    print(&table(&rows))
}

/// Only a running container has its ports.
fn ports(container: &Container) -> String {
    let ports = container.ports.iter().filter(|_| container.is_running());
    let each = ports.map(|port| {
        format!("{}:{}->{}/{}", port.address, port.host, port.container, port.protocol)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn logs(engine: &Engine, container: &str, timestamps: bool, tail: Option<usize>) -> Result<()> {
    let entries = engine.logs(container)?.collect::<Result<Vec<_>>>()?;
    let first = entries.len().saturating_sub(tail.unwrap_or(usize::MAX));
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    for entry in &entries[first..] {
        let time = if timestamps { format!("{} ", entry.time) } else { String::new() };
        let text = format!("{time}{}", entry.log);
        match entry.stream {
            Stream::Stdout => out.write_all(text.as_bytes()),
            Stream::Stderr => err.write_all(text.as_bytes()),
        }
        .context("write")?;
    }
    out.flush().context("write to standard output")
}

/// Prints what there is, and tells of the rest.
fn inspect(containers: &[String]) -> Result<ExitCode> {
    let engine = open(Access::Look)?;
    let (mut found, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for name in containers {
        match engine.inspect(name) {
            Ok(all) => found.push(all),
            Err(error) => code = complain(&error),
        }
    }
    print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?;
    Ok(code)
}

/// Removes what can be removed, and tells of the rest.
fn rm(containers: &[String], force: bool) -> Result<ExitCode> {
    let engine = open(Access::Change)?;
    let mut code = ExitCode::SUCCESS;
    for name in containers {
        match engine.remove(name, force) {
            Ok(()) => print(&format!("{name}\n"))?,
            // What should be gone is gone: Docker sees it so too.
            Err(error) if force && error.is::<NotFound>() => drop(complain(&error)),
            Err(error) => code = complain(&error),
        }
    }
    Ok(code)
}

fn complain(error: &Error) -> ExitCode {
    eprintln!("keel: {}", exit::sentence(error));
    ExitCode::FAILURE
}

fn xray(engine: &Engine, container: &str, json: bool) -> Result<()> {
    let facts = engine.xray(container)?;
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&facts)?)),
        false => print(&facts.to_string()),
    }
}
