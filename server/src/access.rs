//! Who may open which document, and what may they do there?
//!
//! Asked once for each document on each connection, again when a client sends a new token, and again when an admission runs out.

use async_trait::async_trait;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The name of a document as clients say it: 1 to `MAX_DOCUMENT_NAME` bytes, no control characters. Compared bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentName(Arc<str>);

impl DocumentName {
    /// Checks the name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits =
            !name.is_empty() && name.len() <= commonplace_protocol::limits::MAX_DOCUMENT_NAME;
        (fits && !name.chars().any(char::is_control)).then(|| Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who the server says somebody is. In the sandbox every connection is a principal of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(pub Arc<str>);

/// What a peer may do in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read, and be seen.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

impl Scope {
    /// How Hocuspocus providers are told.
    #[must_use]
    pub const fn on_the_wire(self) -> commonplace_protocol::hocuspocus::Scope {
        match self {
            Self::ReadOnly => commonplace_protocol::hocuspocus::Scope::ReadOnly,
            Self::ReadWrite => commonplace_protocol::hocuspocus::Scope::ReadWrite,
        }
    }
}

/// One request for a document.
#[derive(Clone)]
pub struct Ask {
    /// Which document.
    pub document: DocumentName,
    /// What the client presents; empty when it presents nothing.
    pub token: String,
    /// Where it comes from.
    pub remote: IpAddr,
    /// A number unique to the connection within this process.
    pub connection: u64,
}

/// Without the token, so that no log ever holds one.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("document", &self.document)
            .field("remote", &self.remote)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// A yes.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who this is.
    pub principal: Principal,
    /// What they may do.
    pub scope: Scope,
    /// After this long the client is asked for a fresh token.
    pub valid_for: Option<Duration>,
}

/// A no. The reason goes to the client as it is, so it says what to change and nothing about others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// In words a person can act on.
    pub reason: String,
}

/// Decides. Called concurrently.
#[async_trait]
pub trait Access: Send + Sync + fmt::Debug + 'static {
    /// May this connection open this document?
    async fn admit(&self, ask: &Ask) -> Result<Admission, Denied>;
}

/// The token that asks the sandbox for a read-only seat.
pub const SANDBOX_READ_ONLY_TOKEN: &str = "read-only";

/// The sandbox (`--open`): everyone may write everything; the token `read-only` asks for less.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sandbox;

#[async_trait]
impl Access for Sandbox {
    async fn admit(&self, ask: &Ask) -> Result<Admission, Denied> {
        let scope =
            if ask.token == SANDBOX_READ_ONLY_TOKEN { Scope::ReadOnly } else { Scope::ReadWrite };
        Ok(Admission {
            principal: Principal(format!("connection-{}", ask.connection).into()),
            scope,
            valid_for: None,
        })
    }
}

/// Without a lab and without `--open` nobody gets in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shut;

#[async_trait]
impl Access for Shut {
    async fn admit(&self, _: &Ask) -> Result<Admission, Denied> {
        Err(Denied {
            reason: "this server is not open: start it with --open to try it out".to_owned(),
        })
    }
}
