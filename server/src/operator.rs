//! What does an operator get to see who looks after stored documents?
//!
//! Each command prints what it did in a few lines, or one line that says why not and what to do.

use bytes::Bytes;
use commonplace::backup::{self, BackupError, Existing, Exported, LogContent, LogReport};
use commonplace::clock::wall_millis;
use commonplace::config::{Command, DocCommand};
use commonplace::gate::{Anyone, Refusal};
use commonplace::room::document::{Broken, Document};
use commonplace::room::record::{EditPlace, Record};
use commonplace::rooms::DOCUMENT_PREFIX;
use commonplace::store::{LogInfo, LogName, Position};
use commonplace_protocol::update::fingerprint;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Names read at a time for a list.
const LIST_PAGE: usize = 1000;

/// What a command ends with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// It is done, and has found damage.
    Damage,
    /// It did not happen.
    Failed,
}

/// Runs a command that looks after what is stored. Everything it says goes to `out`, what went wrong to `complaints`.
pub(crate) fn run(command: &Command, out: &mut dyn Write, complaints: &mut dyn Write) -> Outcome {
    let done = match command {
        Command::Serve(_) => Ok(Outcome::Failed),
        Command::Backup { file, data } => backup_to(&data.folder, file, out),
        Command::Restore { file, replace, data } => {
            let existing = if *replace { Existing::MoveAside } else { Existing::Keep };
            restore_from(file, &data.folder, existing, out)
        }
        Command::Verify { data } => verify(&data.folder, out),
        Command::Doc { command } => document(command, out),
    };
    match done {
        Ok(outcome) => outcome,
        Err(error) => {
            // Nobody listens, then.
            writeln!(complaints, "{}", with_causes(&*error)).ok();
            Outcome::Failed
        }
    }
}

type Done = Result<Outcome, Box<dyn Error>>;

fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        write!(words, ": {next}").expect("writing to a String cannot fail");
        cause = next.source();
    }
    words
}

fn backup_to(data: &Path, file: &Path, out: &mut dyn Write) -> Done {
    let saved = backup::backup(data, file)?;
    writeln!(out, "{} holds {}, {}.", file.display(), counted(saved.logs), size(saved.bytes))?;
    warn_of_damage(&saved.damaged, out)
}

fn restore_from(file: &Path, data: &Path, existing: Existing, out: &mut dyn Write) -> Done {
    let restored = backup::restore(file, data, existing)?;
    let saved = &restored.saved;
    writeln!(out, "{} holds {}, {}.", data.display(), counted(saved.logs), size(saved.bytes))?;
    if let Some(former) = &restored.moved_to {
        writeln!(out, "What was there before is in {}.", former.display())?;
    }
    warn_of_damage(&saved.damaged, out)
}

/// "1 log", "2 logs".
fn counted(logs: usize) -> String {
    if logs == 1 { "1 log".to_owned() } else { format!("{logs} logs") }
}

fn warn_of_damage(damaged: &[LogName], out: &mut dyn Write) -> Done {
    for log in damaged {
        writeln!(out, "{} has damaged records; they were copied as they are.", name(log))?;
    }
    Ok(if damaged.is_empty() { Outcome::Done } else { Outcome::Damage })
}

fn verify(data: &Path, out: &mut dyn Write) -> Done {
    let report = backup::verify(data, &judge)?;
    if let Err(what) = &report.structure {
        writeln!(out, "The database itself is damaged: {what}")?;
    }
    for log in &report.logs {
        write_report(log, out)?;
    }
    for blob in &report.damaged_blobs {
        writeln!(out, "blob {blob}: damaged")?;
    }
    let bad = report.logs.iter().filter(|log| !log.is_whole()).count();
    let entries: usize = report.logs.iter().map(|log| log.entries).sum();
    let logs = counted(report.logs.len());
    match bad {
        0 => writeln!(out, "Read {logs}, entries: {entries}. Nothing is damaged.")?,
        _ => writeln!(out, "Read {logs}, entries: {entries}. Damaged: {bad}.")?,
    }
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Damage })
}

fn write_report(log: &LogReport, out: &mut dyn Write) -> io::Result<()> {
    for what in &log.damaged {
        writeln!(out, "{}: {what}", name(&log.name))?;
    }
    if let Err(what) = &log.verdict {
        writeln!(out, "{}: {what}", name(&log.name))?;
    }
    if let Some(why) = &log.quarantined {
        writeln!(out, "{}: set aside ({why})", name(&log.name))?;
    }
    Ok(())
}

/// Whether a document's log can be loaded as the server loads it.
fn judge(log: &LogContent) -> Result<(), String> {
    if !log.name.as_str().starts_with(DOCUMENT_PREFIX) {
        return Ok(());
    }
    let mut voids = BTreeSet::new();
    let mut records = Vec::new();
    for entry in &log.entries {
        let record = Record::decode(&entry.bytes)
            .map_err(|why| format!("entry {} cannot be read: {why}", entry.position.0))?;
        if let Record::Void(place) = &record {
            voids.insert(*place);
        }
        records.push((entry.position, record));
    }
    let mut generations = log.snapshots.iter();
    let (mut document, mut at) = match generations.next() {
        Some(oldest) => {
            (Document::restore(&oldest.bytes).map_err(|broken| broken.to_string())?, oldest.covers)
        }
        None => (Document::new(), Position::START),
    };
    let mut next_generation = generations.next();
    for (position, record) in records {
        if position <= at {
            continue;
        }
        if position != at.next() {
            return Err(format!("entry {} is missing", at.next().0));
        }
        at = position;
        if let Record::Edits { edits, .. } = record {
            for (index, edit) in edits.into_iter().enumerate() {
                if !voids.contains(&EditPlace { position, index }) {
                    match load(&mut document, &edit.update) {
                        // What depended on a void edit was left with its author, and is passed over on every load.
                        Err(Unfit::Refused(Refusal::Gap)) if !voids.is_empty() => {}
                        outcome => outcome.map_err(|why| format!("entry {}: {why}", position.0))?,
                    }
                }
            }
        }
        if let Some(snapshot) = next_generation.filter(|snapshot| snapshot.covers == at) {
            if fingerprint(&document.state()) != fingerprint(&snapshot.bytes) {
                return Err(format!("the snapshot up to {} is not what its entries say", at.0));
            }
            next_generation = generations.next();
        }
    }
    match next_generation {
        Some(snapshot) => Err(format!("the entries up to {} are missing", snapshot.covers.0)),
        None => Ok(()),
    }
}

/// Why a stored edit is not part of its document.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Broken(Broken),
}

fn load(document: &mut Document, update: &Bytes) -> Result<(), Unfit> {
    let admitted = document.admit(update, &mut Anyone).map_err(Unfit::Refused)?;
    document.apply(update, &admitted.measured).map_err(Unfit::Broken)
}

fn document(command: &DocCommand, out: &mut dyn Write) -> Done {
    match command {
        DocCommand::List { prefix, data } => list(&data.folder, prefix, out)?,
        DocCommand::Export { name, file, data } => {
            let exported = export(&data.folder, &log_name(name)?, file)?;
            writeln!(out, "{} holds {} records.", file.display(), exported.records)?;
            if exported.damaged > 0 {
                writeln!(out, "{} of them are damaged or missing.", exported.damaged)?;
                return Ok(Outcome::Damage);
            }
        }
        DocCommand::Quarantine { name, reason, data } => {
            backup::quarantine(&data.folder, &log_name(name)?, reason)?;
            writeln!(out, "{name} is set aside: {reason}")?;
        }
        DocCommand::Release { name, data } => {
            backup::release(&data.folder, &log_name(name)?)?;
            writeln!(out, "{name} is back in service.")?;
        }
    }
    Ok(Outcome::Done)
}

fn export(data: &Path, log: &LogName, file: &Path) -> Result<Exported, BackupError> {
    let mut to = new_file(file)?;
    let written = |source| BackupError::Io { doing: "writing", path: file.to_owned(), source };
    let exported = backup::export(data, log, &mut to);
    let exported = exported.and_then(|exported| to.sync_all().map(|()| exported).map_err(written));
    if exported.is_err() {
        // Half an export would be taken for a whole one. If it cannot be removed either, the first error says more.
        std::fs::remove_file(file).ok();
    }
    exported
}

fn list(data: &Path, prefix: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let prefix = format!("{DOCUMENT_PREFIX}{prefix}");
    let now = wall_millis();
    let mut last: Option<LogName> = None;
    loop {
        let page = backup::list(data, &prefix, last.as_ref(), LIST_PAGE)?;
        for log in &page {
            writeln!(out, "{}", line(log, now))?;
        }
        match page.last() {
            Some(log) if page.len() == LIST_PAGE => last = Some(log.name.clone()),
            _ => return Ok(()),
        }
    }
}

fn line(log: &LogInfo, now: u64) -> String {
    let changed = Duration::from_millis(now.saturating_sub(log.changed_at));
    let state =
        log.quarantined.as_ref().map(|why| format!("  set aside: {why}")).unwrap_or_default();
    format!("{:>9}  {:>10}  {}{state}", size(log.bytes), ago(changed), name(&log.name))
}

/// Document names can hold anything but control characters; other logs keep their prefix.
fn name(log: &LogName) -> &str {
    log.as_str().strip_prefix(DOCUMENT_PREFIX).unwrap_or(log.as_str())
}

fn log_name(document: &str) -> Result<LogName, BackupError> {
    Ok(LogName::new(&format!("{DOCUMENT_PREFIX}{document}"))?)
}

fn new_file(path: &Path) -> Result<File, BackupError> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => BackupError::Io { doing: "writing", path: path.to_owned(), source },
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

fn ago(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
