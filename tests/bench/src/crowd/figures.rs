//! What was counted, and what does it come to?

use crate::{Outcome, machine};
use commonplace_protocol::ids::Clock;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies are told apart to three digits, in microseconds, up to two minutes.
const DIGITS: u8 = 3;
const LONGEST_MICROS: u64 = 120_000_000;

/// What is counted between two moments.
#[derive(Debug)]
pub struct Tally {
    from: u64,
    to: u64,
    /// Edits sent.
    sent: u64,
    /// Frames that came, of all kinds.
    frames: u64,
    /// Bytes of messages that came.
    bytes: u64,
    /// Frames that came about who is here.
    presence: u64,
    /// Frames that came with edits.
    updates: u64,
    /// Edits that came to somebody else than their author, while it was counted.
    delivered: u64,
    /// The same since the crowd came.
    pub delivered_ever: u64,
    server: Duration,
    load: Duration,
    latest: u64,
    latencies: Histogram<u64>,
    acks: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS).expect("the bounds are in order")
        };
        Self {
            from: u64::MAX,
            to: u64::MAX,
            sent: 0,
            frames: 0,
            bytes: 0,
            presence: 0,
            updates: 0,
            delivered: 0,
            delivered_ever: 0,
            server: Duration::ZERO,
            load: Duration::ZERO,
            latest: 0,
            latencies: histogram(),
            acks: histogram(),
        }
    }
}

impl Tally {
    pub(super) fn open(now: u64, server: Duration) -> Outcome<Self> {
        Ok(Self { from: now, server, load: machine::cpu_of_this()?, ..Self::default() })
    }

    fn is_open(&self, now: u64) -> bool {
        now >= self.from && now < self.to
    }

    /// A message has come.
    pub(super) fn frame(&mut self, len: usize, now: u64) {
        if self.is_open(now) {
            self.frames += 1;
            self.bytes += len as u64;
        }
    }

    /// It held edits.
    pub(super) fn update(&mut self, now: u64) {
        self.updates += u64::from(self.is_open(now));
    }

    /// It was about who is here.
    pub(super) fn presence(&mut self, now: u64) {
        self.presence += u64::from(self.is_open(now));
    }

    /// An edit was sent.
    pub(super) fn sent(&mut self, now: u64) {
        self.sent += u64::from(self.is_open(now));
    }

    pub(super) fn close(&mut self, now: u64, server: Duration) -> Outcome<()> {
        self.to = now;
        self.server = server.saturating_sub(self.server);
        self.load = machine::cpu_of_this()?.saturating_sub(self.load);
        Ok(())
    }

    /// Somebody typed so much later than they were due: the load's core does not keep up.
    pub(super) fn was_late(&mut self, nanos: u64) {
        self.latest = self.latest.max(nanos);
    }

    /// Edits of one author have come to somebody else.
    pub(super) fn delivered(&mut self, from: Clock, to: Clock, sent: Option<&Vec<u64>>, now: u64) {
        let edits = u64::from(to - from);
        self.delivered_ever += edits;
        if self.is_open(now) {
            self.delivered += edits;
        }
        let times = sent.and_then(|sent| sent.get(from as usize..to as usize)).unwrap_or_default();
        for sent in times {
            if self.is_open(*sent) {
                self.latencies.saturating_record((now - sent) / 1000);
            }
        }
    }

    /// An edit that was sent then is acknowledged now.
    pub(super) fn acknowledged(&mut self, sent: u64, now: u64) {
        if self.is_open(sent) {
            self.acks.saturating_record((now - sent) / 1000);
        }
    }

    pub(super) fn figures(
        &self,
        missing: u64,
        duplicated: u64,
        ended: usize,
        why: Option<String>,
    ) -> Figures {
        let millis = |histogram: &Histogram<u64>, quantile| {
            histogram.value_at_quantile(quantile) as f64 / 1000.0
        };
        Figures {
            seconds: (self.to - self.from) as f64 / 1e9,
            sent: self.sent,
            delivered: self.delivered,
            frames: self.frames,
            bytes: self.bytes,
            presence: self.presence,
            updates: self.updates,
            server_cpu: self.server,
            load_cpu: self.load,
            latest_ms: self.latest as f64 / 1e6,
            p50_ms: millis(&self.latencies, 0.5),
            p99_ms: millis(&self.latencies, 0.99),
            ack_p50_ms: millis(&self.acks, 0.5),
            ack_p99_ms: millis(&self.acks, 0.99),
            acks: self.acks.len(),
            missing,
            duplicated,
            ended,
            why,
        }
    }
}

/// What one run comes to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How long it was counted.
    pub seconds: f64,
    /// Edits sent.
    pub sent: u64,
    /// Edits that came to somebody else than their author.
    pub delivered: u64,
    /// Frames that came.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Frames about who is here.
    pub presence: u64,
    /// Frames with edits.
    pub updates: u64,
    /// What the server spent.
    pub server_cpu: Duration,
    /// What the load spent.
    pub load_cpu: Duration,
    /// The latest anybody typed, compared to when they were due.
    pub latest_ms: f64,
    /// Half of the edits came within this.
    pub p50_ms: f64,
    /// Ninety-nine of a hundred came within this.
    pub p99_ms: f64,
    /// Half of the edits were acknowledged within this.
    pub ack_p50_ms: f64,
    /// Ninety-nine of a hundred were.
    pub ack_p99_ms: f64,
    /// Edits that were acknowledged.
    pub acks: u64,
    /// Edits that never came to somebody, since the crowd came.
    pub missing: u64,
    /// Edits that came again.
    pub duplicated: u64,
    /// Clients that were lost on the way.
    pub ended: usize,
    /// Why one of them was.
    pub why: Option<String>,
}

impl Figures {
    /// Server time for one edit delivered to one client, in microseconds.
    #[must_use]
    pub fn micros_each(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.delivered.max(1) as f64
    }

    /// How much of its core the server used, and the load of its own.
    #[must_use]
    pub fn busy(&self) -> (f64, f64) {
        let of = |cpu: Duration| cpu.as_secs_f64() / self.seconds.max(1e-9);
        (of(self.server_cpu), of(self.load_cpu))
    }
}
