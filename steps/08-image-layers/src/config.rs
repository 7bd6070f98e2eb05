//! What an image says about running it: command, environment, working folder.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use oci_spec::image::{Config, ImageConfiguration};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::folders::{OrIo, open_folder};
use crate::user::User;

/// The command line: the entrypoint, and behind it the arguments. Without arguments of the user's own,
/// the image's `cmd` stands in for them; with an entrypoint of his own, it doesn't.
///
/// # Errors
/// When that is nothing at all.
pub fn command(
    image: &ImageConfiguration,
    entrypoint: Option<&str>,
    arguments: &[String],
) -> Result<Vec<String>> {
    let config = config(image);
    let default = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut command = match entrypoint {
        Some("") => Vec::new(), // `--entrypoint ""` means none
        Some(entrypoint) => vec![entrypoint.to_owned()],
        None => default(config.entrypoint()),
    };
    match arguments {
        [] if entrypoint.is_none() => command.extend(default(config.cmd())),
        arguments => command.extend_from_slice(arguments),
    }
    if command.is_empty() {
        bail!("no command specified, and the image has none");
    }
    Ok(command)
}

/// The environment: [`variables`], the caller's terminal type, and the user's home folder.
pub fn environment(image: &ImageConfiguration, user: &User, extra: &[String]) -> Vec<String> {
    let mut all = variables(image, extra);
    let term = std::env::var("TERM").ok();
    for (name, value) in [("TERM", term), ("HOME", Some(user.home.display().to_string()))] {
        let given = all.iter().any(|pair| pair.split('=').next() == Some(name));
        all.extend(value.filter(|_| !given).map(|value| format!("{name}={value}")));
    }
    all
}

/// What is known without the container's own files: Docker's PATH, the image's variables, then
/// `extra`, a later value in the place of an earlier one. `NAME` without a value takes over the
/// caller's.
pub fn variables(image: &ImageConfiguration, extra: &[String]) -> Vec<String> {
    let mut all: Vec<String> = vec![format!("PATH={}", chroot::program::DEFAULT_PATH)];
    for pair in config(image).env().iter().flatten().chain(extra) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (pair.as_str(), std::env::var(pair).ok()),
        };
        let pair = value.map(|value| format!("{name}={value}"));
        let place = all.iter().position(|it| it.split('=').next() == Some(name));
        match (place, pair) {
            (Some(place), Some(pair)) => all[place] = pair,
            (Some(place), None) => drop(all.remove(place)),
            (None, pair) => all.extend(pair),
        }
    }
    all
}

/// The image's working folder, `/` if it names none.
pub fn working_dir(image: &ImageConfiguration) -> PathBuf {
    Path::new("/").join(config(image).working_dir().as_deref().unwrap_or_default())
}

/// The image's user, `USER[:GROUP]`; empty for root.
pub fn user(image: &ImageConfiguration) -> &str {
    image.config().as_ref().and_then(|config| config.user().as_deref()).unwrap_or_default()
}

/// Makes the working folder in the rootfs, if it isn't there. Links are followed inside the rootfs.
///
/// # Errors
/// When there is something else of that name.
pub fn make_working_dir(rootfs: &Path, working_dir: &Path) -> Result<()> {
    let root = open_folder(rootfs)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| openat2(&root, path, flags, Mode::empty(), inside);

    let doing = || format!("make the working directory {}", working_dir.display());
    let mut path = PathBuf::from("/");
    let mut folder = open(&path).io().with_context(doing)?;
    for part in working_dir.components().filter(|part| *part != Component::RootDir) {
        path.push(part);
        folder = match (open(&path), part) {
            (Err(Errno::NOENT), Component::Normal(name)) => {
                mkdirat(&folder, name, Mode::from_raw_mode(0o755)).io().with_context(doing)?;
                open(&path)
            }
            (opened, _) => opened,
        }
        .io()
        .with_context(doing)?;
    }
    Ok(())
}

fn config(image: &ImageConfiguration) -> Config {
    image.config().clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str], env: &[&str]) -> ImageConfiguration {
        let list = |list: &[&str]| Some(list.iter().map(|text| text.to_string()).collect());
        let mut config = Config::default();
        config.set_entrypoint(list(entrypoint)).set_cmd(list(cmd)).set_env(list(env));
        let mut image = ImageConfiguration::default();
        image.set_config(Some(config));
        image
    }

    #[test]
    fn entrypoint_and_cmd_combine_as_in_docker() {
        let image = image(&["/entry"], &["default"], &[]);
        let line = |entrypoint, arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| text.to_string()).collect();
            command(&image, entrypoint, &arguments)
                .map(|line| line.join(" "))
                .unwrap_or("none".into())
        };
        assert_eq!(line(None, &[]), "/entry default");
        assert_eq!(line(None, &["own"]), "/entry own");
        assert_eq!(line(Some("sh"), &[]), "sh");
        assert_eq!(line(Some("sh"), &["-c"]), "sh -c");
        assert_eq!(line(Some(""), &["own"]), "own");
        assert_eq!(line(Some(""), &[]), "none");
    }

    #[test]
    fn later_variables_win() {
        let user = User { uid: 0, gid: 0, groups: vec![], home: "/root".into() };
        let image = image(&[], &[], &["PATH=/bin", "A=1", "B=1"]);
        let extra = ["A=2=3".to_owned(), "C=".to_owned(), "NO_SUCH_VARIABLE_HERE".to_owned()];
        let mut env = environment(&image, &user, &extra);
        env.retain(|pair| !pair.starts_with("TERM="));
        assert_eq!(env, ["PATH=/bin", "A=2=3", "B=1", "C=", "HOME=/root"]);
    }
}
