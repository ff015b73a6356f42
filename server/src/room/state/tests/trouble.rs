//! Do people learn why nothing is saved?

use super::*;

#[test]
fn people_are_told_why_nothing_is_saved_and_when_it_is_again() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::YWebsocket);
    let said = |script: &Script, peer| -> Vec<String> {
        let texts = script.to(peer).into_iter().filter_map(|message| match message {
            ToPeer::Stateless(text) => Some(text),
            _ => None,
        });
        texts.collect()
    };
    script.send(A, &client.type_text("hello"));
    let begun = script.now.mono;
    script.step(Event::Stored(Err(StoreError::Unknown)));
    script.at(begun + 1_000);
    assert!(said(&script, A).is_empty(), "a short failure is no news");
    assert!(script.has(|effect| matches!(effect, Effect::WakeAt(at) if *at == begun + 2_000)));
    script.at(begun + 2_000);
    assert_eq!(said(&script, A), [r#"{"storage":"away"}"#]);
    script.join(PeerId(3), Dialect::Hocuspocus, Scope::ReadWrite);
    assert_eq!(said(&script, PeerId(3)), [r#"{"storage":"away"}"#], "newcomers hear of it");
    script.step(Event::Stored(Err(StoreError::Full)));
    script.stored();
    let heard = [r#"{"storage":"away"}"#, r#"{"storage":"full"}"#, r#"{"storage":"well"}"#];
    assert_eq!(said(&script, A), heard);
    assert!(said(&script, B).is_empty(), "its dialect has no place for it");
}
