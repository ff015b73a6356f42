//! How is it said? The frames of the two dialects, from a client's side.

use crate::Outcome;
use commonplace_protocol::hocuspocus::{self, Frame, Message as Hocuspocus};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::update::EMPTY;
use commonplace_protocol::yws::{self, Message as YWebsocket};

/// The version a provider tells in its first message.
const PROVIDER_VERSION: &str = "4.8.0";

/// The state vector of an empty document.
const NOTHING: &[u8] = &[0];

/// Which family of clients a crowd belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// An edit is acknowledged by a status.
    Hocuspocus,
    /// An edit is acknowledged when it comes back to its author.
    YWebsocket,
    /// An edit is acknowledged when the number sent after it comes back.
    YSweet,
}

/// What a frame from the server means to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// "What have you got?"
    Question,
    /// All there was: the client is in.
    Synced(&'a [u8]),
    /// Edits.
    Update(&'a [u8]),
    /// Who is here.
    Presence,
    /// One more update is stored (`true`), or never will be.
    Status(bool),
    /// Everything before this number is stored.
    Echo,
    /// Nothing to act on.
    Other,
}

impl Dialect {
    /// What a client says first.
    #[must_use]
    pub fn hello(self, document: &str) -> Vec<Vec<u8>> {
        let question = self.sync(document, Sync::SyncStep1(NOTHING));
        match self {
            Self::Hocuspocus => {
                let token = Hocuspocus::Token { token: "", version: Some(PROVIDER_VERSION) };
                vec![hocuspocus::encode(document.as_bytes(), &token), question]
            }
            Self::YWebsocket | Self::YSweet => vec![question],
        }
    }

    /// The answer of a client that has nothing.
    #[must_use]
    pub fn answer(self, document: &str) -> Vec<u8> {
        self.sync(document, Sync::SyncStep2(EMPTY))
    }

    /// An edit.
    #[must_use]
    pub fn update(self, document: &str, update: &[u8]) -> Vec<u8> {
        self.sync(document, Sync::Update(update))
    }

    /// A caret.
    #[must_use]
    pub fn presence(self, document: &str, awareness: &[u8]) -> Vec<u8> {
        match self {
            Self::Hocuspocus => {
                hocuspocus::encode(document.as_bytes(), &Hocuspocus::Awareness(awareness))
            }
            Self::YWebsocket | Self::YSweet => YWebsocket::Awareness(awareness).encode(),
        }
    }

    /// What has to follow an edit so that it is acknowledged, if anything.
    #[must_use]
    pub fn receipt(self, number: u8) -> Option<Vec<u8>> {
        (self == Self::YSweet).then(|| YWebsocket::SyncStatus(&[number & 0x7f]).encode())
    }

    fn sync(self, document: &str, sync: Sync<'_>) -> Vec<u8> {
        match self {
            Self::Hocuspocus => hocuspocus::encode(document.as_bytes(), &Hocuspocus::Sync(sync)),
            Self::YWebsocket | Self::YSweet => YWebsocket::Sync(sync).encode(),
        }
    }

    /// What a frame says. A refusal is an error: no crowd of ours deserves one.
    pub fn hear(self, frame: &[u8]) -> Outcome<Heard<'_>> {
        let sync = match self {
            Self::YWebsocket | Self::YSweet => match yws::decode_server(frame)? {
                YWebsocket::Sync(sync) => sync,
                YWebsocket::Awareness(_) => return Ok(Heard::Presence),
                YWebsocket::SyncStatus(_) => return Ok(Heard::Echo),
                YWebsocket::PermissionDenied(reason) => {
                    return Err(format!("refused: {reason}").into());
                }
                YWebsocket::QueryAwareness | YWebsocket::Private { .. } | YWebsocket::Padding => {
                    return Ok(Heard::Other);
                }
            },
            Self::Hocuspocus => {
                let frame = hocuspocus::decode_server(frame).map_err(|refused| refused.why)?;
                let Frame::Document(_, message) = frame else { return Ok(Heard::Other) };
                match message {
                    Hocuspocus::Sync(sync) => sync,
                    Hocuspocus::Awareness(_) => return Ok(Heard::Presence),
                    Hocuspocus::SyncStatus(stored) => return Ok(Heard::Status(stored)),
                    Hocuspocus::PermissionDenied { reason } => {
                        return Err(format!("refused: {reason}").into());
                    }
                    Hocuspocus::Close { reason } => {
                        return Err(format!("the document was closed: {reason:?}").into());
                    }
                    Hocuspocus::QueryAwareness
                    | Hocuspocus::Stateless(_)
                    | Hocuspocus::Token { .. }
                    | Hocuspocus::TokenRequest
                    | Hocuspocus::Authenticated { .. } => return Ok(Heard::Other),
                }
            }
        };
        Ok(match sync {
            Sync::SyncStep1(_) => Heard::Question,
            Sync::SyncStep2(update) => Heard::Synced(update),
            Sync::Update(update) => Heard::Update(update),
        })
    }
}
