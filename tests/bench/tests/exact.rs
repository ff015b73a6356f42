//! Does every edit reach everybody exactly once? The benchmark in small: it asks for exact delivery and nothing for speed.

use commonplace_bench::crowd::{Cast, Crowd};
use commonplace_bench::machine::{Cores, cpu_of};
use commonplace_bench::server::{Kind, Server, program};
use std::time::Duration;

/// How long people type.
const TYPING: Duration = Duration::from_secs(1);

/// Nothing arrives for so long: it is missing. Generous on a busy machine.
const SETTLE: Duration = Duration::from_secs(20);

/// Everybody at once.
const AT_ONCE: u32 = 10_000;

#[track_caller]
fn check(kind: Kind) {
    if let Err(why) = program() {
        panic!("{why}");
    }
    let cores = Cores::choose().expect("there is a core");
    let server = Server::start(kind, cores).expect("the server starts");
    let cast = Cast {
        name: "exact".to_owned(),
        rooms: 3,
        clients: 8,
        writers: 3,
        rate: 25.0,
        cursors: true,
        keep: false,
    };
    let (rooms, clients, writers) = (cast.rooms, cast.clients, cast.writers);
    let mut crowd = Crowd::new(&server.endpoint, cast).expect("a crowd");
    crowd.gather(AT_ONCE).expect("everybody comes in");
    crowd.begin_texts().expect("everybody has the text");
    crowd.open_window(server.pid).expect("the server is there");
    crowd.start_typing();
    crowd.run_for(TYPING).expect("people type");
    crowd.stop_typing();
    let figures = crowd.settle(SETTLE).expect("it is told");
    assert_eq!((figures.missing, figures.duplicated, figures.ended), (0, 0, 0), "{figures:?}");
    assert!(figures.sent > 0, "nobody has typed: this test would prove nothing");
    assert_eq!(figures.delivered, figures.sent * (clients as u64 - 1), "{figures:?}");
    assert!(figures.presence > 0, "nobody's caret was seen");
    let all = |crowd: &Crowd| crowd.clients().iter().all(|client| client.unacknowledged.is_empty());
    assert!(crowd.run_until(SETTLE, all).expect("time passes"), "something is not acknowledged");
    let saved: u32 =
        crowd.clients().iter().filter(|one| one.seat < writers).map(|one| one.saved).sum();
    assert_eq!(u64::from(saved), figures.sent, "in {rooms} rooms");
    assert!(cpu_of(server.pid).expect("the server is still there") > Duration::ZERO);
}

#[test]
fn for_hocuspocus_clients() {
    check(Kind::Commonplace);
}

#[test]
fn for_y_websocket_clients() {
    check(Kind::CommonplaceYWebsocket);
}
