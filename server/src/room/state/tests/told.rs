//! Clients without acknowledgements, y-websocket and y-sweet: when may they call their edits safe?

use super::*;

#[test]
fn a_y_sweet_status_comes_back_when_all_before_it_is_safe_and_the_client_hears_something_meanwhile()
{
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::YWebsocket);
    let status = Bytes::from_static(&[5]);
    script.send(A, &client.type_text("one"));
    script.step(Event::Received(A, FromPeer::SyncStatus(status.clone())));
    script.at(1_000 + 2_500);
    assert_eq!(script.to(A), [ToPeer::KeepAlive]);
    script.stored();
    assert_eq!(script.to(A).last(), Some(&ToPeer::SyncStatus(status.clone())));
    // An update that was left with its author holds the status back until the full sync has brought it.
    let _lost = client.type_text("two");
    script.send(A, &client.type_text("three"));
    script.out.clear();
    script.step(Event::Received(A, FromPeer::SyncStatus(Bytes::from_static(&[6]))));
    assert!(script.to(A).is_empty());
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    script.stored();
    assert!(script.to(A).contains(&ToPeer::SyncStatus(Bytes::from_static(&[6]))));
}

#[test]
fn a_y_sweet_status_waits_for_the_edits_that_a_returning_client_has_counted_and_not_sent() {
    let (mut script, client) = (Script::open(), Client::new(7));
    let _offline = client.type_text("one");
    script.join(A, Dialect::YWebsocket, Scope::ReadWrite);
    script.step(Event::Received(A, FromPeer::SyncStep1(StateVector::default())));
    let status = ToPeer::SyncStatus(Bytes::from_static(&[1]));
    script.step(Event::Received(A, FromPeer::SyncStatus(Bytes::from_static(&[1]))));
    assert!(!script.to(A).contains(&status));
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    assert!(!script.to(A).contains(&status));
    script.stored();
    assert!(script.to(A).contains(&status));
}

#[test]
fn a_y_sweet_status_that_waited_for_the_full_sync_is_not_sent_when_an_edit_before_it_is_stored() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.join(A, Dialect::YWebsocket, Scope::ReadWrite);
    script.step(Event::Received(A, FromPeer::SyncStep1(StateVector::default())));
    script.send(A, &client.type_text("one"));
    script.send(A, &client.type_text("two"));
    let status = ToPeer::SyncStatus(Bytes::from_static(&[2]));
    script.step(Event::Received(A, FromPeer::SyncStatus(Bytes::from_static(&[2]))));
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    script.stored();
    assert!(!script.to(A).contains(&status), "only the first word is stored");
    script.stored();
    assert!(script.to(A).contains(&status));
}

#[test]
fn a_y_sweet_client_is_not_told_that_a_refused_edit_is_safe_when_it_comes_back() {
    let (mut script, client) = (Script::open(), Client::new(7));
    let status = Bytes::from_static(&[1]);
    // It says one thing here and wrote another elsewhere, under the same clocks.
    script.live(B, Dialect::Hocuspocus);
    script.send(B, &Client::new(7).type_text("other"));
    script.stored();
    let refused = client.type_text("refused");
    script.live(A, Dialect::YWebsocket);
    script.send(A, &refused);
    script.step(Event::Received(A, FromPeer::SyncStatus(status.clone())));
    assert!(!script.to(A).contains(&ToPeer::SyncStatus(status.clone())));
    script.step(Event::Leave(A));
    for _ in 0..2 {
        script.join(A, Dialect::YWebsocket, Scope::ReadWrite);
        script.step(Event::Received(A, FromPeer::SyncStep1(client.state_vector())));
        script.step(Event::Received(A, FromPeer::SyncStatus(status.clone())));
        script.step(Event::Received(A, FromPeer::SyncStep2(refused.clone())));
        assert!(
            script.has(|effect| matches!(effect, Effect::Close(A, CloseCode::UPDATE_REFUSED, _)))
        );
        script.step(Event::Received(A, FromPeer::SyncStatus(status.clone())));
        assert!(!script.to(A).contains(&ToPeer::SyncStatus(status.clone())));
        script.step(Event::Leave(A));
        script.out.clear();
    }
}

#[test]
fn a_y_sweet_reader_is_told_that_all_is_safe_only_while_it_has_no_more_than_the_room() {
    let (mut script, client) = (Script::open(), Client::new(7));
    let status = |version: u8| ToPeer::SyncStatus(Bytes::copy_from_slice(&[version]));
    let ask = |script: &mut Script, version: u8| {
        script.out.clear();
        script.step(Event::Received(A, FromPeer::SyncStatus(Bytes::copy_from_slice(&[version]))));
    };
    let asked = |script: &Script| script.to(A).iter().any(|it| matches!(it, ToPeer::SyncStep1(_)));
    script.join(A, Dialect::YWebsocket, Scope::ReadOnly);
    script.step(Event::Received(A, FromPeer::SyncStep1(StateVector::default())));
    assert!(!asked(&script), "a reader that counts nothing is not asked");
    ask(&mut script, 0);
    assert!(asked(&script) && !script.to(A).contains(&status(0)));
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    assert!(script.to(A).contains(&status(0)), "it has nothing, and hears so");

    // Its edit is refused; it comes back with it.
    let edit = client.type_text("mine");
    script.send(A, &edit);
    ask(&mut script, 1);
    assert!(!script.to(A).contains(&status(1)));
    script.step(Event::Leave(A));
    script.join(A, Dialect::YWebsocket, Scope::ReadOnly);
    script.step(Event::Received(A, FromPeer::SyncStep1(StateVector::default())));
    for _ in 0..3 {
        ask(&mut script, 1);
        assert!(asked(&script), "asked again each time: somebody else may have brought it");
        script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
        assert!(!script.to(A).contains(&status(1)));
    }
    // The client's watchdog is fed all the while.
    for round in 1..4 {
        script.out.clear();
        script.at(1_000 + round * 2_500);
        assert_eq!(script.to(A), [ToPeer::KeepAlive]);
    }

    // The same words come over a seat that may write; safe is what is stored.
    script.live(B, Dialect::Hocuspocus);
    script.send(B, &edit);
    ask(&mut script, 1);
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    assert!(!script.to(A).contains(&status(1)));
    script.stored();
    assert!(script.to(A).contains(&status(1)));
}

#[test]
fn y_websocket_clients_see_their_own_edits_come_back_even_known_ones() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::YWebsocket);
    let update = client.type_text("one");
    script.send(A, &update);
    script.stored();
    assert_eq!(script.to(A)[0], ToPeer::Update(update.clone()));
    script.out.clear();
    script.send(A, &update);
    assert!(script.to(A).contains(&ToPeer::Update(update)));
}

#[test]
fn y_websocket_clients_see_a_deletion_come_back_that_everyone_knows_already() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::YWebsocket);
    script.send(A, &client.type_text("one"));
    script.stored();
    let deletion = client.delete_text(0, 3);
    for _ in 0..2 {
        script.out.clear();
        script.send(A, &deletion);
        if script.asked.is_some() {
            script.stored();
        }
        script.at(script.now.mono + 1_000);
        assert!(script.to(A).contains(&ToPeer::Update(deletion.clone())));
    }
    // Also with a full sync, if the answer to it came too early to tell.
    script.join(B, Dialect::YWebsocket, Scope::ReadWrite);
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    script.out.clear();
    script.step(Event::Received(B, FromPeer::SyncStep2(deletion.clone())));
    let comes_back = ToPeer::Update(deletion.clone());
    assert!(!script.to(B).contains(&comes_back), "it was told by the answer");
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    script.send(A, &client.type_text("two"));
    script.stored();
    script.at(script.now.mono + 1_000);
    script.out.clear();
    script.step(Event::Received(B, FromPeer::SyncStep2(deletion)));
    assert!(script.to(B).contains(&comes_back));
}
