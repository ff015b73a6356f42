//! How are the messages between Redis and its clients cut apart?
//!
//! Enough of RESP2 and RESP3 for a test to ask Redis something, and for a proxy to know where one answer ends and the next begins.

/// One message of Redis.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text of any kind, and numbers that are no integers.
    Text(Vec<u8>),
    /// It said no.
    Error(String),
    /// An integer.
    Number(i64),
    /// A null.
    Nothing,
    /// A list, a set, or a map as keys and values in turn.
    List(Vec<Value>),
    /// Not an answer: something that others said.
    Push(Vec<Value>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The first message in these bytes and its length, or `None` when it is not whole yet.
///
/// # Panics
/// When this is not RESP.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let line_end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[1..line_end]).expect("the first line is text");
    let mut end = line_end + 2;
    let number = || line.parse::<i64>().unwrap_or_else(|_| panic!("{line:?} is not a number"));
    let value = match bytes[0] {
        b'+' | b',' | b'#' | b'(' => Value::Text(line.into()),
        b'-' => Value::Error(line.to_owned()),
        b':' => Value::Number(number()),
        b'_' => Value::Nothing,
        b'$' | b'=' | b'!' => match usize::try_from(number()) {
            Err(_) => Value::Nothing,
            Ok(length) => {
                let text = bytes.get(end..end + length)?.to_vec();
                end += length + 2;
                if bytes.len() < end {
                    return None;
                }
                Value::Text(text)
            }
        },
        kind @ (b'*' | b'~' | b'>' | b'%') => match usize::try_from(number()) {
            Err(_) => Value::Nothing,
            Ok(count) => {
                let mut all = Vec::new();
                for _ in 0..if kind == b'%' { 2 * count } else { count } {
                    let (value, length) = parse(bytes.get(end..)?)?;
                    all.push(value);
                    end += length;
                }
                if kind == b'>' { Value::Push(all) } else { Value::List(all) }
            }
        },
        other => panic!("{:?} begins no message of Redis", other as char),
    };
    Some((value, end))
}

/// A command as Redis reads it.
#[must_use]
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}
