//! How do several instances in one process hear each other?
//!
//! For tests and simulations: a hall in which everyone hears everyone, without delay, unless somebody is made deaf and dumb.

use super::{Bus, Ear, Teller, ear};
use crate::store::LogName;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where instances of one process meet.
#[derive(Clone, Debug, Default)]
pub struct Hall {
    listeners: Arc<Mutex<HashMap<LogName, Vec<Listener>>>>,
}

#[derive(Debug)]
struct Listener {
    voice: Arc<Mutex<State>>,
    teller: Teller,
}

#[derive(Debug, Default)]
struct State {
    is_cut_off: bool,
}

/// One instance's way into a [`Hall`].
#[derive(Clone, Debug)]
pub struct Voice {
    hall: Hall,
    state: Arc<Mutex<State>>,
}

/// Held for a look or a change, never over an await. A panic inside could only be out of memory.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    /// An empty hall.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another instance enters.
    #[must_use]
    pub fn voice(&self) -> Voice {
        Voice { hall: self.clone(), state: Arc::default() }
    }

    /// How many topics anybody has listened to.
    #[must_use]
    pub fn topics(&self) -> usize {
        locked(&self.listeners).len()
    }
}

impl Voice {
    /// From now on this instance neither hears nor is heard, as if it were gone.
    pub fn cut_off(&self) {
        locked(&self.state).is_cut_off = true;
    }

    /// It is back, and has missed something (B4).
    pub fn restore(&self) {
        locked(&self.state).is_cut_off = false;
        for listener in locked(&self.hall.listeners).values().flatten() {
            if Arc::ptr_eq(&listener.voice, &self.state) {
                listener.teller.missed();
            }
        }
    }

    fn is_cut_off(&self) -> bool {
        locked(&self.state).is_cut_off
    }
}

impl Bus for Voice {
    fn listen(&self, topic: &LogName) -> Ear {
        let (teller, ear) = ear();
        if !self.is_cut_off() {
            teller.missed();
        }
        let mut listeners = locked(&self.hall.listeners);
        // B6: those who left are forgotten when somebody comes.
        listeners.retain(|_, there| {
            there.retain(|listener| !listener.teller.is_closed());
            !there.is_empty()
        });
        let listener = Listener { voice: Arc::clone(&self.state), teller };
        listeners.entry(topic.clone()).or_default().push(listener);
        ear
    }

    fn say(&self, topic: &LogName, message: Bytes) {
        if self.is_cut_off() {
            return;
        }
        for listener in locked(&self.hall.listeners).get(topic).into_iter().flatten() {
            if !locked(&listener.voice).is_cut_off {
                listener.teller.tell(message.clone());
            }
        }
    }
}
