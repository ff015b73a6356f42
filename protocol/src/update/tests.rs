#![expect(clippy::indexing_slicing, reason = "tests may panic")]
#![expect(clippy::single_range_in_vec_init, reason = "delete ranges are lists of ranges")]

use super::*;
use crate::error::Malformed;
use crate::ids::{ClientId, Id};
use crate::varint::{write_var_str, write_var_u64};

mod merging;
mod rules;
mod vectors;

fn client(id: u64) -> ClientId {
    ClientId::new(id).unwrap()
}

fn id(of: u64, clock: u32) -> Id {
    Id { client: client(of), clock }
}

/// Writes updates by hand, also wrong ones.
#[derive(Default)]
struct Hand {
    sections: Vec<(u64, u64, Vec<Vec<u8>>)>,
    deletes: Vec<(u64, Vec<(u64, u64)>)>,
}

impl Hand {
    fn section(mut self, of: u64, start: u64, blocks: &[Vec<u8>]) -> Self {
        self.sections.push((of, start, blocks.to_vec()));
        self
    }

    fn delete(mut self, of: u64, ranges: &[(u64, u64)]) -> Self {
        self.deletes.push((of, ranges.to_vec()));
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_u64(&mut out, self.sections.len() as u64);
        for (of, start, blocks) in self.sections {
            write_var_u64(&mut out, blocks.len() as u64);
            write_var_u64(&mut out, of);
            write_var_u64(&mut out, start);
            out.extend(blocks.concat());
        }
        write_var_u64(&mut out, self.deletes.len() as u64);
        for (of, ranges) in self.deletes {
            write_var_u64(&mut out, of);
            write_var_u64(&mut out, ranges.len() as u64);
            for (start, len) in ranges {
                write_var_u64(&mut out, start);
                write_var_u64(&mut out, len);
            }
        }
        out
    }
}

fn gc(len: u64) -> Vec<u8> {
    let mut out = vec![0];
    write_var_u64(&mut out, len);
    out
}

/// A block in the root type `t`.
fn root(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 1, 1, b't'], content].concat()
}

/// A block after the unit `clock` of `of`.
fn after(of: u64, clock: u64, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | kind];
    write_var_u64(&mut out, of);
    write_var_u64(&mut out, clock);
    out.extend_from_slice(content);
    out
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_str(&mut out, text);
    out
}

/// One section with one block.
fn one(block: Vec<u8>) -> Vec<u8> {
    Hand::default().section(1, 0, &[block]).bytes()
}
