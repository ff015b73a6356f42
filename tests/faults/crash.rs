//! A document that ends the process is set aside, and nobody else is harmed.

use commonplace_protocol::hocuspocus::{Frame, Message, decode_server};
use commonplace_tests::Said;
use commonplace_tests::fleet::{fresh, hear_until, sync};
use commonplace_tests::person::{Dialect, Person, check_kept, text_of};
use commonplace_tests::process::{Launch, Process, dial, run, send};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes a few marks, and stays until they are saved.
async fn write_some(server: &Process, document: &str) -> Person {
    let mut random = StdRng::seed_from_u64(7);
    let mut person = Person::new(rand::random_range(1..1 << 30), Dialect::Hocuspocus, document);
    let mut socket = dial(server.address, &person.path()).await.expect("a socket");
    sync(&mut person, &mut socket).await;
    for _ in 0..5 {
        let message = person.write(&mut random);
        assert!(send(&mut socket, message).await);
    }
    hear_until(&mut person, &mut socket, |person| person.unsaved() == 0).await;
    person
}

/// Leaves behind what a process leaves that dies while it applies an edit to this document.
fn die_while_applying(data: &Path, document: &str) {
    let name = format!("doc/{document}");
    let mut slot = u16::try_from(name.len()).expect("a short name").to_le_bytes().to_vec();
    slot.extend(name.as_bytes());
    let marks = std::fs::File::options().write(true).open(data.join("applying"));
    marks.expect("the marks are there").write_all_at(&slot, 0).expect("they can be written");
}

/// What a y-websocket client is told.
async fn code_for_ywebsocket(server: &Process, document: &str) -> u16 {
    let mut socket = dial(server.address, &format!("/sync/{document}")).await.expect("a socket");
    socket.close_code().await.0
}

/// What a provider is told.
async fn reason_for_provider(server: &Process, document: &str) -> String {
    let mut person = Person::new(1, Dialect::Hocuspocus, document);
    let mut socket = dial(server.address, "/sync").await.expect("a socket");
    for message in person.hello() {
        assert!(send(&mut socket, message).await);
    }
    loop {
        let Said::Message(frame) = socket.next().await else { panic!("the socket was closed") };
        if let Ok(Frame::Document(_, Message::PermissionDenied { reason })) = decode_server(&frame)
        {
            return reason.to_owned();
        }
    }
}

#[tokio::test]
async fn a_document_that_crashed_the_server_twice_is_set_aside_and_the_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Launch::new(&data).start().await;
    let innocent = write_some(&server, "innocent").await;
    let poison = write_some(&server, "poison").await;
    server.kill().await;
    die_while_applying(&data, "poison");

    // Once is no proof.
    let server = Launch::new(&data).start().await;
    check_kept([&innocent], &fresh(server.address, "innocent", Dialect::Hocuspocus).await);
    server.kill().await;
    die_while_applying(&data, "poison");

    for _ in 0..2 {
        let server = Launch::new(&data).start().await;
        assert_eq!(code_for_ywebsocket(&server, "poison").await, 4423);
        let reason = reason_for_provider(&server, "poison").await;
        assert!(reason.contains("crashed the server twice"), "{reason}");
        check_kept([&innocent], &fresh(server.address, "innocent", Dialect::YWebsocket).await);
        server.kill().await;
    }

    // An operator sees it, can take out what is in it, and can take it back into service.
    let folder_word = data.to_str().expect("a name in UTF-8");
    let (code, said) = run(&["doc", "list", "--data", folder_word]).await;
    assert_eq!(code, Some(0), "{said}");
    let line = said.lines().find(|line| line.contains("poison")).expect("it is in the list");
    assert!(line.contains("set aside"), "{line}");
    let export = folder.path().join("export");
    let export_word = export.to_str().expect("a name in UTF-8");
    let (code, said) = run(&["doc", "export", "poison", export_word, "--data", folder_word]).await;
    assert_eq!(code, Some(0), "{said}");
    let exported = std::fs::read(&export).expect("an export");
    for clock in 0..poison.saved {
        let mark = text_of((poison.id, clock));
        assert!(exported.windows(mark.len()).any(|part| part == mark.as_bytes()), "{mark}");
    }
    let (code, said) = run(&["doc", "release", "poison", "--data", folder_word]).await;
    assert_eq!(code, Some(0), "{said}");
    let server = Launch::new(&data).start().await;
    check_kept([&poison], &fresh(server.address, "poison", Dialect::YWebsocket).await);
}

#[tokio::test]
async fn a_document_that_can_be_loaded_is_not_to_blame_however_often_the_server_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = Launch::new(&data).start().await;
    let person = write_some(&server, "note").await;
    for _ in 0..3 {
        server.kill().await;
        die_while_applying(&data, "note");
        server = Launch::new(&data).start().await;
        check_kept([&person], &fresh(server.address, "note", Dialect::Hocuspocus).await);
        // By the time an edit is saved, the record is clean again: both go through the store's one writer.
        write_some(&server, "note").await;
    }
}
