//! Are the values inside a block well-formed, and are two of them the same value?
//!
//! One walk answers both: it checks depth and form, and returns a hash that does not change when a CRDT decodes the value
//! and writes it again (order of keys, spelling of numbers).

use crate::error::Malformed;
use crate::limits::MAX_VALUE_DEPTH;
use crate::varint::Reader;

/// Reads a length in its shortest form (U3) and that many bytes.
pub(super) fn minimal_bytes<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
) -> Result<&'a [u8], Malformed> {
    let len = reader.var_u64_minimal(what)?;
    let len = usize::try_from(len).map_err(|_| Malformed::Truncated(what))?;
    reader.take(len, what)
}

/// Reads a length in its shortest form (U3) and that many bytes of UTF-8 (U10).
pub(super) fn minimal_str<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
) -> Result<&'a str, Malformed> {
    std::str::from_utf8(minimal_bytes(reader, what)?).map_err(|_| Malformed::NotUtf8(what))
}

/// A hash that is the same in every process and version of the server: decisions made with it are stored in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix(u64);

impl Mix {
    pub(super) const fn new(tag: u64) -> Self {
        Self(tag).word(0x9e37_79b9_7f4a_7c15)
    }

    /// Takes in one number: the finaliser of splitmix64, which spreads every bit of input over the whole word.
    pub(super) const fn word(self, word: u64) -> Self {
        let mut x = self.0.rotate_left(23) ^ word;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(x ^ (x >> 31))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut mix = self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            mix = mix.word(u64::from_le_bytes(word));
        }
        mix
    }

    pub(super) const fn finish(self) -> u64 {
        self.0
    }
}

/// Numbers are compared as the nearest 64-bit float: CRDTs change their spelling (1, 1.0, float32, bigint) but not their value.
fn number(value: f64) -> u64 {
    let plain = if value == 0.0 {
        0.0 // JavaScript's -0 comes back as 0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    };
    Mix::new(1).word(plain.to_bits()).finish()
}

fn text(value: &str) -> u64 {
    Mix::new(2).bytes(value.as_bytes()).finish()
}

fn simple(tag: u64) -> u64 {
    Mix::new(3).word(tag).finish()
}

#[derive(Clone, Copy)]
struct Pairs {
    sum: u64,
    count: u64,
}

impl Pairs {
    const NONE: Self = Self { sum: 0, count: 0 };

    // Keys come in any order: their pairs are added up.
    fn add(&mut self, key: &str, value: u64) {
        self.sum = self.sum.wrapping_add(Mix::new(4).word(text(key)).word(value).finish());
        self.count += 1;
    }

    const fn finish(self) -> u64 {
        Mix::new(5).word(self.sum).word(self.count).finish()
    }
}

/// Reads one lib0 `any` value (U11): known tags, at most [`MAX_VALUE_DEPTH`] containers inside each other, no key twice.
pub(super) fn any(reader: &mut Reader<'_>, depth: usize) -> Result<u64, Malformed> {
    const WHAT: &str = "value";
    match reader.u8(WHAT)? {
        127 => Ok(simple(127)),
        126 => Ok(simple(126)),
        125 => {
            #[expect(clippy::cast_precision_loss, reason = "below 2^53 by the reader")]
            let value = reader.var_i64(WHAT)? as f64;
            Ok(number(value))
        }
        124 => {
            let bytes = reader.take(4, WHAT)?.try_into().map_err(|_| Malformed::Truncated(WHAT))?;
            Ok(number(f64::from(f32::from_be_bytes(bytes))))
        }
        123 => {
            let bytes = reader.take(8, WHAT)?.try_into().map_err(|_| Malformed::Truncated(WHAT))?;
            Ok(number(f64::from_be_bytes(bytes)))
        }
        122 => {
            let bytes = reader.take(8, WHAT)?.try_into().map_err(|_| Malformed::Truncated(WHAT))?;
            #[expect(
                clippy::cast_precision_loss,
                reason = "compared as the nearest float, which is how it may come back"
            )]
            let value = i64::from_be_bytes(bytes) as f64;
            Ok(number(value))
        }
        121 => Ok(simple(121)),
        120 => Ok(simple(120)),
        119 => Ok(text(minimal_str(reader, WHAT)?)),
        118 => {
            deeper(depth)?;
            let count = reader.var_u64_minimal(WHAT)?;
            let mut keys = Keys::default();
            let mut pairs = Pairs::NONE;
            for _ in 0..count {
                let key = minimal_str(reader, WHAT)?;
                keys.insert(key)?;
                pairs.add(key, any(reader, depth + 1)?);
            }
            Ok(pairs.finish())
        }
        117 => {
            deeper(depth)?;
            let count = reader.var_u64_minimal(WHAT)?;
            let mut mix = Mix::new(6).word(count);
            for _ in 0..count {
                mix = mix.word(any(reader, depth + 1)?);
            }
            Ok(mix.finish())
        }
        116 => Ok(Mix::new(7).bytes(minimal_bytes(reader, WHAT)?).finish()),
        tag => Err(Malformed::UnknownTag { what: WHAT, tag: u64::from(tag) }),
    }
}

const fn deeper(depth: usize) -> Result<(), Malformed> {
    if depth < MAX_VALUE_DEPTH { Ok(()) } else { Err(Malformed::TooLarge("the depth of a value")) }
}

/// Notices a key that comes twice: decoders keep the last one, so such a map is not the same after it was stored.
#[derive(Default)]
struct Keys<'a> {
    // Nearly all maps are small: no hash set before it pays.
    few: Vec<&'a str>,
    many: std::collections::HashSet<&'a str>,
}

impl<'a> Keys<'a> {
    const FEW: usize = 16;

    fn insert(&mut self, key: &'a str) -> Result<(), Malformed> {
        let new = if self.few.len() < Self::FEW {
            let new = !self.few.contains(&key);
            self.few.push(key);
            new
        } else {
            !self.few.contains(&key) && self.many.insert(key)
        };
        if new { Ok(()) } else { Err(Malformed::Rule("a map holds a key twice")) }
    }
}

/// Reads embedded JSON (U12): valid for the very parser the CRDT uses, numbers it can hold, at most [`MAX_VALUE_DEPTH`] deep.
pub(super) fn json(source: &str) -> Result<u64, Malformed> {
    let value =
        serde_json::from_str(source).map_err(|_| Malformed::Rule("embedded JSON is not valid"))?;
    json_value(&value, 0)
}

fn json_value(value: &serde_json::Value, depth: usize) -> Result<u64, Malformed> {
    use serde_json::Value;
    match value {
        Value::Null => Ok(simple(126)),
        Value::Bool(true) => Ok(simple(120)),
        Value::Bool(false) => Ok(simple(121)),
        Value::Number(n) => {
            if n.as_u64().is_some_and(|n| i64::try_from(n).is_err()) {
                // yrs would answer such a number with a decoding error
                return Err(Malformed::OutOfRange("a number in embedded JSON"));
            }
            n.as_f64().map(number).ok_or(Malformed::OutOfRange("a number in embedded JSON"))
        }
        Value::String(s) => Ok(text(s)),
        Value::Array(items) => {
            deeper(depth)?;
            let mut mix = Mix::new(6).word(items.len() as u64);
            for item in items {
                mix = mix.word(json_value(item, depth + 1)?);
            }
            Ok(mix.finish())
        }
        Value::Object(entries) => {
            deeper(depth)?;
            let mut pairs = Pairs::NONE;
            for (key, value) in entries {
                pairs.add(key, json_value(value, depth + 1)?);
            }
            Ok(pairs.finish())
        }
    }
}
