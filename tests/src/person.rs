//! What does one participant know: which words are written, which are saved, which were seen?
//!
//! A participant has a document of its own (yrs) and speaks one of the two dialects, as the published clients do. It is told what came and
//! says what to send; sockets are the caller's. Each thing it writes is a *mark*: an element of a list that names its author and the author's
//! clock, so that anybody can tell what is missing, what is there twice, and what came back from the dead.

use commonplace_protocol::hocuspocus::{Frame, Message as Hocuspocus, decode_server, encode};
use commonplace_protocol::presence;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::update::{self, StateVector};
use commonplace_protocol::yws::{self, Message as YWebsocket};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Array, Doc, Out, ReadTxn, Transact, Update};

/// The list that holds the marks.
const ROOT: &str = "marks";

/// Blocks in one transaction.
const MAX_BLOCKS_AT_ONCE: usize = 1_000;

/// Which family of clients a participant uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One document a socket; an edit is saved when it comes back.
    YWebsocket,
    /// An edit is saved when the status says so.
    Hocuspocus,
}

/// Who wrote it, and the author's clock when it did.
pub type Mark = (u64, u32);

/// A participant.
#[derive(Debug)]
pub struct Person {
    /// Its Yjs client id.
    pub id: u64,
    /// How it speaks.
    pub dialect: Dialect,
    /// What it has open.
    pub document: String,
    doc: Doc,
    /// How many marks it has written.
    pub written: u32,
    /// How many of them, from the first, it was told are saved.
    pub saved: u32,
    /// What a provider calls unsynced changes.
    unsynced: u32,
    /// Whether it has had an answer to its first question on this socket.
    pub synced: bool,
    /// Its own marks that it took back, and whether it was told that this is saved.
    pub taken_back: BTreeMap<u32, bool>,
    /// Who is shown to be there.
    pub here: BTreeSet<u64>,
    /// What the server said last of its storage.
    pub told: Option<String>,
}

/// What a message was.
#[derive(Debug, Default)]
pub struct Heard {
    /// What has to be sent now.
    pub answers: Vec<Vec<u8>>,
    /// Whether more is saved than before.
    pub saved: bool,
    /// Whether others' words came.
    pub content: bool,
    /// Whether the server says that something will never be stored.
    pub refused: bool,
}

impl Person {
    /// Someone with an empty document.
    #[must_use]
    pub fn new(id: u64, dialect: Dialect, document: &str) -> Self {
        let mut options = yrs::Options::with_client_id(yrs::block::ClientID::new(id));
        options.offset_kind = yrs::OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        doc.get_or_insert_array(ROOT);
        Self {
            id,
            dialect,
            document: document.to_owned(),
            doc,
            written: 0,
            saved: 0,
            unsynced: 0,
            synced: false,
            taken_back: BTreeMap::new(),
            here: BTreeSet::new(),
            told: None,
        }
    }

    /// Where to open the socket.
    #[must_use]
    pub fn path(&self) -> String {
        match self.dialect {
            Dialect::YWebsocket => format!("/sync/{}", self.document),
            Dialect::Hocuspocus => "/sync".to_owned(),
        }
    }

    /// What it says first on a new socket.
    #[must_use]
    pub fn hello(&mut self) -> Vec<Vec<u8>> {
        self.synced = false;
        self.unsynced = 1;
        self.here.clear();
        let state_vector = self.doc.transact().state_vector().encode_v1();
        let question = self.frame(Sync::SyncStep1(&state_vector));
        match self.dialect {
            Dialect::YWebsocket => vec![question],
            Dialect::Hocuspocus => {
                let token = Hocuspocus::Token { token: "", version: Some("4.8.0") };
                vec![encode(self.document.as_bytes(), &token), question]
            }
        }
    }

    /// Writes one mark, somewhere; the message that tells the server.
    #[must_use]
    pub fn write(&mut self, random: &mut impl Rng) -> Vec<u8> {
        let marks = self.doc.get_or_insert_array(ROOT);
        let update = {
            let mut transaction = self.doc.transact_mut();
            let at = random.random_range(0..=marks.len(&transaction));
            marks.insert(&mut transaction, at, text_of((self.id, self.written)));
            transaction.encode_update_v1()
        };
        self.written += 1;
        self.unsynced += 1;
        self.frame(Sync::Update(&update))
    }

    /// Takes back one of its saved marks; the message, if there was one to take back.
    #[must_use]
    pub fn take_back(&mut self, random: &mut impl Rng) -> Option<Vec<u8>> {
        let clock = random.random_range(0..self.saved.max(1));
        if clock >= self.saved || self.taken_back.contains_key(&clock) {
            return None;
        }
        let at = self.elements().iter().position(|mark| *mark == (self.id, clock))?;
        let marks = self.doc.get_or_insert_array(ROOT);
        let update = {
            let mut transaction = self.doc.transact_mut();
            marks.remove(&mut transaction, u32::try_from(at).ok()?);
            transaction.encode_update_v1()
        };
        self.taken_back.insert(clock, false);
        self.unsynced += 1;
        Some(self.frame(Sync::Update(&update)))
    }

    /// How many of its marks it was not yet told are saved.
    #[must_use]
    pub fn unsaved(&self) -> u32 {
        self.written - self.saved
    }

    /// Whether a provider would still show unsaved changes.
    #[must_use]
    pub fn unsynced_provider(&self) -> bool {
        self.dialect == Dialect::Hocuspocus && self.unsynced > 0
    }

    /// Takes in one message.
    ///
    /// # Panics
    /// When the server breaks the protocol, or sends an update that yrs cannot apply at once.
    pub fn hear(&mut self, frame: &[u8]) -> Heard {
        let mut heard = Heard::default();
        match self.dialect {
            Dialect::YWebsocket => match yws::decode_server(frame).expect("the server speaks well")
            {
                YWebsocket::Sync(sync) => self.hear_sync(sync, &mut heard),
                YWebsocket::Awareness(update) => self.hear_presence(update),
                YWebsocket::PermissionDenied(reason) => panic!("denied: {reason}"),
                _ => {}
            },
            Dialect::Hocuspocus => {
                let Frame::Document(address, message) =
                    decode_server(frame).expect("the server speaks well")
                else {
                    return heard;
                };
                assert_eq!(address.document, self.document);
                match message {
                    Hocuspocus::Sync(sync) => self.hear_sync(sync, &mut heard),
                    Hocuspocus::SyncStatus(true) => {
                        self.unsynced = self.unsynced.saturating_sub(1);
                        if self.unsynced == 0 {
                            heard.saved = self.saved < self.written;
                            self.saved = self.written;
                            self.taken_back.values_mut().for_each(|saved| *saved = true);
                        }
                    }
                    Hocuspocus::SyncStatus(false) => heard.refused = true,
                    Hocuspocus::Awareness(update) => self.hear_presence(update),
                    Hocuspocus::Stateless(words) => self.told = Some(words.to_owned()),
                    Hocuspocus::PermissionDenied { reason } => panic!("denied: {reason}"),
                    Hocuspocus::Close { reason } => panic!("the document was closed: {reason:?}"),
                    _ => {}
                }
            }
        }
        heard
    }

    /// Says that it is there, for the so-manieth time; every client does every 15 seconds.
    #[must_use]
    pub fn wave(&self, clock: u32) -> Vec<u8> {
        let entry = presence::Entry { client: client(self.id), clock, state: Some("{}") };
        let update = presence::encode(&[entry]);
        match self.dialect {
            Dialect::YWebsocket => YWebsocket::Awareness(&update).encode(),
            Dialect::Hocuspocus => {
                encode(self.document.as_bytes(), &Hocuspocus::Awareness(&update))
            }
        }
    }

    fn hear_presence(&mut self, update: &[u8]) {
        for entry in presence::decode(update).expect("the server speaks well") {
            match entry.state {
                Some(_) => self.here.insert(entry.client.get()),
                None => self.here.remove(&entry.client.get()),
            };
        }
    }

    fn hear_sync(&mut self, sync: Sync<'_>, heard: &mut Heard) {
        match sync {
            Sync::SyncStep1(state_vector) => {
                let known = StateVector::decode(state_vector).expect("a state vector");
                self.is_known_up_to(known.get(client(self.id)), heard);
                let theirs = yrs::StateVector::decode_v1(state_vector).expect("a state vector");
                let answer = self.doc.transact().encode_state_as_update_v1(&theirs);
                heard.answers.push(self.frame(Sync::SyncStep2(&answer)));
            }
            Sync::SyncStep2(bytes) | Sync::Update(bytes) => {
                self.synced |= matches!(sync, Sync::SyncStep2(_));
                let measured = update::parse(bytes).expect("an update").measure();
                for section in measured.sections() {
                    if section.client.get() == self.id {
                        self.is_known_up_to(section.clocks.end, heard);
                    } else {
                        heard.content = true;
                    }
                }
                heard.content |= measured.deletes().next().is_some();
                // yrs takes time in the square of the blocks of one transaction; Yjs does not.
                let parts = match measured.blocks() {
                    0..=MAX_BLOCKS_AT_ONCE => vec![bytes.to_vec()],
                    _ => update::split(bytes, MAX_BLOCKS_AT_ONCE, usize::MAX).expect("an update"),
                };
                for part in parts {
                    let update = Update::decode_v1(&part).expect("an update");
                    self.doc.transact_mut().apply_update(update).expect("the update applies");
                }
                assert!(
                    !self.doc.transact().has_missing_updates(),
                    "what the server sends is complete in its causes"
                );
            }
        }
    }

    /// What the server shows or counts as its own is saved: y-websocket clients have no other sign.
    fn is_known_up_to(&mut self, clock: u32, heard: &mut Heard) {
        if self.dialect == Dialect::YWebsocket && clock > self.saved {
            self.saved = clock;
            heard.saved = true;
        }
    }

    fn frame(&self, sync: Sync<'_>) -> Vec<u8> {
        match self.dialect {
            Dialect::YWebsocket => YWebsocket::Sync(sync).encode(),
            Dialect::Hocuspocus => encode(self.document.as_bytes(), &Hocuspocus::Sync(sync)),
        }
    }

    /// The marks in its document, in order.
    #[must_use]
    pub fn elements(&self) -> Vec<Mark> {
        let marks = self.doc.get_or_insert_array(ROOT);
        let transaction = self.doc.transact();
        marks.iter(&transaction).map(|element| mark_of(&element)).collect()
    }

    /// The marks in its document.
    ///
    /// # Panics
    /// When one is there twice.
    #[must_use]
    pub fn marks(&self) -> BTreeSet<Mark> {
        let elements = self.elements();
        let set: BTreeSet<Mark> = elements.iter().copied().collect();
        assert_eq!(set.len(), elements.len(), "a mark is there twice in {}", self.document);
        set
    }

    /// How far it knows each author.
    #[must_use]
    pub fn knows(&self) -> BTreeMap<u64, u32> {
        let state_vector = self.doc.transact().state_vector();
        state_vector.iter().map(|(client, clock)| (client.get(), *clock)).collect()
    }
}

fn client(id: u64) -> commonplace_protocol::ids::ClientId {
    commonplace_protocol::ids::ClientId::new(id).expect("a client id")
}

/// A mark as it is written.
#[must_use]
pub fn text_of((author, clock): Mark) -> String {
    format!("mark {author}-{clock}.")
}

fn mark_of(element: &Out) -> Mark {
    let Out::Any(Any::String(text)) = element else { panic!("{element:?} is not a mark") };
    let parsed = text
        .strip_prefix("mark ")
        .and_then(|text| text.strip_suffix('.'))
        .and_then(|text| text.split_once('-'))
        .and_then(|(author, clock)| Some((author.parse().ok()?, clock.parse().ok()?)));
    parsed.unwrap_or_else(|| panic!("{text:?} is not a mark"))
}

/// Holds what participants were told against what the server has now, after a restart and before any of them has come back.
///
/// # Panics
/// When something that was saved or seen is missing, is there twice, or has come back from the dead.
pub fn check_kept<'a>(people: impl IntoIterator<Item = &'a Person>, fresh: &Person) {
    let kept = fresh.marks();
    let known = fresh.knows();
    for person in people.into_iter().filter(|person| person.document == fresh.document) {
        let own = known.get(&person.id).copied().unwrap_or(0);
        assert!(
            own >= person.saved,
            "{} was told that {} of its marks are saved, and {own} are left",
            person.id,
            person.saved
        );
        for clock in 0..person.saved {
            match person.taken_back.get(&clock) {
                None => assert!(
                    kept.contains(&(person.id, clock)),
                    "a saved mark is gone: {}",
                    text_of((person.id, clock))
                ),
                Some(true) => assert!(
                    !kept.contains(&(person.id, clock)),
                    "a mark that was taken back is there again: {}",
                    text_of((person.id, clock))
                ),
                Some(false) => {}
            }
        }
        let seen = person.marks();
        for (&author, &clock) in person.knows().iter().filter(|(author, _)| **author != person.id) {
            let left = known.get(&author).copied().unwrap_or(0);
            assert!(
                left >= clock,
                "{} has seen {clock} marks of {author}, and {left} are left",
                person.id
            );
            for mark in (0..clock).map(|clock| (author, clock)).filter(|mark| !seen.contains(mark))
            {
                assert!(
                    !kept.contains(&mark),
                    "{} has seen that {} was taken back, and it is there again",
                    person.id,
                    text_of(mark)
                );
            }
        }
    }
}
