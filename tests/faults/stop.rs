//! SIGTERM while twenty people write.

use commonplace_protocol::close::{Client, CloseCode};
use commonplace_tests::fleet::{End, Saves, come_together, fresh, write_until_the_end, writers};
use commonplace_tests::person::{Dialect, check_kept};
use commonplace_tests::process::{Launch, run};
use futures_util::future::join_all;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::Instant;

const DOCUMENTS: u64 = 4;

/// Supervisors kill after 30 s; nobody here gives the server a reason to need half of that.
const LONGEST_STOP: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_stop_under_load_loses_nothing_and_sends_everyone_to_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut people = writers(20, DOCUMENTS);
    let saves = Saves::default();
    for round in 0..3 {
        let mut server = Launch::new(&data).start().await;
        let address = server.address;
        let everybody = join_all(
            people.iter_mut().map(|person| write_until_the_end(person, address, &saves, round)),
        );
        let until = saves.count() + 100;
        let stop = async {
            saves.reach(until).await;
            let since = Instant::now();
            server.signal(Signal::TERM);
            (server.ended().await, since.elapsed())
        };
        let (ends, (ended, took)) = tokio::join!(everybody, stop);
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let (code, said) = run(&["verify", "--data", data.to_str().expect("UTF-8")]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(took < LONGEST_STOP, "it took {took:?}");
        for end in ends {
            let End::Closed(code) = end else { panic!("a socket ended without a goodbye") };
            for client in [
                Client::YWebsocketTo3_0,
                Client::YWebsocket3_1,
                Client::Provider2,
                Client::ProviderFrom3,
            ] {
                assert!(
                    !CloseCode(code).stops(client),
                    "{client:?} does not come back after {code}"
                );
            }
        }
        let server = Launch::new(&data).start().await;
        for document in 0..DOCUMENTS {
            let kept =
                fresh(server.address, &format!("note-{document}"), Dialect::Hocuspocus).await;
            check_kept(&people, &kept);
        }
        come_together(&mut people, server.address).await;
    }
}
