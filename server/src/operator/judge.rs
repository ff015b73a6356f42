//! Does a document's log make sense to those who wrote it?

use bytes::Bytes;
use commonplace::backup::LogContent;
use commonplace::gate::{Anyone, Refusal};
use commonplace::room::document::{Broken, Document};
use commonplace::room::record::{EditPlace, Record};
use commonplace::rooms::DOCUMENT_PREFIX;
use commonplace::store::Position;
use commonplace_protocol::update::fingerprint;
use std::collections::BTreeSet;

/// Whether a document's log can be loaded as the server loads it.
pub(super) fn judge(log: &LogContent) -> Result<(), String> {
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
