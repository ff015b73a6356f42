//! What does a writer type?
//!
//! Every edit is one character, so an edit is a clock: whoever knows which clocks of a writer have arrived knows which edits have. A
//! room's text begins with one empty line for each writer, and each writer types at the end of their own line, as people do.

use commonplace_protocol::ids::{ClientId, Clock};
use commonplace_protocol::varint::{write_var_str, write_var_u64};

/// The shared text's name.
const ROOT: &str = "text";

/// Client ids from here up. Real ones are random numbers of 32 bits, which take five bytes; so do these.
const FIRST_CLIENT: u64 = 0x4000_0000;

/// Client ids of one room.
const SEATS: u64 = 4096;

/// What is typed, over and over.
const WORDS: &str = "the quick brown fox jumps over the lazy dog; ";

/// Text, with an origin and a right origin.
const TEXT_BETWEEN: u8 = 4 | 0x80 | 0x40;

/// Text in a root type.
const TEXT_IN_ROOT: u8 = 4;

const PARENT_IS_ROOT: u64 = 1;

/// The Yjs client id of a seat in a room.
#[must_use]
pub const fn client_id(room: usize, seat: usize) -> u64 {
    FIRST_CLIENT + room as u64 * SEATS + seat as u64
}

/// Whose client id it is: room and seat.
#[must_use]
pub fn seat_of(client: ClientId) -> Option<(usize, usize)> {
    let n = client.get().checked_sub(FIRST_CLIENT)?;
    Some((usize::try_from(n / SEATS).ok()?, usize::try_from(n % SEATS).ok()?))
}

/// The empty lines a room begins with: one unit for each writer and a last one.
#[must_use]
pub fn lines(author: u64, writers: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(writers + 32);
    begin(&mut out, author, 0);
    out.push(TEXT_IN_ROOT);
    write_var_u64(&mut out, PARENT_IS_ROOT);
    write_var_str(&mut out, ROOT);
    write_var_str(&mut out, &"\n".repeat(writers + 1));
    out.push(0);
    out
}

/// How many units [`lines`] has.
#[must_use]
pub fn line_units(writers: usize) -> Clock {
    Clock::try_from(writers + 1).unwrap_or(Clock::MAX)
}

/// The writer's next character: the update for its clock, at the end of line `line` of the text that `author` began.
pub fn character(out: &mut Vec<u8>, writer: u64, clock: Clock, author: u64, line: usize) {
    begin(out, writer, clock);
    out.push(TEXT_BETWEEN);
    let line = line as u64;
    let (origin, origin_clock) =
        if clock == 0 { (author, line) } else { (writer, u64::from(clock) - 1) };
    for number in [origin, origin_clock, author, line + 1] {
        write_var_u64(out, number);
    }
    let at = clock as usize % WORDS.len();
    write_var_str(out, WORDS.get(at..=at).unwrap_or(" "));
    out.push(0);
}

/// One section of one block.
fn begin(out: &mut Vec<u8>, client: u64, clock: Clock) {
    for number in [1, 1, client, u64::from(clock)] {
        write_var_u64(out, number);
    }
}

/// What a browser tells about a caret, as y-prosemirror and y-codemirror do: a name, a colour, two relative positions.
#[must_use]
pub fn cursor(writer: u64, moves: u32, clock: Clock) -> Vec<u8> {
    let item = format!(
        r#"{{"type":null,"tname":"{ROOT}","item":{{"client":{writer},"clock":{clock}}},"assoc":0}}"#
    );
    let state = format!(
        r##"{{"user":{{"name":"Writer {writer}","color":"#30bced","colorLight":"#30bced33"}},"cursor":{{"anchor":{item},"head":{item}}}}}"##
    );
    let mut out = Vec::with_capacity(state.len() + 16);
    for number in [1, writer, u64::from(moves)] {
        write_var_u64(&mut out, number);
    }
    write_var_str(&mut out, &state);
    out
}

#[cfg(test)]
mod tests;
