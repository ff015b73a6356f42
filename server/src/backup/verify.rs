//! Is everything that is stored whole?
//!
//! Three questions, from the outside in: is the database's structure sound, does every record match its checksum and stand where it
//! should, and does each log make sense to those who wrote it? The last is asked of a [`Judge`], because the store knows bytes only.

use super::{BackupError, open_to_read};
use crate::store::sqlite::open::{check_contents, check_structure};
use crate::store::sqlite::read;
use crate::store::{Entry, LogInfo, LogName, RawRecord, Snapshot, Store, StoreError};
use rusqlite::Connection;
use std::path::Path;

/// How many names are read at a time.
const NAMES: usize = 1000;

/// A whole log: every kept snapshot, and every entry since the oldest of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogContent {
    /// Its name.
    pub name: LogName,
    /// The kept generations, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Everything after the oldest snapshot, or from the start where there is none.
    pub entries: Vec<Entry>,
}

/// Says whether a log makes sense. The error is for the operator to read.
pub trait Judge {
    /// Decodes the log and looks at the result.
    fn judge(&self, log: &LogContent) -> Result<(), String>;
}

impl<F: Fn(&LogContent) -> Result<(), String>> Judge for F {
    fn judge(&self, log: &LogContent) -> Result<(), String> {
        self(log)
    }
}

/// What was found out about one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// Its name.
    pub name: LogName,
    /// How many entries it has, not counting trimmed ones.
    pub entries: usize,
    /// How many snapshots.
    pub snapshots: usize,
    /// Records that are missing or do not match their checksum: where, and what.
    pub damaged: Vec<String>,
    /// Why it is set aside, if it is.
    pub quarantined: Option<String>,
    /// What the judge said. Not asked if the log cannot be read.
    pub verdict: Result<(), String>,
}

impl LogReport {
    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.verdict.is_ok()
    }
}

/// What was found out about the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether pages, tables and the list of logs are sound.
    pub structure: Result<(), String>,
    /// Every log, by name.
    pub logs: Vec<LogReport>,
    /// Blobs that do not match their checksum.
    pub damaged_blobs: Vec<LogName>,
}

impl Report {
    /// Whether nothing is wrong anywhere.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.structure.is_ok()
            && self.damaged_blobs.is_empty()
            && self.logs.iter().all(LogReport::is_whole)
    }
}

/// Checks a data directory or a backup file. Changes nothing; the server may be running.
pub fn verify(path: &Path, judge: &dyn Judge) -> Result<Report, BackupError> {
    let (connection, _) = open_to_read(path)?;
    Ok(check(&connection, judge))
}

/// Checks everything in a store, each log at one moment of its own. Changes nothing; servers may be running.
pub async fn verify_store(store: &dyn Store, judge: &dyn Judge) -> Result<Report, BackupError> {
    let mut report = Report { structure: Ok(()), logs: Vec::new(), damaged_blobs: Vec::new() };
    let mut after: Option<LogName> = None;
    loop {
        let page = store.list("", after.as_ref(), NAMES).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for info in page {
            match store.read_raw(&info.name).await {
                Err(error) if error.is_retryable() => return Err(error.into()),
                records => report.logs.push(one_log(info, records, judge)),
            }
        }
    }
    let mut after: Option<LogName> = None;
    loop {
        let page = store.list_blobs(after.as_ref(), NAMES).await?;
        let Some(last) = page.last() else { return Ok(report) };
        after = Some(last.clone());
        for name in page {
            match store.get_blob(&name).await {
                // One that is gone was deleted since it was listed.
                Ok(_) => {}
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(_) => report.damaged_blobs.push(name),
            }
        }
    }
}

/// Checks everything on one connection, each log at one moment of its own.
pub(super) fn check(connection: &Connection, judge: &dyn Judge) -> Report {
    let sound = || -> Result<(), StoreError> {
        check_structure(connection)?;
        check_contents(connection)?;
        Ok(())
    };
    let mut report = Report {
        structure: sound().map_err(|error| error.to_string()),
        logs: Vec::new(),
        damaged_blobs: Vec::new(),
    };
    let mut after: Option<LogName> = None;
    loop {
        let page = match read::list(connection, "", after.as_ref(), NAMES) {
            Ok(page) => page,
            Err(stop) => {
                report.structure = Err(StoreError::from(stop).to_string());
                break;
            }
        };
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for info in page {
            let records = read::raw(connection, &info.name).map_err(StoreError::from);
            report.logs.push(one_log(info, records, judge));
        }
    }
    match damaged_blobs(connection) {
        Ok(damaged) => report.damaged_blobs = damaged,
        Err(error) => report.structure = Err(error.to_string()),
    }
    report
}

fn one_log(
    info: LogInfo,
    records: Result<Vec<RawRecord>, StoreError>,
    judge: &dyn Judge,
) -> LogReport {
    let mut report = LogReport {
        name: info.name,
        entries: 0,
        snapshots: 0,
        damaged: Vec::new(),
        quarantined: info.quarantined,
        verdict: Ok(()),
    };
    let records = match records {
        Ok(records) => records,
        Err(error) => {
            report.damaged.push(error.to_string());
            return report;
        }
    };
    for record in &records {
        *(if record.is_snapshot { &mut report.snapshots } else { &mut report.entries }) += 1;
        if !record.intact {
            let what = if record.is_snapshot { "the snapshot up to" } else { "entry" };
            report.damaged.push(format!("{what} {}", record.position.0));
        }
    }
    if report.damaged.is_empty() {
        report.verdict = judge.judge(&content(&report.name, records));
    }
    report
}

fn content(name: &LogName, records: Vec<RawRecord>) -> LogContent {
    let mut content = LogContent { name: name.clone(), snapshots: Vec::new(), entries: Vec::new() };
    for RawRecord { position, is_snapshot, bytes, .. } in records {
        if is_snapshot {
            content.snapshots.push(Snapshot { covers: position, last: None, bytes });
        } else {
            content.entries.push(Entry { position, id: None, bytes });
        }
    }
    content.snapshots.sort_by_key(|snapshot| snapshot.covers);
    content.entries.sort_by_key(|entry| entry.position);
    content
}

fn damaged_blobs(connection: &Connection) -> rusqlite::Result<Vec<LogName>> {
    let mut names = connection.prepare("SELECT name FROM blobs ORDER BY name")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names
        .iter()
        .filter_map(|name| LogName::new(name).ok())
        .filter(|name| !matches!(read::blob(connection, name), Ok(Some(_))))
        .collect())
}
