//! What does an operator get to see who looks after stored documents?
//!
//! Each command prints what it did in a few lines, or one line that says why not and what to do.

mod judge;
mod words;

use crate::storage::{self, Refused};
use commonplace::backup::{
    self, BackupError, Copied, Existing, Exported, LogReport, Moving, Progress, Source,
};
use commonplace::bus::message::{Command as BusCommand, Envelope, InstanceId, Message};
use commonplace::clock::wall_millis;
use commonplace::config::{Command, CopyArgs, DocCommand, Mistakes, Place, PlaceArgs};
use commonplace::rooms::DOCUMENT_PREFIX;
use commonplace::store::redis::RedisStore;
use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace::store::{LogInfo, LogName, Store};
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::limits::MAX_CLOSE_REASON;
use judge::judge;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use words::{ago, counted, size, with_causes};

/// Names read at a time for a list.
const LIST_PAGE: usize = 1000;

/// How often a long copy says how far it is: every so many logs.
const TELL_LOGS: usize = 500;

/// The same for large ones. Bytes.
const TELL_BYTES: u64 = 64 * 1024 * 1024;

/// What a command ends with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// It is done, and has found damage.
    Damage,
    /// It did not happen.
    Failed,
    /// It was asked for in a way that makes no sense.
    WrongUse,
    /// What it needs is not to be had.
    Unavailable,
}

/// Runs a command that looks after what is stored. Everything it says goes to `out`, what went wrong and how far it is to `complaints`.
pub(crate) fn run(command: &Command, out: &mut dyn Write, complaints: &mut dyn Write) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(Box::pin(carry_out(command, out, complaints))),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(outcome) => outcome,
        Err(error) => {
            // Nobody listens, then.
            writeln!(complaints, "{}", with_causes(&*error)).ok();
            match error {
                error if error.is::<Mistakes>() => Outcome::WrongUse,
                error if error.is::<Refused>() => Outcome::Unavailable,
                _ => Outcome::Failed,
            }
        }
    }
}

async fn carry_out(command: &Command, out: &mut dyn Write, progress: &mut dyn Write) -> Done {
    match command {
        Command::Serve(_) => Ok(Outcome::Failed),
        Command::Backup { file, place } => backup_to(place, file, out, progress).await,
        Command::Restore { file, replace, place } => {
            let existing = if *replace { Existing::MoveAside } else { Existing::Keep };
            restore_from(file, place, existing, out, progress).await
        }
        Command::Copy(args) => copy(args, out, progress).await,
        Command::Verify { place } => verify(place, out).await,
        Command::Doc { command } => document(command, out).await,
    }
}

type Done = Result<Outcome, Box<dyn Error>>;

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where a command finds the data, opened if it is a Redis.
enum Opened {
    Folder(std::path::PathBuf),
    Redis(Arc<RedisStore>, String),
}

async fn open(place: &PlaceArgs) -> Result<Opened, Box<dyn Error>> {
    Ok(match place.place(&environment)? {
        Place::Folder(folder) => Opened::Folder(folder),
        Place::Redis(redis) => {
            let words = redis.to_string();
            Opened::Redis(storage::visit(&redis).await?, words)
        }
    })
}

async fn source(place: &PlaceArgs) -> Result<Source, Box<dyn Error>> {
    Ok(match open(place).await? {
        Opened::Folder(folder) => Source::file(&folder)?,
        Opened::Redis(store, _) => Source::store(store),
    })
}

async fn backup_to(
    place: &PlaceArgs,
    file: &Path,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Done {
    let (saved, copied) = match open(place).await? {
        Opened::Folder(folder) => (backup::backup(&folder, file)?, Copied::default()),
        Opened::Redis(store, words) => {
            let source = Source::store(store);
            let mut tell = teller(progress);
            backup::backup_of(&source, &words, file, &mut tell).await?
        }
    };
    writeln!(
        out,
        "{} holds {}, {}.",
        file.display(),
        counted(saved.logs, "log"),
        size(saved.bytes)
    )?;
    if !copied.moved_on.is_empty() {
        let logs = counted(copied.moved_on.len(), "log");
        writeln!(
            out,
            "While it was made, {logs} moved on; the backup has each as it was at one moment."
        )?;
    }
    warn_of_damage(&saved.damaged, &copied, out)
}

async fn restore_from(
    file: &Path,
    place: &PlaceArgs,
    existing: Existing,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Done {
    match open(place).await? {
        Opened::Folder(folder) => {
            let restored = backup::restore(file, &folder, existing)?;
            let saved = &restored.saved;
            let logs = counted(saved.logs, "log");
            writeln!(out, "{} holds {logs}, {}.", folder.display(), size(saved.bytes))?;
            if let Some(former) = &restored.moved_to {
                writeln!(out, "What was there before is in {}.", former.display())?;
            }
            warn_of_damage(&saved.damaged, &Copied::default(), out)
        }
        Opened::Redis(_, words) if existing == Existing::MoveAside => Err(format!(
            "{words} is not replaced: give a Redis that holds nothing of ours, or another --redis-prefix, without --replace"
        )
        .into()),
        Opened::Redis(store, words) => {
            let source = Source::file_at_rest(file)?;
            let origin = file.display().to_string();
            let mut tell = teller(progress);
            let copied =
                backup::copy(&source, &origin, &*store, Moving::IsNotYetDone, &mut tell).await?;
            store.close().await;
            report(&copied, &words, out)
        }
    }
}

async fn copy(args: &CopyArgs, out: &mut dyn Write, progress: &mut dyn Write) -> Done {
    let (from, to) = args.places(&environment)?;
    let (origin, target) = (from.to_string(), to.to_string());
    let source = match from {
        Place::Folder(folder) => Source::file_at_rest(&folder)?,
        Place::Redis(redis) => Source::store(storage::visit(&redis).await?),
    };
    let to: Arc<dyn Store> = match to {
        Place::Folder(folder) if folder.is_file() => {
            return Err(format!("{target} is a file: `commonplace backup` makes one").into());
        }
        Place::Folder(folder) => SqliteStore::open(&folder, SqliteOptions::default())?,
        Place::Redis(redis) => storage::visit(&redis).await?,
    };
    let mut tell = teller(progress);
    let copied = backup::copy(&source, &origin, &*to, Moving::IsNotYetDone, &mut tell).await;
    to.close().await;
    report(&copied?, &target, out)
}

/// Says how far a long copy is, now and then.
fn teller(to: &mut dyn Write) -> impl FnMut(Progress) {
    let mut told = (0, 0);
    move |progress| {
        let line = match progress {
            Progress::Copying(logs, bytes)
                if logs >= told.0 + TELL_LOGS || bytes >= told.1 + TELL_BYTES =>
            {
                told = (logs, bytes);
                format!("copied {}, {} …", counted(logs, "log"), size(bytes))
            }
            Progress::Comparing(logs) if logs % TELL_LOGS == 0 => {
                format!("compared {} …", counted(logs, "log"))
            }
            Progress::Copying(..) | Progress::Comparing(_) => return,
        };
        // Nobody listens, then.
        writeln!(to, "{line}").ok();
    }
}

fn report(copied: &Copied, target: &str, out: &mut dyn Write) -> Done {
    let (logs, blobs) = (counted(copied.logs, "log"), counted(copied.blobs, "blob"));
    writeln!(
        out,
        "{target} holds {logs} with {}, and {blobs}: {} read from both sides and compared.",
        counted(copied.records, "record"),
        size(copied.bytes)
    )?;
    if copied.already_there > 0 {
        let there = counted(copied.already_there, "log");
        writeln!(out, "{there} had been copied before it was interrupted.")?;
    }
    let damage = warn_of_damage(&copied.damaged, copied, out)?;
    if copied.moved_on.is_empty() {
        return Ok(damage);
    }
    for log in &copied.moved_on {
        writeln!(out, "{} has changed meanwhile.", name(log))?;
    }
    Err("the copy is not finished, because people write to the source: stop the servers there and give the same command again; only what has changed is \
         copied then"
        .into())
}

fn warn_of_damage(damaged: &[LogName], copied: &Copied, out: &mut dyn Write) -> Done {
    for log in damaged {
        writeln!(out, "{} has damaged records; they were copied as they are.", name(log))?;
    }
    for (log, why) in &copied.left {
        writeln!(out, "{} was not copied: {why}.", name(log))?;
    }
    Ok(if damaged.is_empty() && copied.left.is_empty() { Outcome::Done } else { Outcome::Damage })
}

async fn verify(place: &PlaceArgs, out: &mut dyn Write) -> Done {
    let report = match open(place).await? {
        Opened::Folder(folder) => backup::verify(&folder, &judge)?,
        Opened::Redis(store, _) => backup::verify_store(&*store, &judge).await?,
    };
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
    let logs = counted(report.logs.len(), "log");
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

async fn document(command: &DocCommand, out: &mut dyn Write) -> Done {
    match command {
        DocCommand::List { prefix, place } => list(&source(place).await?, prefix, out).await?,
        DocCommand::Export { name, file, place } => {
            let exported = export(&source(place).await?, &log_name(name)?, file).await?;
            writeln!(out, "{} holds {}.", file.display(), counted(exported.records, "record"))?;
            if exported.damaged > 0 {
                writeln!(out, "{} of them are damaged or missing.", exported.damaged)?;
                return Ok(Outcome::Damage);
            }
        }
        DocCommand::Quarantine { name, reason, place } => {
            let log = log_name(name)?;
            match open(place).await? {
                Opened::Folder(folder) => backup::quarantine(&folder, &log, reason)?,
                Opened::Redis(store, _) => {
                    store.quarantine(&log, reason).await?;
                    store.tell(&log, &set_aside(reason)).await?;
                }
            }
            writeln!(out, "{name} is set aside: {reason}")?;
        }
        DocCommand::Release { name, place } => {
            let log = log_name(name)?;
            match open(place).await? {
                Opened::Folder(folder) => backup::release(&folder, &log)?,
                Opened::Redis(store, _) => store.release(&log).await?,
            }
            writeln!(out, "{name} is back in service.")?;
        }
    }
    Ok(Outcome::Done)
}

/// What servers that have the document open are told: to send everyone away. Whoever misses it learns of the mark with the next edit.
fn set_aside(reason: &str) -> Vec<u8> {
    let mut reason = reason.to_owned();
    reason.truncate(reason.floor_char_boundary(MAX_CLOSE_REASON));
    let close = BusCommand::Close { code: CloseCode::SET_ASIDE, reason };
    let from = InstanceId(rand::random());
    Envelope { from, number: 1, message: Message::Command(close) }.encode()
}

async fn export(from: &Source, log: &LogName, file: &Path) -> Result<Exported, BackupError> {
    let mut to = new_file(file)?;
    let written = |source| BackupError::Io { doing: "writing", path: file.to_owned(), source };
    let exported = backup::export(from, log, &mut to).await;
    let exported = exported.and_then(|exported| to.sync_all().map(|()| exported).map_err(written));
    if exported.is_err() {
        // Half an export would be taken for a whole one. If it cannot be removed either, the first error says more.
        std::fs::remove_file(file).ok();
    }
    exported
}

async fn list(from: &Source, prefix: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let prefix = format!("{DOCUMENT_PREFIX}{prefix}");
    let now = wall_millis();
    let mut last: Option<LogName> = None;
    loop {
        let page = from.list(&prefix, last.as_ref(), LIST_PAGE).await?;
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
