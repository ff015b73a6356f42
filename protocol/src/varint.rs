//! How does lib0 write numbers, strings and byte arrays?
//!
//! Source: `lib0` 0.2 `src/encoding.js` and `src/decoding.js`. [`Reader`] never reserves memory for a claimed length and
//! tells the end of input between values (`is_empty`) from the end inside one ([`Malformed::Truncated`]).

use crate::error::Malformed;

/// Largest varUint lib0 writes and reads: `Number.MAX_SAFE_INTEGER`.
pub const MAX_VAR_UINT: u64 = (1 << 53) - 1;

/// Reads lib0 values off the front of a byte slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Succeeds when nothing is left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing(self.rest.len())) }
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed::Truncated(what))?;
        self.rest = rest;
        Ok(first)
    }

    /// Exactly `len` bytes, borrowed.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// varUint: groups of 7 bits, least significant first, 0x80 means more follow. At most 2^53 - 1, at most 8 bytes.
    /// Padded (non-minimal) encodings within 8 bytes are accepted, as lib0 does; see [`Reader::var_u64_minimal`].
    pub fn var_u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..56).step_by(7) {
            let byte = self.u8(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if value > MAX_VAR_UINT {
                    Err(Malformed::OutOfRange(what))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Malformed::OutOfRange(what))
    }

    /// varUint in its shortest form only: what is stored and relayed has one spelling.
    pub fn var_u64_minimal(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let before = self.rest;
        let value = self.var_u64(what)?;
        let used = before.len() - self.rest.len();
        if used == var_u64_len(value) {
            Ok(value)
        } else {
            Err(Malformed::Rule("a number is padded with empty groups"))
        }
    }

    /// varUint that fits 32 bits.
    pub fn var_u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        u32::try_from(self.var_u64(what)?).map_err(|_| Malformed::OutOfRange(what))
    }

    /// varInt: like varUint, but the first byte holds 6 bits and 0x40 is the sign. Magnitude below 2^53.
    pub fn var_i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        let first = self.u8(what)?;
        let mut value = u64::from(first & 0x3f);
        let mut more = first & 0x80 != 0;
        let mut shift = 6;
        while more {
            if shift > 48 {
                return Err(Malformed::OutOfRange(what));
            }
            let byte = self.u8(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            more = byte & 0x80 != 0;
            shift += 7;
        }
        let value = i64::try_from(value)
            .ok()
            .filter(|v| v.unsigned_abs() <= MAX_VAR_UINT)
            .ok_or(Malformed::OutOfRange(what))?;
        Ok(if first & 0x40 == 0 { value } else { -value })
    }

    /// A length and that many bytes. The length is only believed as far as there are bytes.
    pub fn var_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.var_u64(what)?;
        let len = usize::try_from(len).map_err(|_| Malformed::Truncated(what))?;
        self.take(len, what)
    }

    /// A length and that many bytes of UTF-8.
    pub fn var_str(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.var_bytes(what)?).map_err(|_| Malformed::NotUtf8(what))
    }
}

/// How many bytes [`write_var_u64`] uses.
#[must_use]
pub const fn var_u64_len(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// How many bytes [`write_var_bytes`] uses for this many.
#[must_use]
pub const fn var_bytes_len(len: usize) -> usize {
    var_u64_len(len as u64) + len
}

/// Appends a varUint.
pub fn write_var_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a length and the bytes.
pub fn write_var_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_var_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length and the text as UTF-8.
pub fn write_var_str(out: &mut Vec<u8>, text: &str) {
    write_var_bytes(out, text.as_bytes());
}

#[cfg(test)]
mod tests;
