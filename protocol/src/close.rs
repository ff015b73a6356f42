//! With which code does a socket close, so that each generation of clients does the right thing next?
//!
//! Source: RFC 6455 §7.4, `@hocuspocus/common` `CloseEvents.ts`, y-websocket 3.1 (4400 to 4499 stop for good, all else is
//! retried), and the clients themselves: `vectors/close-codes.json` is what they really do.
//!
//! | code | y-websocket ≤ 3.0, 4.0.0-3 | y-websocket 3.1 | provider 2 | provider 3, 4 |
//! |---|---|---|---|---|
//! | 1009 | retries | retries | **stops** | retries |
//! | 4401, 4403 | retries | **stops** | **stops** | retries |
//! | 4408, 4422, 4423 | retries | **stops** | retries | retries |
//! | all others here | retries | retries | retries | retries |

/// A WebSocket close code the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The peer asked, or the work is done.
    pub const NORMAL: Self = Self(1000);
    /// The bytes break the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text frame where only binary has a meaning.
    pub const UNSUPPORTED: Self = Self(1003);
    /// More messages in a time than anyone needs.
    pub const POLICY: Self = Self(1008);
    /// A message above the published limit that would come again after a reconnect. Provider 2 stops for good.
    pub const TOO_BIG: Self = Self(1009);
    /// Our fault.
    pub const INTERNAL: Self = Self(1011);
    /// The server is being restarted.
    pub const RESTART: Self = Self(1012);
    /// The server has no room now, or the peer takes nothing.
    pub const TRY_LATER: Self = Self(1013);
    /// Hocuspocus' own "reset": come back and sync anew.
    pub const RESET: Self = Self(4205);
    /// Not signed in. y-websocket 3.1 and provider 2 stop for good.
    pub const UNAUTHORIZED: Self = Self(4401);
    /// Signed in, but not allowed. y-websocket 3.1 and provider 2 stop for good.
    pub const FORBIDDEN: Self = Self(4403);
    /// An update that will never be stored. y-websocket 3.1 stops for good; all others retry, and are refused at the
    /// upgrade or at authentication for a while.
    pub const UPDATE_REFUSED: Self = Self(4422);
    /// The document is set aside. y-websocket 3.1 stops for good.
    pub const SET_ASIDE: Self = Self(4423);
    /// The storage is away.
    pub const STORAGE_AWAY: Self = Self(4503);
    /// Nothing was heard in time. Hocuspocus says 4408, but that is in the band in which y-websocket 3.1 stops for good.
    pub const TIMEOUT: Self = Self(4504);

    /// All of them, for whoever tests them one by one.
    pub const ALL: [Self; 15] = [
        Self::NORMAL,
        Self::PROTOCOL_ERROR,
        Self::UNSUPPORTED,
        Self::POLICY,
        Self::TOO_BIG,
        Self::INTERNAL,
        Self::RESTART,
        Self::TRY_LATER,
        Self::RESET,
        Self::UNAUTHORIZED,
        Self::FORBIDDEN,
        Self::UPDATE_REFUSED,
        Self::SET_ASIDE,
        Self::STORAGE_AWAY,
        Self::TIMEOUT,
    ];

    /// Whether this generation of clients gives up after this code. If not, it will be back within seconds.
    #[must_use]
    pub const fn stops(self, client: Client) -> bool {
        match client {
            Client::YWebsocketTo3_0 | Client::ProviderFrom3 => false,
            Client::YWebsocket3_1 => self.0 >= 4400 && self.0 < 4500,
            Client::Provider2 => {
                matches!(self, Self::TOO_BIG | Self::UNAUTHORIZED | Self::FORBIDDEN)
            }
        }
    }
}

/// Clients that treat close codes alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// y-websocket up to 3.0, `@y/websocket` 4.0.0-3: nothing stops them.
    YWebsocketTo3_0,
    /// y-websocket 3.1.
    YWebsocket3_1,
    /// `@hocuspocus/provider` 2.
    Provider2,
    /// `@hocuspocus/provider` 3 and 4: nothing stops them.
    ProviderFrom3,
}
