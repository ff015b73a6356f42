//! Each rule of `GATE.md` by its number, on updates small enough to read.

use super::chain::{Chain, Inserted};
use super::intervals::Intervals;
use super::*;
use commonplace_protocol::ids::Id;
use commonplace_protocol::varint::{write_var_str, write_var_u64};

mod parts;
mod rules;

/// Writes updates by hand.
#[derive(Clone, Default)]
struct Hand {
    sections: Vec<(u64, u32, Vec<Vec<u8>>)>,
    deletes: Vec<(u64, Vec<(u32, u32)>)>,
}

impl Hand {
    fn section(mut self, of: u64, start: u32, blocks: &[Vec<u8>]) -> Self {
        self.sections.push((of, start, blocks.to_vec()));
        self
    }

    fn delete(mut self, of: u64, ranges: &[(u32, u32)]) -> Self {
        self.deletes.push((of, ranges.to_vec()));
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_u64(&mut out, self.sections.len() as u64);
        for (of, start, blocks) in self.sections {
            write_var_u64(&mut out, blocks.len() as u64);
            write_var_u64(&mut out, of);
            write_var_u64(&mut out, u64::from(start));
            out.extend(blocks.concat());
        }
        write_var_u64(&mut out, self.deletes.len() as u64);
        for (of, ranges) in self.deletes {
            write_var_u64(&mut out, of);
            write_var_u64(&mut out, ranges.len() as u64);
            for (start, len) in ranges {
                write_var_u64(&mut out, u64::from(start));
                write_var_u64(&mut out, u64::from(len));
            }
        }
        out
    }
}

fn hand() -> Hand {
    Hand::default()
}

#[derive(Clone, Copy)]
enum At<'a> {
    Root(&'a str),
    RootKey(&'a str, &'a str),
    Type(u64, u32),
    TypeKey(u64, u32, &'a str),
    After(u64, u32),
    Before(u64, u32),
    Between((u64, u32), (u64, u32)),
}

fn block(at: At<'_>, content: (u8, Vec<u8>)) -> Vec<u8> {
    let (kind, content) = content;
    let mut out = Vec::new();
    let id = |out: &mut Vec<u8>, of: u64, clock: u32| {
        write_var_u64(out, of);
        write_var_u64(out, u64::from(clock));
    };
    match at {
        At::Root(name) => {
            out.extend([kind, 1]);
            write_var_str(&mut out, name);
        }
        At::RootKey(name, key) => {
            out.extend([kind | 0x20, 1]);
            write_var_str(&mut out, name);
            write_var_str(&mut out, key);
        }
        At::Type(of, clock) => {
            out.extend([kind, 0]);
            id(&mut out, of, clock);
        }
        At::TypeKey(of, clock, key) => {
            out.extend([kind | 0x20, 0]);
            id(&mut out, of, clock);
            write_var_str(&mut out, key);
        }
        At::After(of, clock) => {
            out.push(kind | 0x80);
            id(&mut out, of, clock);
        }
        At::Before(of, clock) => {
            out.push(kind | 0x40);
            id(&mut out, of, clock);
        }
        At::Between(left, right) => {
            out.push(kind | 0xc0);
            id(&mut out, left.0, left.1);
            id(&mut out, right.0, right.1);
        }
    }
    out.extend(content);
    out
}

fn text(text: &str) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    write_var_str(&mut out, text);
    (4, out)
}

fn format() -> (u8, Vec<u8>) {
    (6, b"\x04bold\x04true".to_vec())
}

fn deleted(len: u8) -> (u8, Vec<u8>) {
    (1, vec![len])
}

fn any(values: &[u8]) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    write_var_u64(&mut out, values.len() as u64);
    for value in values {
        out.extend([125, *value]);
    }
    (8, out)
}

fn ytype(kind: u8) -> (u8, Vec<u8>) {
    (7, vec![kind])
}

fn gc(len: u8) -> Vec<u8> {
    vec![0, len]
}

#[track_caller]
fn admits(gate: &mut Gate, update: Hand) -> bool {
    let bytes = update.bytes();
    match gate.admit(&bytes, &mut Anyone) {
        Ok(admitted) => {
            assert!(gate.knows(&bytes), "what was admitted is known");
            admitted.news
        }
        Err(refusal) => panic!("refused: {refusal:?}"),
    }
}

/// Refused, and nothing has changed: the whole index prints the same as before.
#[track_caller]
fn refuses(gate: &mut Gate, update: Hand, expected: &Refusal) {
    let before = picture(gate);
    assert_eq!(gate.admit(&update.bytes(), &mut Anyone).map(|_| ()).as_ref(), Err(expected));
    assert_eq!(picture(gate), before, "a refusal leaves nothing behind");
}

/// Everything the gate remembers, in an order that does not depend on hash maps.
fn picture(gate: &Gate) -> Vec<String> {
    let mut lines: Vec<String> = format!("{:#?}", gate.index).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn contradiction(of: &'static str) -> Refusal {
    Refusal::Contradiction(of)
}
