//! What does this server count, and under which names?
//!
//! Every name is here, with its description; hot paths use handles that are looked up once for the process.
//!
//! The recorder belongs to the process, not to a server: several servers in one process (as in tests) share it, and the handles stay valid.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{LazyLock, OnceLock};

/// Buckets for times between an edit and its safety: from a fast disk's fsync to a store in trouble. Seconds.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Who renders what has been counted.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The handles of the hot paths.
static HANDLES: LazyLock<Handles> = LazyLock::new(Handles::new);

struct Handles {
    connections: Gauge,
    rooms: Gauge,
    peers: Gauge,
    frames_received: Counter,
    frames_sent: Counter,
    bytes_received: Counter,
    bytes_sent: Counter,
    updates_received: Counter,
    update_frames_sent: Counter,
    updates_shown: Counter,
    update_frames_encoded: Counter,
    updates_waiting: Gauge,
    append_seconds: Histogram,
    ack_seconds: Histogram,
    inbox_full: Counter,
    outbox_refused: Counter,
    logs_healed: Counter,
    bus_said: Counter,
    bus_heard: Counter,
    bus_missed: Counter,
    bus_unread: Counter,
    present_elsewhere: Gauge,
}

impl Handles {
    fn new() -> Self {
        install();
        Self {
            connections: gauge!("commonplace_connections"),
            rooms: gauge!("commonplace_rooms"),
            peers: gauge!("commonplace_peers"),
            frames_received: counter!("commonplace_frames_received_total"),
            frames_sent: counter!("commonplace_frames_sent_total"),
            bytes_received: counter!("commonplace_bytes_received_total"),
            bytes_sent: counter!("commonplace_bytes_sent_total"),
            updates_received: counter!("commonplace_updates_received_total"),
            update_frames_sent: counter!("commonplace_update_frames_sent_total"),
            updates_shown: counter!("commonplace_updates_shown_total"),
            update_frames_encoded: counter!("commonplace_update_frames_encoded_total"),
            updates_waiting: gauge!("commonplace_updates_waiting"),
            append_seconds: histogram!("commonplace_append_seconds"),
            ack_seconds: histogram!("commonplace_ack_seconds"),
            inbox_full: counter!("commonplace_room_inbox_full_total"),
            outbox_refused: counter!("commonplace_outbox_refused_total"),
            logs_healed: counter!("commonplace_logs_healed_total"),
            bus_said: counter!("commonplace_bus_said_total"),
            bus_heard: counter!("commonplace_bus_heard_total"),
            bus_missed: counter!("commonplace_bus_missed_total"),
            bus_unread: counter!("commonplace_bus_unread_total"),
            present_elsewhere: gauge!("commonplace_present_elsewhere"),
        }
    }
}

/// Installs the recorder once for the process, with the names' descriptions. Without it (another recorder is there already) nothing is
/// rendered here, and the calls below go to whoever was first.
pub fn install() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        let handle = builder.ok()?.install_recorder().ok()?;
        describe();
        Some(handle)
    });
}

fn describe() {
    describe_gauge!("commonplace_connections", "WebSockets open now");
    describe_gauge!("commonplace_rooms", "Rooms (documents in memory) open now");
    describe_gauge!("commonplace_peers", "Seats taken in rooms now");
    describe_counter!("commonplace_frames_received_total", "WebSocket messages received");
    describe_counter!("commonplace_frames_sent_total", "WebSocket messages sent");
    describe_counter!("commonplace_bytes_received_total", "Bytes received in WebSocket messages");
    describe_counter!("commonplace_bytes_sent_total", "Bytes sent in WebSocket messages");
    describe_counter!(
        "commonplace_updates_received_total",
        "Updates received from clients (Update and SyncStep2)"
    );
    describe_counter!(
        "commonplace_update_frames_sent_total",
        "Frames with updates sent to clients: fewer than updates × peers, thanks to merging"
    );
    describe_counter!(
        "commonplace_updates_shown_total",
        "Stored updates shown to everyone; divided by the frames encoded it is how many were merged into one"
    );
    describe_counter!(
        "commonplace_update_frames_encoded_total",
        "Merged updates made for broadcasts, each sent to many"
    );
    describe_gauge!(
        "commonplace_updates_waiting",
        "Updates that have passed the gate and are not yet durable"
    );
    describe_histogram!(
        "commonplace_append_seconds",
        "How long the store takes to make one entry durable"
    );
    describe_histogram!(
        "commonplace_ack_seconds",
        "From the receipt of an update to its acknowledgement"
    );
    describe_counter!(
        "commonplace_room_inbox_full_total",
        "Times a connection waited because a room's inbox was full"
    );
    describe_counter!(
        "commonplace_outbox_refused_total",
        "Times a peer fell behind because its outbox was full"
    );
    describe_counter!(
        "commonplace_logs_healed_total",
        "Times a log had gone back in time and a room put back what it lost"
    );
    describe_counter!("commonplace_bus_said_total", "Messages said to other instances");
    describe_counter!("commonplace_bus_heard_total", "Messages heard from other instances");
    describe_counter!(
        "commonplace_bus_missed_total",
        "Times a room may have missed something that another instance said, and asked who is there"
    );
    describe_counter!(
        "commonplace_bus_unread_total",
        "Messages of other instances that could not be read: of another release, or damaged"
    );
    describe_gauge!(
        "commonplace_present_elsewhere",
        "Clients that are shown here as present by way of another instance"
    );
    describe_gauge!(
        "commonplace_durability",
        "1 for the class in which edits are called saved: fsync, replicated=N or memory"
    );
    describe_counter!("commonplace_refusals_total", "What was refused, by reason");
    describe_counter!("commonplace_connections_closed_total", "WebSockets that ended, by reason");
}

/// Everything counted so far, in Prometheus' text format. `None` when another recorder was installed first.
#[must_use]
pub fn render() -> Option<String> {
    install();
    let handle = RECORDER.get()?.as_ref()?;
    // Without upkeep the histograms' raw samples would grow between scrapes; a scrape is often enough.
    handle.run_upkeep();
    Some(handle.render())
}

/// Drains what the histograms have gathered since the last call, so that a server nobody scrapes does not grow. Called every few seconds.
pub fn upkeep() {
    if let Some(Some(handle)) = RECORDER.get() {
        handle.run_upkeep();
    }
}

/// A WebSocket has opened.
pub fn connection_opened() {
    HANDLES.connections.increment(1.0);
}

/// A WebSocket has ended.
pub fn connection_closed(reason: &'static str) {
    HANDLES.connections.decrement(1.0);
    counter!("commonplace_connections_closed_total", "reason" => reason).increment(1);
}

/// A WebSocket message has been received.
pub fn frame_received(bytes: usize) {
    HANDLES.frames_received.increment(1);
    HANDLES.bytes_received.increment(bytes as u64);
}

/// WebSocket messages have been sent, with so many bytes in them.
pub fn frames_sent(frames: usize, bytes: usize) {
    HANDLES.frames_sent.increment(frames as u64);
    HANDLES.bytes_sent.increment(bytes as u64);
}

/// A client's update (`Update` or `SyncStep2`) has reached its room.
pub fn update_received() {
    HANDLES.updates_received.increment(1);
}

/// A broadcast has put `frames` frames with updates into outboxes.
pub fn update_frames_sent(frames: u64) {
    HANDLES.update_frames_sent.increment(frames);
}

/// `updates` stored updates were merged into `frames` frames for everyone.
pub fn shown(updates: usize, frames: usize) {
    HANDLES.updates_shown.increment(updates as u64);
    HANDLES.update_frames_encoded.increment(frames as u64);
}

/// More (positive) or fewer updates wait between the gate and the store.
pub fn updates_waiting(change: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a room holds some thousands at most")]
    HANDLES.updates_waiting.increment(change as f64);
}

/// Edits are called saved in this class (`fsync`, `replicated=1`, `memory`).
pub fn durability(class: String) {
    gauge!("commonplace_durability", "class" => class).set(1.0);
}

/// Something was refused: a message, a join, an upgrade.
pub fn refusal(reason: &'static str) {
    counter!("commonplace_refusals_total", "reason" => reason).increment(1);
}

/// The store has made one entry durable.
pub fn append_seconds(seconds: f64) {
    HANDLES.append_seconds.record(seconds);
}

/// An update has been acknowledged this long after its receipt.
pub fn ack_seconds(seconds: f64) {
    HANDLES.ack_seconds.record(seconds);
}

/// Something was said to other instances.
pub fn bus_said() {
    HANDLES.bus_said.increment(1);
}

/// Another instance has said something.
pub fn bus_heard() {
    HANDLES.bus_heard.increment(1);
}

/// Other instances may have said something that a room did not hear.
pub fn bus_missed() {
    HANDLES.bus_missed.increment(1);
}

/// Another instance has said something that could not be read.
pub fn bus_unread() {
    HANDLES.bus_unread.increment(1);
}

/// More (positive) or fewer clients are present by way of other instances.
pub fn present_elsewhere(change: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a room holds some thousands at most")]
    HANDLES.present_elsewhere.increment(change as f64);
}

/// A room has opened.
pub fn room_opened() {
    HANDLES.rooms.increment(1.0);
}

/// A room has closed.
pub fn room_closed() {
    HANDLES.rooms.decrement(1.0);
}

/// Seats were taken (positive) or left (negative).
pub fn peers(delta: i32) {
    HANDLES.peers.increment(f64::from(delta));
}

/// A connection had to wait for a room.
pub fn inbox_full() {
    HANDLES.inbox_full.increment(1);
}

/// A frame found no room in a peer's outbox.
pub fn outbox_refused() {
    HANDLES.outbox_refused.increment(1);
}

/// A log had gone back in time.
pub fn log_healed() {
    HANDLES.logs_healed.increment(1);
}

#[cfg(test)]
mod tests;
