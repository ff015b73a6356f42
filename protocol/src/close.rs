//! With which code does a socket close, so that each generation of clients does the right thing next?
//!
//! Source: RFC 6455 §7.4, `@hocuspocus/common` `CloseEvents.ts`, y-websocket 3.1 (4400 to 4499 stop for good, all else is retried).

/// A WebSocket close code the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The peer asked, or the work is done.
    pub const NORMAL: Self = Self(1000);
    /// The bytes break the protocol. Retried by every client.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text frame where only binary has a meaning.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message above the published limit.
    pub const TOO_BIG: Self = Self(1009);
    /// Our fault; retried.
    pub const INTERNAL: Self = Self(1011);
    /// The server is being restarted; retried.
    pub const RESTART: Self = Self(1012);
    /// The server has no room now, or the peer takes nothing; retried.
    pub const TRY_LATER: Self = Self(1013);
    /// Hocuspocus' own "reset": every provider reconnects.
    pub const RESET: Self = Self(4205);
    /// Not signed in. y-websocket 3.1 and provider 2 stop for good.
    pub const UNAUTHORIZED: Self = Self(4401);
    /// Signed in, but not allowed. y-websocket 3.1 stops for good.
    pub const FORBIDDEN: Self = Self(4403);
    /// Nothing was heard in time; retried.
    pub const TIMEOUT: Self = Self(4408);
    /// An update that will never be stored. y-websocket 3.1 stops for good; older clients retry and are refused at the upgrade for a while.
    pub const UPDATE_REFUSED: Self = Self(4422);
    /// The document is set aside.
    pub const SET_ASIDE: Self = Self(4423);
    /// The storage is away; retried.
    pub const STORAGE_AWAY: Self = Self(4503);
}
