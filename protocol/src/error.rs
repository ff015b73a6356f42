//! Why were these bytes not a message?

/// What is wrong with bytes a peer sent. The peer's fault, always: the answer is a close code or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end inside a value.
    #[error("the message ends in the middle of {0}")]
    Truncated(&'static str),
    /// A value is followed by bytes nobody asked for.
    #[error("{0} unexpected bytes after the end of the message")]
    Trailing(usize),
    /// A number is outside what the field may hold.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Text is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A tag has no meaning here (unknown, or not allowed in this direction or state).
    #[error("{what} {tag} is not known here")]
    UnknownTag {
        /// Which tag.
        what: &'static str,
        /// The value found.
        tag: u64,
    },
    /// A value is larger, longer or deeper than the published limit.
    #[error("{0} exceeds its limit")]
    TooLarge(&'static str),
    /// A rule of `PROTOCOL.md` that none of the other variants names.
    #[error("{0}")]
    Rule(&'static str),
}
