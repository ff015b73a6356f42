//! What does an awareness update say about whom?
//!
//! Bytes only: which entries are news, and to whom, is decided by the room that keeps the table (P70 to P76).
//! Source: `y-protocols` 1.0 `awareness.js`.

use crate::error::Malformed;
use crate::ids::ClientId;
use crate::limits::{
    MAX_AWARENESS_CLOCK, MAX_AWARENESS_MESSAGE, MAX_AWARENESS_STATE, MAX_VALUE_DEPTH,
};
use crate::varint::{Reader, var_bytes_len, var_u64_len, write_var_str, write_var_u64};

/// The JSON that stands for "gone".
const GONE: &str = "null";

/// Client id, clock and length take a byte each at least, the shortest state (`{}`) two.
const SHORTEST_ENTRY: usize = 5;

/// What one client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Who.
    pub client: ClientId,
    /// Counts the client's announcements; the newest wins.
    pub clock: u32,
    /// The state as JSON text, always an object. `None`: gone.
    pub state: Option<&'a str>,
}

/// Decodes and checks an awareness update (P30 to P36).
///
/// The state of each entry is JSON by its syntax. It may still hold numbers no `f64` can and escaped lone surrogates, as
/// JavaScript writes them: who reads a state into a value must be ready for that.
pub fn decode(update: &[u8]) -> Result<Vec<Entry<'_>>, Malformed> {
    if update.len() > MAX_AWARENESS_MESSAGE {
        return Err(Malformed::TooLarge("awareness"));
    }
    let mut reader = Reader::new(update);
    let count = reader.var_u64("number of awareness entries")?;
    // P31: a claimed count is believed only as far as there are bytes for it.
    let count =
        usize::try_from(count).ok().filter(|&count| count <= reader.remaining() / SHORTEST_ENTRY);
    let count = count.ok_or(Malformed::Truncated("awareness"))?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(entry(&mut reader)?);
    }
    reader.finish()?;
    each_client_once(&entries)?;
    Ok(entries)
}

fn entry<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>, Malformed> {
    let client = ClientId::new(reader.var_u64("client id")?)?;
    let clock = reader.var_u32("awareness clock")?;
    if clock > MAX_AWARENESS_CLOCK {
        return Err(Malformed::OutOfRange("awareness clock"));
    }
    let text = reader.var_bytes("awareness state")?;
    if text.len() > MAX_AWARENESS_STATE {
        return Err(Malformed::TooLarge("awareness state"));
    }
    let text = std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8("awareness state"))?;
    let state = if text == GONE { None } else { Some(object(text)?) };
    Ok(Entry { client, clock, state })
}

/// P34: a state is a JSON object of bounded depth.
fn object(text: &str) -> Result<&str, Malformed> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Malformed::Rule("an awareness state is not a JSON object"));
    }
    if depth(text) > MAX_VALUE_DEPTH {
        return Err(Malformed::TooLarge("the depth of an awareness state"));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|_| Malformed::Rule("an awareness state is not JSON"))?;
    Ok(text)
}

/// How deep the brackets nest. Right for JSON; for anything else some number, and the parser refuses it afterwards.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// P35: one entry for each client. Yjs never writes two, and which one should win would be anybody's guess.
fn each_client_once(entries: &[Entry<'_>]) -> Result<(), Malformed> {
    if entries.len() < 2 {
        return Ok(());
    }
    let mut clients: Vec<ClientId> = entries.iter().map(|entry| entry.client).collect();
    clients.sort_unstable();
    let twice = clients.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
    if twice { Err(Malformed::Rule("an awareness update names a client twice")) } else { Ok(()) }
}

/// The awareness update that says this, in one allocation of the exact size.
#[must_use]
pub fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let len =
        var_u64_len(entries.len() as u64) + entries.iter().map(Entry::encoded_len).sum::<usize>();
    let mut out = Vec::with_capacity(len);
    write_var_u64(&mut out, entries.len() as u64);
    for entry in entries {
        write_var_u64(&mut out, entry.client.get());
        write_var_u64(&mut out, u64::from(entry.clock));
        write_var_str(&mut out, entry.state.unwrap_or(GONE));
    }
    debug_assert_eq!(out.len(), len, "the length was told wrong");
    out
}

impl Entry<'_> {
    /// How many bytes this entry takes in an awareness update.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        var_u64_len(self.client.get())
            + var_u64_len(u64::from(self.clock))
            + var_bytes_len(self.state.unwrap_or(GONE).len())
    }
}

#[cfg(test)]
mod tests;
