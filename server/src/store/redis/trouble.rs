//! What do Redis' errors mean for us?

use crate::store::StoreError;
use redis::{RedisError, ServerError, Value};

/// Why Redis did not do what it was asked, by what we do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No memory left: nothing was written.
    Full,
    /// It said no, or could not be asked: nothing was written. In plain words.
    Refused(String),
    /// The same, because what we speak to takes no writes any more: another one may be in charge now.
    NotPrimary(String),
    /// The script is not there: nothing was done. Load it and ask again.
    NoScript,
    /// No answer, or half of one: nobody knows whether it was done.
    Lost(String),
    /// A key holds something else than we put there.
    Damaged(String),
}

impl Trouble {
    /// What the caller of something that reads is told.
    pub(crate) fn reading(self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            Self::Damaged(words) => StoreError::Corrupt(words),
            Self::Refused(words) | Self::NotPrimary(words) | Self::Lost(words) => {
                StoreError::Away(words)
            }
            Self::NoScript => StoreError::Away("Redis forgets the scripts it is given".into()),
        }
    }

    /// What the caller of something that writes is told: a lost answer is not a refusal.
    pub(crate) fn writing(self) -> StoreError {
        match self {
            Self::Lost(_) => StoreError::Unknown,
            other => other.reading(),
        }
    }

    /// Whether this is an answer of a Redis that can still be read from.
    pub(crate) const fn is_in_touch(&self) -> bool {
        matches!(self, Self::Full | Self::NoScript | Self::Damaged(_))
    }

    /// What an error that Redis answered means.
    pub(crate) fn of_answer(error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let refused = |words: &str| Self::Refused(words.to_owned());
        match error.code() {
            "OOM" => Self::Full,
            "NOSCRIPT" => Self::NoScript,
            "MISCONF" => refused("Redis cannot save its data to disk, so it takes no writes"),
            "READONLY" => Self::NotPrimary("this Redis is a replica and takes no writes".into()),
            "LOADING" => refused("Redis is still loading its data"),
            "MASTERDOWN" => Self::NotPrimary("this Redis is a replica without a primary".into()),
            "CLUSTERDOWN" => refused("the Redis cluster is down"),
            "TRYAGAIN" => refused("the Redis cluster is moving this log"),
            "NOREPLICAS" => refused("Redis has too few replicas to take writes"),
            "BUSY" => refused("Redis is busy with somebody's script"),
            "MOVED" | "ASK" => {
                refused("this Redis is part of a cluster and was asked as if it stood alone")
            }
            "NOPERM" => Self::Refused(format!("the Redis user may not do this: {details}")),
            "NOAUTH" | "WRONGPASS" => refused("Redis does not accept the user and password"),
            "WRONGTYPE" => Self::Damaged("a key holds another type of value".into()),
            // A write that failed half way through is a bug of ours; nobody knows what it left.
            code => Self::Lost(format!("Redis answered {code} {details}")),
        }
    }

    /// What an error that the client library found means: the connection is of no use any more, or not even there.
    pub(crate) fn of_connection(error: &RedisError) -> Self {
        if error.is_timeout() {
            Self::Lost("Redis did not answer in time".into())
        } else {
            Self::Lost(format!("the connection to Redis was lost ({error})"))
        }
    }

    /// Why a connection could not be made.
    pub(crate) fn of_connecting(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Refused("Redis does not answer".into());
        }
        if error.is_connection_refusal() {
            return Self::Refused("Redis is not running where it should be".into());
        }
        match error.code() {
            Some("LOADING") => Self::Refused("Redis is still loading its data".into()),
            Some("NOAUTH" | "WRONGPASS") => {
                Self::Refused("Redis does not accept the user and password".into())
            }
            _ => Self::Refused(format!("no connection to Redis ({error})")),
        }
    }
}

/// Turns an error that Redis answered into ours.
pub(crate) fn checked(value: Value) -> Result<Value, Trouble> {
    match value {
        Value::ServerError(error) => Err(Trouble::of_answer(&error)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests;
