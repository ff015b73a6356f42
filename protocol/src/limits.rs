//! How much is too much? Every limit of the wire, with its reason.

/// Client ids are JavaScript safe integers: 2^53 - 1.
pub const MAX_CLIENT_ID: u64 = (1 << 53) - 1;

/// Clocks (and clock + length) stay below 2^31: yrs compares them as `i32` in places, and the gap logic breaks above.
pub const MAX_CLOCK: u32 = (1 << 31) - 1;

/// Document names: long enough for any path a Yjs app uses, short enough for a log key and a log line. Bytes of UTF-8.
pub const MAX_DOCUMENT_NAME: usize = 512;

/// The part after the NUL in a Hocuspocus session address; providers send 11 characters. Bytes.
pub const MAX_SESSION_ID: usize = 64;

/// A token: generous for a JWT with claims, far below the size that costs memory before anyone is known. Bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// One message before its sender is admitted: an auth message with the largest token fits. Bytes.
pub const MAX_MESSAGE_BEFORE_AUTH: usize = 16 * 1024;

/// One live message. A pasted chapter is about 100 KiB. Bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// A client's first `SyncStep2`, which may carry a whole offline document. Also the largest WebSocket message. Bytes.
pub const MAX_INITIAL_SYNC: usize = 16 * 1024 * 1024;

/// One awareness message: a crowd relayed by an old client. Bytes.
pub const MAX_AWARENESS_MESSAGE: usize = 64 * 1024;

/// One person's awareness state as JSON text. Bytes.
pub const MAX_AWARENESS_STATE: usize = 4 * 1024;

/// Awareness clocks count renewals, four a minute: 2^31 of them outlast everyone, and the room may add to one without a care.
pub const MAX_AWARENESS_CLOCK: u32 = (1 << 31) - 1;

/// One stateless message (an application's own text). Bytes.
pub const MAX_STATELESS: usize = 64 * 1024;

/// How deep JSON and lib0 `any` values may nest: no editor comes near, and decoders recurse per level.
pub const MAX_VALUE_DEPTH: usize = 64;

/// y-sweet's sync status is one counter; room for the longest. Bytes.
pub const MAX_SYNC_STATUS: usize = 16;

/// The zero bytes that y-websocket 4 may leave in place of replies: one for each message of a frame we sent. Bytes.
pub const MAX_PADDING: usize = 16;

/// A provider's version, such as `4.8.0`. Bytes.
pub const MAX_CLIENT_VERSION: usize = 64;

/// Why somebody leaves, in words for a log. RFC 6455 allows 123 bytes on a close frame; the same here.
pub const MAX_CLOSE_REASON: usize = 123;
