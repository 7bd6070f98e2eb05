//! `cargo workshop watch`: a check at every save.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{cursor, execute};
use notify::{RecursiveMode, Watcher};

use super::catalogue::Exercise;
use super::judge::Verdict;
use super::{Attempt, Workshop, solution, tell, verdict};
use crate::prepare;

/// What the participant wants next.
enum Wish {
    /// The files have changed, or a key asks for it.
    Check,
    Hint,
    Solution,
    Next,
    Quit,
}

/// Checks `exercise`, and then those that follow, at every save until `q` is pressed.
///
/// # Errors
/// When the exercise was never started, or the terminal can't be used.
pub fn watch<'a>(workshop: &'a Workshop, exercise: &'a Exercise) -> Result<()> {
    workshop.require_started(exercise)?;
    prepare::refresh()?;
    let mut seat = Seat::at(workshop, exercise)?;
    seat.check()?;
    loop {
        match seat.wait()? {
            Wish::Check => seat.check()?,
            Wish::Hint => seat.hint()?,
            Wish::Solution => seat.solution()?,
            Wish::Next => {
                if let Some(next) = seat.next()? {
                    // It is not checked until the participant has had a look at it.
                    seat = Seat::at(workshop, next)?;
                }
            }
            Wish::Quit => {
                println!();
                return Ok(());
            }
        }
    }
}

/// A participant in front of one exercise.
struct Seat<'a> {
    workshop: &'a Workshop,
    exercise: &'a Exercise,
    since: Instant,
    eye: Eye,
    /// The files as they were when they were last checked.
    files: Seen,
    solved: bool,
}

impl<'a> Seat<'a> {
    fn at(workshop: &'a Workshop, exercise: &'a Exercise) -> Result<Seat<'a>> {
        let eye = Eye::on(&workshop.desk.crate_of(exercise).join("src"))?;
        let files = eye.files();
        Ok(Seat { workshop, exercise, since: Instant::now(), eye, files, solved: false })
    }

    fn check(&mut self) -> Result<()> {
        self.files = self.eye.files();
        let began = Instant::now();
        clear()?;
        println!("{}\n", self.head()?);
        let attempt = self.workshop.attempt(self.exercise)?;
        self.solved = matches!(attempt, Attempt::Judged(Verdict::Solved(_)));
        if let Attempt::Judged(verdict) = &attempt {
            clear()?;
            println!("{}\n", self.head()?);
            show(&verdict::words(self.exercise, verdict))?;
        }
        print!("\n[{:.1} s]", began.elapsed().as_secs_f32());
        Ok(())
    }

    fn hint(&self) -> Result<()> {
        clear()?;
        show(&self.workshop.hint(self.exercise)?)
    }

    fn solution(&self) -> Result<()> {
        clear()?;
        // It asks whoever isn't there yet.
        match solution::show(self.workshop, self.exercise, self.solved) {
            Ok(text) => print!("{text}"),
            Err(error) => println!("{error:#}"),
        }
        Ok(())
    }

    /// Hands out the next exercise, if this one is solved.
    fn next(&self) -> Result<Option<&'a Exercise>> {
        let next = self.workshop.next(self.exercise)?;
        match next {
            Some(next) if self.solved => {
                clear()?;
                self.workshop.start(next)?;
                return Ok(Some(next));
            }
            Some(_) => println!("\nThis one first: it isn't solved yet."),
            None => println!("\nThere is nothing left: all is solved."),
        }
        Ok(None)
    }

    /// Says which keys there are, and waits for one of them or for a save.
    fn wait(&self) -> Result<Wish> {
        let keys = match self.solved {
            true => "n next · s compare",
            false => "h hint · s solution",
        };
        print!("\n{keys} · Enter check · q quit ");
        stdout().flush()?;
        self.eye.wait(&self.files)
    }

    fn head(&self) -> Result<String> {
        let (solved, all) = (self.workshop.solved()?, self.workshop.exercises.len());
        let file = self.exercise.own_file(&self.exercise.write[0]);
        let file = tell::shown(&self.workshop.desk.crate_of(self.exercise).join(file));
        let minutes = self.since.elapsed().as_secs() / 60;
        Ok(format!("{file} · {solved} of {all} solved · {minutes} min here"))
    }
}

/// Prints as much as fits on the screen below its first lines.
fn show(text: &str) -> Result<()> {
    let rows = terminal::size().map_or(24, |(_columns, rows)| usize::from(rows));
    let room = rows.saturating_sub(5);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    if lines.len() <= room || !stdout().is_terminal() {
        println!("{}", lines.join("\n"));
    } else {
        println!("{}\n… ('cargo workshop check' shows all of it)", lines[..room - 1].join("\n"));
    }
    Ok(())
}

fn clear() -> Result<()> {
    if stdout().is_terminal() {
        execute!(stdout(), Clear(ClearType::All), cursor::MoveTo(0, 0))
            .context("clear the screen")?;
    }
    Ok(())
}

/// The files of a folder, each with its size and the time of its last change.
type Seen = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Sees when a folder's files change.
struct Eye {
    folder: PathBuf,
    woken: Receiver<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

/// Some file systems tell nobody of a change: WSL's mounts of Windows' folders, shared folders of virtual machines. So the
/// files are looked at this often, whatever the kernel says.
const BLINK: Duration = Duration::from_millis(300);

impl Eye {
    fn on(folder: &Path) -> Result<Eye> {
        let (wake, woken) = channel();
        let tell = move |event: notify::Result<notify::Event>| {
            // Reading a file, as the compiler does, is an event too.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = wake.send(());
            }
        };
        // Where no watcher can be had, looking is enough.
        let watcher = notify::recommended_watcher(tell).ok().and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::Recursive).ok()?;
            Some(watcher)
        });
        Ok(Eye { folder: folder.to_owned(), woken, _watcher: watcher })
    }

    fn files(&self) -> Seen {
        let mut seen = Seen::new();
        add(&self.folder, &mut seen);
        seen
    }

    /// Waits for a key, or until the files are other than `before`.
    fn wait(&self, before: &Seen) -> Result<Wish> {
        let keys = stdin().is_terminal().then(Raw::new).transpose()?;
        let mut looked = Instant::now();
        loop {
            if keys.is_some() {
                while event::poll(Duration::from_millis(20)).context("wait for a key")? {
                    if let Event::Key(key) = event::read().context("read a key")?
                        && key.kind == KeyEventKind::Press
                        && let Some(wish) = wish(key.code, key.modifiers)
                    {
                        return Ok(wish);
                    }
                }
            }
            let patience = if keys.is_some() { Duration::ZERO } else { BLINK };
            let woken = self.woken.recv_timeout(patience).is_ok();
            if woken || looked.elapsed() >= BLINK {
                looked = Instant::now();
                if self.files() != *before {
                    return Ok(Wish::Check);
                }
            }
        }
    }
}

fn wish(key: KeyCode, modifiers: KeyModifiers) -> Option<Wish> {
    match key {
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
        KeyCode::Char('q') => Some(Wish::Quit),
        KeyCode::Char('h') => Some(Wish::Hint),
        KeyCode::Char('s') => Some(Wish::Solution),
        KeyCode::Char('n') => Some(Wish::Next),
        KeyCode::Enter => Some(Wish::Check),
        _ => None,
    }
}

fn add(folder: &Path, seen: &mut Seen) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            add(&entry.path(), seen);
        } else {
            seen.insert(entry.path(), (metadata.len(), metadata.modified().ok()));
        }
    }
}

/// A terminal that hands over each key at once, as long as this lives.
struct Raw;

impl Raw {
    fn new() -> Result<Raw> {
        terminal::enable_raw_mode().context("read single keys")?;
        Ok(Raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}
