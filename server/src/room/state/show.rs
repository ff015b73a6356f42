//! When and how is everyone shown what has been stored?

use super::Room;
use crate::room::event::{Effect, Millis, Note, Now, PeerId, Seating, ToPeer};
use crate::room::pace::{MIN_PRESENCE_INTERVAL, PRESENCE_PATIENCE, Pace};
use bytes::Bytes;
use commonplace_protocol::limits::MAX_MESSAGE;
use commonplace_protocol::update::{self, Measured, StateVector};

/// Stored edits on their way to everyone.
#[derive(Debug)]
pub(super) struct Show {
    waiting: Vec<Shown>,
    pace: Pace,
    presence_pace: Pace,
    /// While presence waits for words that are on their way: until when at most.
    presence_until: Option<Millis>,
    /// Whether this very step has shown edits.
    has_shown: bool,
    /// What every live peer has been sent, up to the last broadcast.
    pub(super) told: StateVector,
    /// The same, before the last broadcast: what a peer has that missed it.
    pub(super) told_before: StateVector,
}

/// One stored update.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) update: Bytes,
    pub(super) measured: Measured,
    /// Set when its sender needs no copy.
    pub(super) not_to: Option<PeerId>,
}

impl Default for Show {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            pace: Pace::document(),
            presence_pace: Pace::presence(),
            presence_until: None,
            has_shown: false,
            told: StateVector::default(),
            told_before: StateVector::default(),
        }
    }
}

impl Show {
    pub(super) fn push(&mut self, shown: Shown) {
        self.waiting.push(shown);
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everyone will be caught up in another way.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When presence that waits is to be looked at again.
    pub(super) fn presence_due(&self) -> Millis {
        self.presence_until.unwrap_or_else(|| self.presence_pace.due())
    }

    pub(super) fn presence_sent(&mut self, now: Millis, peers: usize) {
        self.presence_pace.sent(now, peers);
    }

    /// Until when edits that have come gather before they are stored, if they do.
    pub(super) const fn gather_until(&self, now: Millis) -> Option<Millis> {
        self.pace.gather_until(now)
    }

    pub(super) fn wake_at(&self, presence_waits: bool) -> Option<Millis> {
        let edits = (!self.waiting.is_empty()).then(|| self.pace.due());
        let presence = presence_waits.then(|| self.presence_due());
        edits.into_iter().chain(presence).min()
    }
}

impl Room {
    /// Sends what was stored since the last frame, as one merged update, when the pace allows.
    pub(super) fn show_edits(&mut self, now: Now) {
        let stopping = matches!(self.phase, super::Phase::Stopping);
        if self.show.waiting.is_empty() || (now.mono < self.show.pace.due() && !stopping) {
            return;
        }
        let waiting = std::mem::take(&mut self.show.waiting);
        let updates = waiting.len();
        self.show.told_before =
            std::mem::replace(&mut self.show.told, self.document.state_vector().clone());
        let first = waiting.first().and_then(|shown| shown.not_to);
        let not_to = first.filter(|_| waiting.iter().all(|shown| shown.not_to == first));
        let frames = merge_all(waiting);
        self.note(Note::Shown { updates, frames: frames.len() });
        for frame in frames {
            self.effects.push(Effect::Broadcast(not_to, ToPeer::Update(frame)));
        }
        let live = self.live_peers();
        self.show.pace.sent(now.mono, live);
        self.show.has_shown = true;
    }

    /// Whether presence, if any `waits`, may be shown now: as the pace allows, and together with the words it came with, so that no caret points
    /// at words nobody has yet, and both leave in one write. A frame that leaves anyway takes along what is nearly due.
    pub(super) fn presence_may_go(&mut self, now: Now, waits: bool) -> bool {
        let has_shown = std::mem::take(&mut self.show.has_shown);
        if !waits {
            self.show.presence_until = None;
            return false;
        }
        let nearly = if has_shown { MIN_PRESENCE_INTERVAL } else { 0 };
        if now.mono + nearly < self.show.presence_pace.due() {
            return false;
        }
        let words_follow = !has_shown
            && self.edits.trouble.is_none()
            && !(self.edits.is_idle() && self.show.is_idle());
        if words_follow {
            let until = *self.show.presence_until.get_or_insert(now.mono + PRESENCE_PATIENCE);
            if now.mono < until {
                return false;
            }
        }
        self.show.presence_until = None;
        true
    }

    fn live_peers(&self) -> usize {
        self.peers.values().filter(|peer| peer.seating == Seating::Live).count()
    }
}

/// One frame where they fit together, several where they would grow past what every client takes in one message.
fn merge_all(waiting: Vec<Shown>) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut group: Vec<Shown> = Vec::new();
    let mut size = 0;
    for shown in waiting {
        if !group.is_empty() && size + shown.update.len() > MAX_MESSAGE {
            merge_group(&mut frames, &group);
            group.clear();
            size = 0;
        }
        size += shown.update.len();
        group.push(shown);
    }
    merge_group(&mut frames, &group);
    frames
}

fn merge_group(frames: &mut Vec<Bytes>, group: &[Shown]) {
    match group {
        [] => {}
        [only] => frames.push(only.update.clone()),
        several => {
            let parts: Vec<(&[u8], &Measured)> =
                several.iter().map(|shown| (&*shown.update, &shown.measured)).collect();
            frames.extend(update::merge(&parts).into_iter().map(Bytes::from));
        }
    }
}
