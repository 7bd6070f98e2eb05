//! What was found, in words: for people, and as one line to paste.

use textwrap::wrap;

use super::judge::{self, Finding, Verdict};
use super::machine::{Layout, Machine};
use super::mend::Mend;

/// The columns of a line: where what was seen starts, and where the line ends.
const SEEN: usize = 56;
const END: usize = 104;

/// Everything, for people.
pub fn people(machine: &Machine, findings: &[Finding]) -> String {
    let lines: String = findings.iter().map(lines).collect();
    let text = format!("{}\n\n{lines}\n{}", this_machine(machine), conclusion(machine, findings));
    text.trim_end().to_owned() + "\n"
}

/// One line: system, kernel, architecture, user.
fn this_machine(machine: &Machine) -> String {
    let system = &machine.system;
    if system.kernel != "linux" {
        return format!("{}, {}", judge::system_name(&system.kernel), system.arch);
    }
    let user = if machine.user.root { "root" } else { "an ordinary user" };
    format!("{}, Linux {}, {}, {user}", system.name, system.release, system.arch)
}

fn lines(finding: &Finding) -> String {
    let Finding { what, chapters, verdict, seen, mend, because, guest: _ } = finding;
    let start = format!("  {:<9} {what:<25} {chapters:<18}", mark(*verdict));
    let because = because.as_ref().map(|because| format!("for want of {because}"));
    // Over more than one line, if need be, each below the first.
    let seen = wrap(because.as_ref().unwrap_or(seen), END - SEEN).join(&format!("\n{:SEEN$}", ""));
    let mut text = format!("{start}{seen}").trim_end().to_owned() + "\n";
    for line in mend {
        match line {
            Mend::Say(words) => {
                for line in wrap(words, END - 12) {
                    text += &format!("            {line}\n");
                }
            }
            // A command stays in one piece.
            Mend::Run(command) => text += &format!("            $ {command}\n"),
        }
    }
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Works => "works",
        Verdict::Limited => "limited",
        Verdict::Fails => "FAILS",
        Verdict::Optional => "optional",
    }
}

fn conclusion(machine: &Machine, findings: &[Finding]) -> String {
    let those = |verdict| findings.iter().filter(move |finding| finding.verdict == verdict);
    let (failing, limited) = (those(Verdict::Fails).count(), those(Verdict::Limited).count());
    let text = match (failing, limited) {
        _ if findings.iter().any(|finding| finding.what == judge::LINUX) => return String::new(),
        (0, 0) => return "Everything that is needed works here.\n".to_owned(),
        (0, _) => {
            return "Everything that is needed works here, but for what is limited above.\n"
                .to_owned();
        }
        (1, _) => "The chapters beside the line that fails need what it names; the others don't.\n",
        _ => "The chapters beside each line that fails need what it names; the others don't.\n",
    };
    // A guest has its own kernel, but this machine's folders, and is made of what is downloaded.
    let reachable = machine.network.default_route || machine.network.proxy;
    let guest = findings.iter().find(|finding| finding.what == judge::GUEST);
    let install = match guest.map(|guest| (guest.verdict, guest.mend.first())) {
        _ if !reachable || those(Verdict::Fails).any(|finding| !finding.guest) => None,
        Some((Verdict::Works, _)) => Some(String::new()),
        Some((_, Some(Mend::Run(install)))) => Some(format!("  $ {install}\n")),
        _ => None,
    };
    let guest = install.map_or_else(String::new, |install| {
        format!(
            "All of it works in a guest, a throw-away virtual machine:\n\
             {install}  $ cargo workshop lab --vm\n"
        )
    });
    text.to_owned() + &guest
}

/// One line to paste into a question: no name of a host, of a user or of a folder.
pub fn report(machine: &Machine, findings: &[Finding]) -> String {
    let system = &machine.system;
    let mut parts = vec![format!("keel {}", env!("CARGO_PKG_VERSION"))];
    if system.kernel == "linux" {
        parts.push(system.name.clone());
        parts.push(format!("Linux {} {}", number(&system.release), system.arch));
        parts.push(format!("{} KiB pages", system.page / 1024));
        parts.extend(system.wsl.map(|version| format!("WSL {version}")));
        parts.extend(system.container.as_ref().map(|container| format!("in {container}")));
        parts.extend(system.guards.iter().cloned());
        parts.push(if machine.user.root { "root" } else { "user" }.to_owned());
        let layout = match machine.cgroups.layout {
            Layout::None => "none",
            Layout::V1 => "v1",
            Layout::V2 => "v2",
            Layout::Hybrid => "hybrid",
        };
        parts.push(format!("cgroups {layout}"));
    } else {
        parts.push(format!("{} {}", judge::system_name(&system.kernel), system.arch));
    }
    for verdict in [Verdict::Fails, Verdict::Limited] {
        let alone = |finding: &&Finding| finding.verdict == verdict && finding.because.is_none();
        let those = findings.iter().filter(alone);
        let those: Vec<String> =
            those.map(|finding| finding.what.clone() + &errno(&finding.seen)).collect();
        match (verdict, those.is_empty()) {
            (Verdict::Fails, true) => parts.push("nothing fails".to_owned()),
            (_, true) => {}
            (Verdict::Fails, _) => parts.push(format!("fails: {}", those.join(", "))),
            _ => parts.push(format!("limited: {}", those.join(", "))),
        }
    }
    parts.join("; ")
}

/// A release up to what its builder may have called it: "6.8.0-31-generic" is 6.8.0-31.
fn number(release: &str) -> &str {
    let end = release.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-')));
    release[..end.unwrap_or(release.len())].trim_end_matches(['.', '-'])
}

/// The kernel's answers that tell most, and their symbols in errno(3).
const ERRNOS: [(&str, &str); 8] = [
    ("Function not implemented", "ENOSYS"),
    ("Invalid argument", "EINVAL"),
    ("No space left on device", "ENOSPC"),
    ("No such device", "ENODEV"),
    ("Operation not permitted", "EPERM"),
    ("Operation not supported", "EOPNOTSUPP"),
    ("Permission denied", "EACCES"),
    ("Read-only file system", "EROFS"),
];

/// The symbol of the error in the text, if there is one: " (EPERM)".
fn errno(seen: &str) -> String {
    let found = ERRNOS.iter().find(|(words, _)| seen.contains(words));
    found.map_or_else(String::new, |(_, symbol)| format!(" ({symbol})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_without_its_builders_name() {
        assert_eq!(number("6.8.0-31-generic"), "6.8.0-31");
        assert_eq!(number("5.15.90.1-microsoft-standard-WSL2"), "5.15.90.1");
        assert_eq!(number("6.1.0-anna"), "6.1.0");
    }

    #[test]
    fn the_symbol_of_an_error() {
        assert_eq!(errno("mount /proc: Operation not permitted"), " (EPERM)");
        assert_eq!(errno("there is no such thing"), "");
    }
}
