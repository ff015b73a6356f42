//! What do instances say to each other, and in which bytes?
//!
//! ```text
//! message  = 01 · varUint kind · instance (8 bytes) · varUint number · body
//! 0 Hello      nothing                                     who is with you? I have just come, or have missed something
//! 1 Presence   varUint 0 · varBytes update                 these have changed
//!              varUint 1 · varUint first · varUint last · varBytes update
//!                                                          of all ids from first to last, these are with me, and no others
//! 2 Renew      varUint milliseconds                        somebody came back who has forgotten whoever has not moved for so long
//! 3 Bye        nothing                                     nobody is with me any more
//! 4 Stateless  varString text                              tell everyone this
//! 5 Rights     varString principal · varUint scope         0 nothing any more, 1 reading, 2 writing
//! 6 Close      varUint code · varString reason             send everyone away
//! ```
//!
//! Numbers and strings are lib0's, an update is an awareness update (`PROTOCOL.md`). Instances of two neighbouring releases meet on one bus while it is
//! upgraded: a message of another version, of another kind, or with an unknown scope is passed over ([`Heard::Unknown`]), and bytes after the body
//! are a later release's business. A change that an older release must not pass over needs a new kind beside the old one.

use crate::access::{Principal, Scope};
use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::limits::{MAX_AWARENESS_MESSAGE, MAX_CLOSE_REASON, MAX_STATELESS};
use commonplace_protocol::varint::{Reader, write_var_bytes, write_var_str, write_var_u64};

/// The version of these bytes.
const VERSION: u8 = 1;

/// The longest name of a principal. Bytes; an e-mail address has at most 254.
pub const MAX_PRINCIPAL: usize = 512;

/// The largest message: an awareness update, or a text, and what is around it.
pub const MAX_BUS_MESSAGE: usize = MAX_AWARENESS_MESSAGE + 1_024;

const _: () = assert!(MAX_STATELESS <= MAX_AWARENESS_MESSAGE, "a text fits a message");

/// One running server process: random, so that nobody takes its own words for somebody else's, nor those of its predecessor for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

/// A message, and who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it.
    pub from: InstanceId,
    /// Rises with each message of an instance.
    pub number: u64,
    /// What it says.
    pub message: Message,
}

/// What instances say to each other about one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Who is with you? I have just come, or have missed something."
    Hello,
    /// Who is with the sender.
    Presence(Told),
    /// "Somebody has come back to me who has taken everyone down: move those past what they remember whose clock has not risen for so many milliseconds."
    Renew {
        /// For so long.
        unmoved_for: u64,
    },
    /// "Nobody is with me any more."
    Bye,
    /// For whoever has the document open, from the server.
    Command(Command),
}

/// Who is with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The ids that this is everything about: whoever of the sender's is among them and not in the update is gone. `None` for mere changes.
    pub covers: Option<(ClientId, ClientId)>,
    /// An awareness update.
    pub update: Bytes,
}

/// What the server wants done in a room, on every instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Everyone whose dialect has a place for it is told this text.
    Stateless(String),
    /// A principal may do this from now on.
    Rights {
        /// Who.
        principal: Principal,
        /// What. `None`: nothing at all.
        scope: Option<Scope>,
    },
    /// Everyone is sent away, and the room ends. What was not stored was not acknowledged either, and stays with its authors.
    Close {
        /// For machines: whether coming back helps.
        code: CloseCode,
        /// For people.
        reason: String,
    },
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// One of ours.
    Known(Envelope),
    /// From another release.
    Unknown,
}

impl Command {
    /// Whether it fits a message: a text, a name or a reason may be too long.
    #[must_use]
    pub fn fits(&self) -> bool {
        match self {
            Self::Stateless(text) => text.len() <= MAX_STATELESS,
            Self::Rights { principal, .. } => principal.0.len() <= MAX_PRINCIPAL,
            Self::Close { reason, .. } => reason.len() <= MAX_CLOSE_REASON,
        }
    }
}

impl Envelope {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        write_var_u64(&mut out, self.message.kind());
        out.extend_from_slice(&self.from.0.to_le_bytes());
        write_var_u64(&mut out, self.number);
        match &self.message {
            Message::Hello | Message::Bye => {}
            Message::Presence(Told { covers, update }) => {
                match covers {
                    None => write_var_u64(&mut out, 0),
                    Some((first, last)) => {
                        write_var_u64(&mut out, 1);
                        write_var_u64(&mut out, first.get());
                        write_var_u64(&mut out, last.get());
                    }
                }
                write_var_bytes(&mut out, update);
            }
            Message::Renew { unmoved_for } => write_var_u64(&mut out, *unmoved_for),
            Message::Command(Command::Stateless(text)) => write_var_str(&mut out, text),
            Message::Command(Command::Rights { principal, scope }) => {
                write_var_str(&mut out, &principal.0);
                write_var_u64(
                    &mut out,
                    match scope {
                        None => 0,
                        Some(Scope::ReadOnly) => 1,
                        Some(Scope::ReadWrite) => 2,
                    },
                );
            }
            Message::Command(Command::Close { code, reason }) => {
                write_var_u64(&mut out, u64::from(code.0));
                write_var_str(&mut out, reason);
            }
        }
        out
    }

    /// Reads what another instance has said.
    pub fn decode(bytes: &[u8]) -> Result<Heard, Malformed> {
        if bytes.len() > MAX_BUS_MESSAGE {
            return Err(Malformed::TooLarge("a message between instances"));
        }
        let mut reader = Reader::new(bytes);
        if reader.u8("version")? != VERSION {
            return Ok(Heard::Unknown);
        }
        let kind = reader.var_u64("kind")?;
        let from = reader.take(8, "instance")?;
        let from = InstanceId(u64::from_le_bytes(from.try_into().expect("eight bytes were taken")));
        let number = reader.var_u64("number")?;
        let message = match kind {
            0 => Message::Hello,
            1 => match told(&mut reader)? {
                Some(told) => Message::Presence(told),
                None => return Ok(Heard::Unknown),
            },
            2 => Message::Renew { unmoved_for: reader.var_u64("time")? },
            3 => Message::Bye,
            4 => {
                Message::Command(Command::Stateless(text(&mut reader, MAX_STATELESS, "stateless")?))
            }
            5 => {
                let principal = text(&mut reader, MAX_PRINCIPAL, "principal")?;
                let scope = match reader.var_u64("scope")? {
                    0 => None,
                    1 => Some(Scope::ReadOnly),
                    2 => Some(Scope::ReadWrite),
                    _ => return Ok(Heard::Unknown),
                };
                Message::Command(Command::Rights { principal: Principal(principal.into()), scope })
            }
            6 => {
                let code = u16::try_from(reader.var_u64("close code")?)
                    .map_err(|_| Malformed::OutOfRange("close code"))?;
                let reason = text(&mut reader, MAX_CLOSE_REASON, "reason")?;
                Message::Command(Command::Close { code: CloseCode(code), reason })
            }
            _ => return Ok(Heard::Unknown),
        };
        Ok(Heard::Known(Self { from, number, message }))
    }
}

impl Message {
    const fn kind(&self) -> u64 {
        match self {
            Self::Hello => 0,
            Self::Presence(_) => 1,
            Self::Renew { .. } => 2,
            Self::Bye => 3,
            Self::Command(Command::Stateless(_)) => 4,
            Self::Command(Command::Rights { .. }) => 5,
            Self::Command(Command::Close { .. }) => 6,
        }
    }
}

fn told(reader: &mut Reader<'_>) -> Result<Option<Told>, Malformed> {
    let covers = match reader.var_u64("presence flag")? {
        0 => None,
        1 => {
            let first = ClientId::new(reader.var_u64("client id")?)?;
            Some((first, ClientId::new(reader.var_u64("client id")?)?))
        }
        _ => return Ok(None),
    };
    if covers.is_some_and(|(first, last)| first > last) {
        return Err(Malformed::OutOfRange("client id"));
    }
    let update = reader.var_bytes("awareness")?;
    if update.len() > MAX_AWARENESS_MESSAGE {
        return Err(Malformed::TooLarge("awareness"));
    }
    Ok(Some(Told { covers, update: Bytes::copy_from_slice(update) }))
}

fn text(reader: &mut Reader<'_>, longest: usize, what: &'static str) -> Result<String, Malformed> {
    let text = reader.var_str(what)?;
    if text.len() > longest {
        return Err(Malformed::TooLarge(what));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
