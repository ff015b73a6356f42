use super::*;
use yrs::Text;

struct Anyone;

impl Ownership for Anyone {
    fn may_write_as(&mut self, _: ClientId) -> bool {
        true
    }
}

fn typed(words: &[&str]) -> (Doc, Vec<Bytes>) {
    let doc = Doc::with_options({
        let mut options = Options::with_client_id(yrs::block::ClientID::new(7));
        options.offset_kind = OffsetKind::Utf16;
        options
    });
    let text = doc.get_or_insert_text("text");
    let updates = words
        .iter()
        .map(|word| {
            let mut transaction = doc.transact_mut();
            text.insert(&mut transaction, 0, word);
            Bytes::from(transaction.encode_update_v1())
        })
        .collect();
    (doc, updates)
}

fn load(updates: &[Bytes]) -> Document {
    let mut document = Document::new();
    for update in updates {
        let admitted = document.admit(update, &mut Anyone).expect("an honest update passes");
        document.apply(update, &admitted.measured).expect("yrs takes it");
    }
    document
}

#[test]
fn a_state_loads_as_the_same_document() {
    let (_, updates) = typed(&["one ", "two ", "🦀 "]);
    let mut document = load(&updates);
    let state = document.state();
    assert_eq!(reload_check(&state), Ok(()));
    let mut again = Document::restore(&state).expect("our own state loads");
    assert_eq!(again.state_vector(), document.state_vector());
    assert_eq!(again.state(), state);
}

#[test]
fn a_damaged_state_does_not_pass_the_reload_check() {
    let (_, updates) = typed(&["one ", "two "]);
    let state = load(&updates).state();
    assert!(reload_check(&state.slice(..state.len() - 1)).is_err());
}

#[test]
fn the_encoded_state_is_shared_until_the_next_change() {
    let (_, updates) = typed(&["one", "two"]);
    let mut document = load(&updates[..1]);
    let (first, second) = (document.state(), document.state());
    assert_eq!(first.as_ptr(), second.as_ptr());
    let admitted = document.admit(&updates[1], &mut Anyone).expect("an honest update passes");
    document.apply(&updates[1], &admitted.measured).expect("yrs takes it");
    assert_ne!(document.state(), first);
}

#[test]
fn a_diff_holds_what_is_missing() {
    let (_, updates) = typed(&["one", "two"]);
    let known = load(&updates[..1]).state_vector().clone();
    let diff = load(&updates).diff(&known);
    let mut behind = load(&updates[..1]);
    let admitted = behind.admit(&diff, &mut Anyone).expect("a diff passes");
    behind.apply(&diff, &admitted.measured).expect("yrs takes it");
    assert_eq!(behind.state(), load(&updates).state());
}

#[test]
fn an_update_that_keeps_the_engine_too_long_is_given_up() {
    let doc = Doc::with_options(Options::with_client_id(yrs::block::ClientID::new(7)));
    let text = doc.get_or_insert_text("text");
    let mut transaction = doc.transact_mut();
    for _ in 0..2 * MAX_BLOCKS_PER_TRANSACTION {
        text.insert(&mut transaction, 0, "x");
    }
    let update = transaction.encode_update_v1();
    let mut document = Document::new();
    let admitted = document.admit(&update, &mut Anyone).expect("an honest update passes");
    let outcome = document.apply_within(&update, &admitted.measured, Duration::ZERO);
    assert!(matches!(outcome, Err(Broken(reason)) if reason.contains("longer")));
}
