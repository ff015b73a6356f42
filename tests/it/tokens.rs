//! An access with rules that tests can see through: the token says who it is for, and what it allows.

use async_trait::async_trait;
use commonplace::access::{Access, Admission, Ask, Denied, Principal, Scope};
use commonplace_tests::{Server, Setup};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// `ada:write`, `ben:read`; anything else is refused.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    valid_for: Option<Duration>,
    is_revoked: AtomicBool,
}

impl Tokens {
    pub(crate) fn valid_for(duration: Duration) -> Self {
        Self { valid_for: Some(duration), ..Self::default() }
    }

    /// From now on nobody gets in.
    pub(crate) fn revoke(&self) {
        self.is_revoked.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Access for Tokens {
    async fn admit(&self, ask: &Ask) -> Result<Admission, Denied> {
        let (who, may) = ask.token.split_once(':').unwrap_or((&ask.token, ""));
        let scope = match may {
            _ if self.is_revoked.load(Ordering::SeqCst) => {
                return Err(Denied { reason: "revoked".to_owned() });
            }
            "write" => Scope::ReadWrite,
            "read" => Scope::ReadOnly,
            _ => {
                return Err(Denied {
                    reason: format!("{may:?} is not enough for {}", ask.document),
                });
            }
        };
        Ok(Admission { principal: Principal(who.into()), scope, valid_for: self.valid_for })
    }
}

pub(crate) async fn with_tokens(tokens: Tokens) -> Server {
    Setup { access: Arc::new(tokens), ..Setup::default() }.start().await
}
