//! Updates as the hostile generator thinks of them: every field free.

use commonplace_protocol::varint::{write_var_str, write_var_u64};

pub(crate) type Id = (u64, u32);

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Gc(u32),
    Deleted(u32),
    Text(String),
    Any(Vec<u8>),
    Binary(Vec<u8>),
    Embed(String),
    Format(String, String),
    Type(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Parent {
    Root(String),
    Type(Id),
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) origin: Option<Id>,
    pub(crate) right: Option<Id>,
    /// Written when there is neither origin nor right origin.
    pub(crate) parent: Parent,
    pub(crate) key: Option<String>,
    pub(crate) content: Content,
}

impl Block {
    pub(crate) fn len(&self) -> u32 {
        match &self.content {
            Content::Gc(len) | Content::Deleted(len) => *len,
            Content::Text(text) => text.encode_utf16().count() as u32,
            Content::Any(values) => values.len() as u32,
            Content::Binary(_) | Content::Embed(_) | Content::Format(..) | Content::Type(_) => 1,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let kind = match &self.content {
            Content::Gc(len) => {
                out.push(0);
                write_var_u64(out, u64::from(*len));
                return;
            }
            Content::Deleted(_) => 1,
            Content::Binary(_) => 3,
            Content::Text(_) => 4,
            Content::Embed(_) => 5,
            Content::Format(..) => 6,
            Content::Type(_) => 7,
            Content::Any(_) => 8,
        };
        let mut info = kind;
        info |= if self.origin.is_some() { 0x80 } else { 0 };
        info |= if self.right.is_some() { 0x40 } else { 0 };
        info |= if self.key.is_some() { 0x20 } else { 0 };
        out.push(info);
        for (client, clock) in [self.origin, self.right].into_iter().flatten() {
            write_var_u64(out, client);
            write_var_u64(out, u64::from(clock));
        }
        if self.origin.is_none() && self.right.is_none() {
            match &self.parent {
                Parent::Root(name) => {
                    out.push(1);
                    write_var_str(out, name);
                }
                Parent::Type((client, clock)) => {
                    out.push(0);
                    write_var_u64(out, *client);
                    write_var_u64(out, u64::from(*clock));
                }
            }
            if let Some(key) = &self.key {
                write_var_str(out, key);
            }
        }
        match &self.content {
            Content::Gc(_) => {}
            Content::Deleted(len) => write_var_u64(out, u64::from(*len)),
            Content::Binary(bytes) => {
                write_var_u64(out, bytes.len() as u64);
                out.extend(bytes);
            }
            Content::Text(text) | Content::Embed(text) => write_var_str(out, text),
            Content::Format(key, value) => {
                write_var_str(out, key);
                write_var_str(out, value);
            }
            Content::Type(kind) => {
                out.push(*kind);
                if *kind == 3 {
                    write_var_str(out, "p");
                }
            }
            Content::Any(values) => {
                write_var_u64(out, values.len() as u64);
                for value in values {
                    out.extend([125, value & 0x3f]);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    pub(crate) sections: Vec<(u64, u32, Vec<Block>)>,
    pub(crate) deletes: Vec<(u64, Vec<(u32, u32)>)>,
}

impl Update {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_u64(&mut out, self.sections.len() as u64);
        for (client, start, blocks) in &self.sections {
            write_var_u64(&mut out, blocks.len() as u64);
            write_var_u64(&mut out, *client);
            write_var_u64(&mut out, u64::from(*start));
            for block in blocks {
                block.write(&mut out);
            }
        }
        write_var_u64(&mut out, self.deletes.len() as u64);
        for (client, ranges) in &self.deletes {
            write_var_u64(&mut out, *client);
            write_var_u64(&mut out, ranges.len() as u64);
            for (start, len) in ranges {
                write_var_u64(&mut out, u64::from(*start));
                write_var_u64(&mut out, u64::from(*len));
            }
        }
        out
    }
}
