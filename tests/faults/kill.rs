//! `kill -9`, again and again, while twenty people write.
//!
//! After each kill the next process is asked first by people who have never been there, before any writer can bring back what was lost: what
//! was acknowledged to anyone, and what was shown to anyone, has to be in its answer.

use commonplace_tests::fleet::{Saves, come_together, fresh, write_until_the_end, writers};
use commonplace_tests::person::{Dialect, check_kept};
use commonplace_tests::process::{Launch, run};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often a server is killed. `FAULTS_ROUNDS` says how many servers there are, one after the other.
const KILLS: u64 = 60;

const WRITERS: u64 = 20;
const DOCUMENTS: u64 = 4;

/// The server lives for up to so many saves. Often it is killed while everybody is still coming back.
const SAVES_A_LIFE: u64 = 60;

#[tokio::test]
async fn nothing_acknowledged_or_seen_is_lost_by_kills() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    for _ in 0..number("FAULTS_ROUNDS").unwrap_or(1) {
        let seed = number("FAULTS_SEED").unwrap_or_else(rand::random);
        println!("the same choices again: FAULTS_SEED={seed}");
        sixty_kills(seed).await;
    }
}

async fn sixty_kills(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut people = writers(WRITERS, DOCUMENTS);
    let saves = Saves::default();
    let mut server = Launch::new(&data).start().await;
    for life in 0..KILLS {
        let address = server.address;
        let until = saves.count() + random.random_range(0..SAVES_A_LIFE);
        let everybody =
            join_all(people.iter_mut().map(|person| {
                write_until_the_end(person, address, &saves, seed.wrapping_add(life))
            }));
        let killer = async {
            saves.reach(until).await;
            server.kill().await
        };
        let (_, ended) = tokio::join!(everybody, killer);
        assert_eq!(ended.signal, Some(9), "it ended by itself: {}", ended.log);

        server = Launch::new(&data).start().await;
        for document in 0..DOCUMENTS {
            let dialect = if life % 2 == 0 { Dialect::YWebsocket } else { Dialect::Hocuspocus };
            let kept = fresh(server.address, &format!("note-{document}"), dialect).await;
            check_kept(&people, &kept);
        }
    }
    come_together(&mut people, server.address).await;
    let log = server.kill().await.log;
    let (code, said) = run(&["verify", "--data", data.to_str().expect("a name in UTF-8")]).await;
    assert_eq!(code, Some(0), "{said}");
    let (written, saved): (u32, u32) = people
        .iter()
        .fold((0, 0), |(written, saved), person| (written + person.written, saved + person.saved));
    assert_eq!(written, saved, "in the end everything is saved");
    let taken_back: usize = people.iter().map(|person| person.taken_back.len()).sum();
    let caught = log.matches("while this log was being applied").count();
    println!("{caught} kills met a document being applied");
    println!("{KILLS} kills, {written} marks, {taken_back} taken back, nothing lost");
    assert!(u64::from(written) > KILLS * WRITERS && taken_back > 0, "somebody wrote");
}
