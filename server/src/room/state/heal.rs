//! What if a log has lost something that this room still has?
//!
//! A store may go back in time: a replica was promoted that lacked the last entries, an old file was put back. Whoever still has what was lost puts
//! it back (R6): rooms from the document they had, clients because they are asked. Several may do so at once; what is there already adds nothing.

use super::edits::{Offer, Part, Waiting};
use super::{Question, Room};
use crate::access::{Principal, Scope};
use crate::gate::{Admitted, Anyone};
use crate::room::document::Document;
use crate::room::event::{Millis, Note, PeerId};
use crate::room::record::HEALING;
use bytes::Bytes;
use commonplace_protocol::update;

/// What is put back goes in parts of this size: each passes the gate by itself, so that one that contradicts what was written since does not hold
/// back the others, and none deletes more ranges than the gate takes in one update. Bytes.
const HEALING_PART: usize = 128 * 1024;

impl Room {
    /// Compares the document as it was with the one that the log holds now, and lets what that lacks wait for the store.
    pub(super) fn put_back(&mut self, now: Millis, mut before: Document, rewound: bool) {
        let lost = before.diff(self.document.state_vector());
        let parts = if self.document.knows(&lost) { Vec::new() } else { parts_of(lost) };
        let (mut put_back, mut bytes, mut refused) = (0, 0, 0);
        for update in parts {
            match self.document.admit(&update, &mut Anyone) {
                Ok(Admitted { news: false, .. }) => {}
                Ok(Admitted { measured, news }) => {
                    put_back += 1;
                    bytes += update.len();
                    let principal = Principal(HEALING.into());
                    let offer =
                        Offer { peer: PeerId::NOBODY, principal, update, answers: 0, since: now };
                    self.edits.push(Waiting::Edit(Part {
                        offer,
                        measured,
                        news,
                        comes_back: false,
                    }));
                }
                Err(_) => refused += 1,
            }
        }
        if rewound || put_back + refused > 0 {
            let head = self.log.head.position;
            self.note(Note::Healed { parts: put_back, bytes, refused, head });
        }
    }

    /// Clients may have what no room had, or what the room that had it took with it. Nobody takes a reader's word for it.
    pub(super) fn ask_everyone(&mut self) {
        for (&id, peer) in &mut self.peers {
            if peer.scope == Scope::ReadWrite {
                // An answer that is on its way leaves out what the room had when it asked.
                peer.to_ask.get_or_insert(Question::Uncounted);
                peer.handed_in = false;
                self.asking.insert(id);
            }
        }
    }
}

fn parts_of(lost: Bytes) -> Vec<Bytes> {
    // Less than the whole, so that it is always cut: only then are ranges of deletions counted at what they may take.
    let size = HEALING_PART.min(lost.len().saturating_sub(1));
    match update::split(&lost, usize::MAX, size) {
        Ok(parts) => parts.into_iter().map(Bytes::from).collect(),
        // What yrs encodes always parses; if it ever does not, the gate says so.
        Err(_) => vec![lost],
    }
}
