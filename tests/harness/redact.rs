//! What changes from run to run, and what stands for it in a snapshot.

use std::sync::LazyLock;

use regex::Regex;

/// Pattern and replacement, applied in this order.
const RULES: &[(&str, &str)] = &[
    // A shell's word for a job that it started or that ended.
    (r"(?m)^\[\d+\] \d+\n", ""),
    // The same for a background job that SIGTERM ended: when it says so is a matter of chance.
    (r"(?m)^(\S+: line \d+: +\d+ )?(Terminated|Killed)( .*)?\n", ""),
    (r"kill pid \d+", "kill pid <pid>"),
    // Namespaces' inodes: uts:[4026532198].
    (
        r"\b(cgroup|ipc|mnt|net|pid|pid_for_children|time|time_for_children|user|uts):\[\d+\]",
        "$1:[inode]",
    ),
    // Pids and the like, where keel writes JSON.
    (r#""(mnt|uts|ipc|pid|net|user|cgroup|time)": 4\d{9}"#, r#""$1": "[inode]""#),
    (r#""(pid|Pid)": [1-9]\d*"#, r#""$1": "<pid>""#),
    (r#""pid_since": \d+"#, r#""pid_since": "<ticks>""#),
    (r"\.probe\.\d+", ".probe.<pid>"),
    (r"\bkeel0-\d+", "keel0-<inode>"),
    (r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z", "<time>"),
    // Ids of containers and images.
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}\b", "<short id>"),
    // A step's cgroup, by its pid and pid namespace.
    (r"\bkeel/\d+-4\d{9}\b", "keel/<name>"),
    // Interfaces on the host's side, and hardware addresses.
    (r"\bveth[0-9a-z]+\b", "veth<n>"),
    (r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b", "<mac>"),
    // What an image's JSON says of its blobs and of this machine.
    (r#"("size": ?)\d+"#, "$1<bytes>"),
    (r#"(?m)^("architecture": ?")\w+"#, "$1<this machine's>"),
    // An image's size depends on the busybox in it.
    (r"\b\d+(\.\d+)?[kMG]B\b", "<size>"),
    (r"(round-trip min/avg/max) = \S+ ms", "$1 = <time>"),
    (r"(Less than a|\d+) seconds? ago( {2,})?", "<ago>$2"),
    // How much a container used, and how long something took.
    (r"\bmemory \S+ \S+ \(peak \S+ \S+", "memory <used> (peak <used>"),
    (r"\bpids 0 \(peak \d+", "pids 0 (peak <n>"),
    (r"\bkilled for want of memory: \d+", "killed for want of memory: <n>"),
    // The processors of this machine.
    (r"\(there are [0-9,-]+\)", "(there are <cpus>)"),
    (r"\b\d+(\.\d+)? ?(us|µs|ms)\b", "<time>"),
];

/// The same for the cells of keel's tables.
const CELL_RULES: &[(&str, &str)] = &[
    (r"Less than a second|\d+ seconds?", "<time>"),
    // A name that keel has chosen.
    (r"^[a-z]+_[a-z]+\d*$", "<name>"),
];

type Compiled = Vec<(Regex, &'static str)>;

fn compile(rules: &[(&str, &'static str)]) -> Compiled {
    rules.iter().map(|(rule, with)| (Regex::new(rule).expect("a valid rule"), *with)).collect()
}

fn apply(rules: &Compiled, text: &str) -> String {
    rules
        .iter()
        .fold(text.to_owned(), |text, (rule, with)| rule.replace_all(&text, *with).into_owned())
}

/// `text` with everything that changes from run to run replaced.
pub(crate) fn redact(text: &str) -> String {
    static COMPILED: LazyLock<Compiled> = LazyLock::new(|| compile(RULES));
    apply(&COMPILED, &tables(text))
}

/// Redacts the tables of `keel ps` and `keel images`, cell by cell, and lines them up again: what is
/// replaced in a cell would else show in the width of its column.
fn tables(text: &str) -> String {
    let mut done = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !is_header(line) {
            done += &format!("{line}\n");
            continue;
        }
        let starts = starts(line);
        let mut rows = vec![cells(line, &starts)];
        while let Some(row) = lines.next_if(|line| !line.is_empty() && !line.starts_with("$ ")) {
            rows.push(cells(row, &starts));
        }
        done += &lay_out(&rows);
    }
    done
}

fn is_header(line: &str) -> bool {
    line.contains("CREATED") && ["CONTAINER ID ", "REPOSITORY "].iter().any(|w| line.starts_with(w))
}

/// Where a table's columns start: in its header, each word behind three blanks or more.
fn starts(header: &str) -> Vec<usize> {
    let blank = |at: usize| header[..at].ends_with("   ") && !header[at..].starts_with(' ');
    (0..header.len()).filter(|&at| at == 0 || blank(at)).collect()
}

fn cells(row: &str, starts: &[usize]) -> Vec<String> {
    static COMPILED: LazyLock<[Compiled; 2]> =
        LazyLock::new(|| [compile(RULES), compile(CELL_RULES)]);
    let row: Vec<char> = row.chars().collect();
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    let cell = |(start, end): (&usize, usize)| {
        let cell: String = row.iter().skip(*start).take(end - start).collect();
        COMPILED.iter().fold(cell.trim_end().to_owned(), |cell, rules| apply(rules, &cell))
    };
    starts.iter().zip(ends).map(cell).collect()
}

fn lay_out(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}   "));
        padded.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
