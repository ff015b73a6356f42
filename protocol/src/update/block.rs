//! What is one block of an update?

use super::value::{self, Mix, minimal_bytes, minimal_str};
use super::{BLOCK_KIND, BLOCK_SKIP};
use crate::error::Malformed;
use crate::ids::{ClientId, Clock, Id};
use crate::limits::MAX_CLOCK;
use crate::varint::Reader;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_KEY: u8 = 0x20;
const KIND: u8 = 0x1f;

/// A run of clocks of one client, as one block on the wire. Borrowed from the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block<'a> {
    /// The first unit.
    pub id: Id,
    /// How many clocks it takes up: UTF-16 units of text, values, or 1.
    pub len: u32,
    /// What it is.
    pub body: Body<'a>,
    /// The bytes it was read from.
    pub bytes: &'a [u8],
}

impl Block<'_> {
    /// The clock after its last unit.
    #[must_use]
    pub const fn end(&self) -> Clock {
        self.id.clock + self.len // cannot overflow: U7
    }
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// Something that once was, whose parent is gone too: only its clocks are left.
    Gc,
    /// Something inserted (perhaps deleted since).
    Item(Item<'a>),
}

/// An insertion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item<'a> {
    /// The unit it was inserted after.
    pub origin: Option<Id>,
    /// The unit it was inserted before.
    pub right_origin: Option<Id>,
    /// Where it was inserted.
    pub parent: Parent<'a>,
    /// Under which key, if that is spelt out: inherited together with the parent otherwise.
    pub key: Option<&'a str>,
    /// What was inserted.
    pub content: Content<'a>,
}

/// Where an item belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent<'a> {
    /// Where its origin or right origin is.
    Inherited,
    /// In the root type of this name.
    Root(&'a str),
    /// In the type that this item holds.
    Type(Id),
}

/// What an item holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content<'a> {
    /// Nothing any more: as many units as the block is long.
    Deleted,
    /// One byte array.
    Binary(&'a [u8]),
    /// Text: one unit per UTF-16 code unit.
    Text(&'a str),
    /// One embedded object, as JSON.
    Embed(&'a str),
    /// The beginning or end of a format: takes a clock, shows nothing.
    Format {
        /// Which attribute.
        key: &'a str,
        /// Its value as JSON; `null` ends it.
        value: &'a str,
    },
    /// A shared type.
    Type(TypeRef<'a>),
    /// Plain values (lib0 `any`), one unit each.
    Any(&'a [u8]),
}

/// Which shared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeRef<'a> {
    /// `Y.Array`
    Array,
    /// `Y.Map`
    Map,
    /// `Y.Text`
    Text,
    /// `Y.XmlElement` with its node name.
    XmlElement(&'a str),
    /// `Y.XmlFragment`
    XmlFragment,
    /// `Y.XmlText`
    XmlText,
}

/// How thoroughly a block is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// From the network: everything is checked.
    Hostile,
    /// Checked before, and the reader ends where the block ends.
    Checked,
}

/// Reads one block (U4 to U15). Returns its body and its length in clocks.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    trust: Trust,
) -> Result<(Body<'a>, u32), Malformed> {
    let info = reader.u8("block")?;
    let kind = info & KIND;
    if kind == 0 && info == 0 {
        return Ok((Body::Gc, length(reader)?));
    }
    // U4: a garbage-collected block or a hole carries no flags; yrs and Yjs disagree on one that does.
    if kind == 0 || kind == BLOCK_SKIP {
        return Err(Malformed::UnknownTag { what: BLOCK_KIND, tag: u64::from(info) });
    }
    let origin = if info & HAS_ORIGIN != 0 { Some(id(reader)?) } else { None };
    let right_origin = if info & HAS_RIGHT_ORIGIN != 0 { Some(id(reader)?) } else { None };
    let (mut parent, mut key) = (Parent::Inherited, None);
    if origin.is_none() && right_origin.is_none() {
        parent = match reader.u8("parent")? {
            1 => Parent::Root(minimal_str(reader, "the name of a root type")?),
            0 => Parent::Type(id(reader)?),
            tag => return Err(Malformed::UnknownTag { what: "parent", tag: u64::from(tag) }),
        };
        if info & HAS_KEY != 0 {
            key = Some(minimal_str(reader, "key")?);
        }
    }
    let (content, len) = content(kind, reader, trust)?;
    Ok((Body::Item(Item { origin, right_origin, parent, key, content }), len))
}

fn content<'a>(
    kind: u8,
    reader: &mut Reader<'a>,
    trust: Trust,
) -> Result<(Content<'a>, u32), Malformed> {
    Ok(match kind {
        1 => (Content::Deleted, length(reader)?),
        3 => (Content::Binary(minimal_bytes(reader, "binary content")?), 1),
        4 => {
            let text = minimal_str(reader, "text")?;
            // U6: yrs drops a block without length and goes on counting as if it had never been there.
            (Content::Text(text), non_empty(utf16_len(text))?)
        }
        5 => (Content::Embed(json(reader, "embedded object", trust)?), 1),
        6 => {
            let key = minimal_str(reader, "format")?;
            (Content::Format { key, value: json(reader, "format", trust)? }, 1)
        }
        7 => (Content::Type(type_ref(reader)?), 1),
        8 => {
            let count = length(reader)?;
            let values = reader.rest();
            if trust == Trust::Checked {
                reader.take(values.len(), "values")?;
            } else {
                for _ in 0..count {
                    value::any(reader, 0)?;
                }
            }
            let used = values.len() - reader.remaining();
            (Content::Any(values.get(..used).unwrap_or_default()), count)
        }
        // U8: 2 is JSON of old times, which yrs cannot read back; 9 is a document inside the document. The rest is not defined.
        tag => return Err(Malformed::UnknownTag { what: BLOCK_KIND, tag: u64::from(tag) }),
    })
}

fn json<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    trust: Trust,
) -> Result<&'a str, Malformed> {
    let source = minimal_str(reader, what)?;
    if trust == Trust::Hostile {
        value::json(source)?;
    }
    Ok(source)
}

fn type_ref<'a>(reader: &mut Reader<'a>) -> Result<TypeRef<'a>, Malformed> {
    Ok(match reader.u8("type")? {
        0 => TypeRef::Array,
        1 => TypeRef::Map,
        2 => TypeRef::Text,
        3 => TypeRef::XmlElement(minimal_str(reader, "node name")?),
        4 => TypeRef::XmlFragment,
        6 => TypeRef::XmlText,
        // U9: 5 is a hook into a page's own objects, 7 a link type yrs and Yjs write differently, 15 a yrs inside.
        tag => return Err(Malformed::UnknownTag { what: "type", tag: u64::from(tag) }),
    })
}

pub(super) fn id(reader: &mut Reader<'_>) -> Result<Id, Malformed> {
    Ok(Id { client: client(reader)?, clock: clock(reader)? })
}

pub(super) fn client(reader: &mut Reader<'_>) -> Result<ClientId, Malformed> {
    ClientId::new(reader.var_u64_minimal("client id")?)
}

/// Reads a clock below 2^31 (U7).
pub(super) fn clock(reader: &mut Reader<'_>) -> Result<Clock, Malformed> {
    let clock = reader.var_u64_minimal("clock")?;
    u32::try_from(clock)
        .ok()
        .filter(|clock| *clock <= MAX_CLOCK)
        .ok_or(Malformed::OutOfRange("clock"))
}

/// Reads a length of at least one (U6), below 2^31.
fn length(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    non_empty(clock(reader)?)
}

const fn non_empty(len: u32) -> Result<u32, Malformed> {
    if len == 0 { Err(Malformed::Rule("a block is empty")) } else { Ok(len) }
}

/// Length in UTF-16 code units, as JavaScript counts. Saturates far above every limit.
fn utf16_len(text: &str) -> u32 {
    let units = if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() };
    u32::try_from(units).unwrap_or(u32::MAX)
}

impl Content<'_> {
    /// Whether a block of this content may be cut between its units.
    #[must_use]
    pub const fn divisible(&self) -> bool {
        matches!(self, Self::Deleted | Self::Text(_) | Self::Any(_))
    }

    /// Appends one byte per unit that tells two variants of the same unit apart: exact for Latin text, one chance in 256
    /// per unit of being fooled otherwise. Nothing for deleted content.
    ///
    /// It does not change when a CRDT decodes and encodes the content, or cuts it anywhere: halves of surrogate pairs and
    /// the replacement characters a cut makes of them are all the same.
    pub fn marks(&self, out: &mut Vec<u8>) {
        match self {
            Self::Deleted => {}
            Self::Text(text) => out.extend(text.encode_utf16().map(unit_mark)),
            Self::Any(values) => {
                let mut reader = Reader::new(values);
                while !reader.is_empty() {
                    let hash = value::any(&mut reader, 0).expect("checked by the parser");
                    out.push(fold(hash));
                }
            }
            Self::Binary(_) | Self::Embed(_) | Self::Format { .. } | Self::Type(_) => {
                out.push(fold(self.hash()))
            }
        }
    }

    /// A hash of indivisible content.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Binary(bytes) => Mix::new(20).bytes(bytes).finish(),
            Self::Embed(source) => {
                Mix::new(21).word(value::json(source).expect("checked by the parser")).finish()
            }
            Self::Format { key, value: source } => {
                let value = value::json(source).expect("checked by the parser");
                Mix::new(22).bytes(key.as_bytes()).word(value).finish()
            }
            Self::Type(type_ref) => match type_ref {
                TypeRef::Array => Mix::new(23).word(0).finish(),
                TypeRef::Map => Mix::new(23).word(1).finish(),
                TypeRef::Text => Mix::new(23).word(2).finish(),
                TypeRef::XmlElement(name) => Mix::new(23).word(3).bytes(name.as_bytes()).finish(),
                TypeRef::XmlFragment => Mix::new(23).word(4).finish(),
                TypeRef::XmlText => Mix::new(23).word(6).finish(),
            },
            Self::Deleted | Self::Text(_) | Self::Any(_) => 0,
        }
    }
}

/// Surrogates and U+FFFD are one: a pair that is cut becomes two of the latter, here and in Yjs.
fn unit_mark(unit: u16) -> u8 {
    let [low, high] = unit.to_le_bytes();
    if (0xd8..=0xdf).contains(&high) || unit == 0xfffd { 0xfd } else { low ^ high }
}

const fn fold(hash: u64) -> u8 {
    let [first, ..] = hash.to_le_bytes();
    first
}
