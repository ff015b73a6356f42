//! Why does a connection end, and what is its client told?

use commonplace_protocol::Malformed;
use commonplace_protocol::close::{Client, CloseCode};
use commonplace_protocol::sync::EDIT;
use std::borrow::Cow;

/// What a peer, or the way to it, did wrong. Nobody else notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The socket ended without a goodbye.
    #[error("the socket ended without a goodbye")]
    Vanished,
    /// Nothing at all was heard, not even a pong.
    #[error("nothing was heard for too long")]
    Silent,
    /// The peer does not take what is sent.
    #[error("the peer takes nothing")]
    TakesNothing,
    /// A message takes too long to arrive.
    #[error("a message takes too long to arrive")]
    SlowMessage,
    /// Needlessly many fragments.
    #[error("a message comes in needlessly many fragments")]
    Fragments,
    /// Too many pings or pongs.
    #[error("too many control frames")]
    ControlFlood,
    /// Not RFC 6455.
    #[error("the bytes are not a WebSocket")]
    NotWebSocket,
    /// A text message: the protocol is binary.
    #[error("only binary messages have a meaning here")]
    Text,
    /// A message above the limit of the connection's state.
    #[error("a message is too big")]
    TooBig,
    /// A message that is none.
    #[error("a message cannot be read")]
    Malformed(#[source] Malformed),
    /// Nobody was admitted in time.
    #[error("no document was opened in time")]
    NoDocument,
}

impl Fault {
    /// The close code, and the reason in the counters.
    fn parts(self) -> (CloseCode, &'static str) {
        match self {
            Self::Vanished => (CloseCode::NORMAL, "vanished"),
            Self::Silent => (CloseCode::TIMEOUT, "silent"),
            Self::TakesNothing => (CloseCode::TRY_LATER, "takes_nothing"),
            Self::SlowMessage => (CloseCode::TIMEOUT, "slow_message"),
            Self::Fragments => (CloseCode::POLICY, "fragments"),
            Self::ControlFlood => (CloseCode::POLICY, "control_flood"),
            Self::NotWebSocket => (CloseCode::PROTOCOL_ERROR, "not_websocket"),
            Self::Text => (CloseCode::UNSUPPORTED, "text"),
            // P43: the client comes back, and brings the same change in its full sync.
            Self::Malformed(Malformed::TooLarge(EDIT)) => (CloseCode::RESET, "large_edit"),
            Self::TooBig | Self::Malformed(Malformed::TooLarge(_)) => {
                (CloseCode::TOO_BIG, "too_big")
            }
            Self::Malformed(_) => (CloseCode::PROTOCOL_ERROR, "malformed"),
            Self::NoDocument => (CloseCode::TIMEOUT, "no_document"),
        }
    }
}

/// The longest reason that fits a close frame.
const LONGEST_REASON: usize = 123;

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client said goodbye.
    ByClient,
    /// Nothing can be said any more: the socket is gone, or stuck.
    Cut(Fault),
    /// The client is told why.
    Told {
        /// For its machine.
        code: CloseCode,
        /// For people: at most [`LONGEST_REASON`] bytes of it are sent.
        reason: Cow<'static, str>,
        /// For the counters.
        counted_as: &'static str,
    },
}

impl Ending {
    /// An ending that the server wants.
    pub(crate) fn told(
        code: CloseCode,
        reason: impl Into<Cow<'static, str>>,
        counted_as: &'static str,
    ) -> Self {
        Self::Told { code, reason: reason.into(), counted_as }
    }

    /// The reason in the counters.
    pub(crate) fn counted_as(&self) -> &'static str {
        match self {
            Self::ByClient => "by_client",
            Self::Cut(fault) => fault.parts().1,
            Self::Told { counted_as, .. } => counted_as,
        }
    }

    /// Whether coming back in the same way will end in the same way: the codes at which y-websocket 3.1 stops for good.
    pub(crate) const fn is_permanent(&self) -> bool {
        match self {
            Self::Told { code, .. } => is_permanent(*code),
            Self::ByClient | Self::Cut(_) => false,
        }
    }
}

/// Whether a client that comes back with the same request will be closed with this code again. y-websocket 3.1 knows them.
pub(crate) const fn is_permanent(code: CloseCode) -> bool {
    code.stops(Client::YWebsocket3_1)
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        match fault {
            // A close frame behind bytes that nobody takes would wait with them.
            Fault::Vanished | Fault::TakesNothing => Self::Cut(fault),
            _ => {
                let (code, counted_as) = fault.parts();
                let reason = match fault {
                    Fault::Malformed(why) => Cow::Owned(why.to_string()),
                    _ => Cow::Owned(fault.to_string()),
                };
                Self::Told { code, reason, counted_as }
            }
        }
    }
}

/// The part of a reason that fits a close frame.
pub(crate) fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(LONGEST_REASON)]
}
