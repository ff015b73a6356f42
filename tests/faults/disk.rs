//! A disk that fails, and a database that is not what it was.

use commonplace_tests::fleet::{End, Saves, fresh, hear_until, sync, write_until_the_end, writers};
use commonplace_tests::patiently;
use commonplace_tests::person::{Dialect, Person, check_kept};
use commonplace_tests::process::{Ended, Launch, dial, send};
use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn when_the_disk_fails_the_server_ends_with_words_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut people = writers(4, 1);
    let saves = Saves::default();
    // Writing beyond a megabyte fails, as on a broken disk. The shell's blocks have 512 or 1,024 bytes.
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""];
    let mut server = Launch::under(&limit, &data).start().await;
    let address = server.address;
    let everybody =
        join_all(people.iter_mut().map(|person| write_until_the_end(person, address, &saves, 1)));
    let (ends, ended) = tokio::join!(everybody, server.ended());
    assert_eq!(ended.code, Some(74), "{}", ended.log);
    assert!(ended.log.contains("Everything that was acknowledged is safe"), "{}", ended.log);
    assert!(saves.count() > 0, "it worked until then");
    assert!(ends.iter().all(|end| *end == End::Gone || *end == End::Closed(1012)), "{ends:?}");

    let server = Launch::new(&data).start().await;
    check_kept(&people, &fresh(server.address, "note-0", Dialect::YWebsocket).await);
}

async fn written_and_stopped(data: &Path) {
    let mut people = writers(1, 1);
    let saves = Saves::default();
    let server = Launch::new(data).start().await;
    let address = server.address;
    let kill = async {
        saves.reach(3).await;
        server.kill().await
    };
    tokio::join!(write_until_the_end(&mut people[0], address, &saves, 1), kill);
}

async fn does_not_start(data: &Path) -> Ended {
    match Launch::new(data).try_start().await {
        Ok(_) => panic!("it started on a database that it cannot believe"),
        Err(ended) => ended,
    }
}

#[tokio::test]
async fn a_damaged_database_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    written_and_stopped(&data).await;
    let database = data.join("commonplace.db");
    let file = std::fs::File::options().write(true).open(&database).expect("a database");
    file.write_all_at(&[0x55; 4096], 0).expect("it can be overwritten");
    // The write-ahead log would mend it.
    std::fs::remove_file(data.join("commonplace.db-wal")).expect("a write-ahead log");
    let ended = does_not_start(&data).await;
    assert_eq!(ended.code, Some(69), "{}", ended.log);
    assert!(ended.log.contains("is damaged"), "{}", ended.log);
    assert!(ended.log.contains("commonplace restore"), "it says what to do: {}", ended.log);
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    written_and_stopped(&data).await;
    for file in ["commonplace.db", "commonplace.db-wal", "commonplace.db-shm"] {
        std::fs::remove_file(data.join(file)).expect("it was there");
    }
    let ended = does_not_start(&data).await;
    assert_eq!(ended.code, Some(69), "{}", ended.log);
    assert!(ended.log.contains("its file is gone"), "{}", ended.log);
    assert!(!data.join("commonplace.db").exists(), "and everything is left as it is");
}

#[tokio::test]
async fn one_folder_serves_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let _server = Launch::new(&data).start().await;
    let ended = does_not_start(&data).await;
    assert_eq!(ended.code, Some(69), "{}", ended.log);
    assert!(ended.log.contains("is in use by process"), "{}", ended.log);
}

/// Whether appends can be expected to succeed, as a load balancer asks.
async fn is_ready(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    match answer.split(' ').nth(1) {
        Some("200") => true,
        Some("503") => false,
        _ => panic!("{answer}"),
    }
}

#[tokio::test]
async fn on_a_full_disk_words_wait_with_their_author_and_everything_saved_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    // A disk of its own, seen by the server only; its folder is the last word of the command line.
    let script =
        "for last; do :; done; mount -t tmpfs -o size=12m small \"$last\" && exec \"$0\" \"$@\"";
    let small_disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script];
    let server = match Launch::under(&small_disk, &data).try_start().await {
        Ok(server) => server,
        Err(ended) => panic!("a disk cannot be mounted here (unshare): {}", ended.log),
    };
    let mut person = Person::new(1, Dialect::Hocuspocus, "note");
    let mut socket = dial(server.address, &person.path()).await.expect("a socket");
    sync(&mut person, &mut socket).await;
    let mut random = StdRng::seed_from_u64(1);
    let message = person.write(&mut random);
    assert!(send(&mut socket, message).await);
    hear_until(&mut person, &mut socket, |person| person.unsaved() == 0).await;

    let ballast = format!("/proc/{}/root{}/ballast", server.id(), data.display());
    let mut file = std::fs::File::create(&ballast).expect("there is room for a file");
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    // What SQLite had set aside may hold a few more.
    let until_full = async {
        while is_ready(server.address).await {
            let message = person.write(&mut random);
            assert!(send(&mut socket, message).await);
        }
    };
    patiently("the disk to be found full", until_full).await;
    let kept = fresh(server.address, "note", Dialect::YWebsocket).await;
    check_kept([&person], &kept);
    assert!(kept.marks().len() < person.written as usize, "nothing unsaved is shown");

    std::fs::remove_file(&ballast).expect("it is there");
    hear_until(&mut person, &mut socket, |person| person.unsaved() == 0).await;
    assert!(is_ready(server.address).await);
    check_kept([&person], &fresh(server.address, "note", Dialect::YWebsocket).await);
}
