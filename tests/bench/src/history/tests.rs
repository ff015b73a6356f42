use super::*;

/// What somebody reads who gets the history's updates, and what its text should be.
#[track_caller]
fn check(acts: &[Act], expected: Option<&str>) {
    let mut pen = Pen::new();
    pen.replay(acts, usize::MAX).expect("the acts fit each other");
    let history = pen.finish("a test");
    let updates: Vec<Box<[u8]>> =
        history.updates.iter().map(|update| update.as_slice().into()).collect();
    let read = History::read(&updates).expect("the updates can be read");
    assert!(read == history.text, "a reader has another text than the author");
    if let Some(expected) = expected {
        assert!(read == expected, "the text is not what was recorded");
    }
}

#[test]
fn invented_authors_agree() {
    let acts = invented::write(5_000);
    assert!(acts.iter().any(|act| act.patches[0].deleted > 1), "somebody takes a sentence out");
    check(&acts, None);
}

#[test]
fn recordings_say_in_the_end_what_was_recorded() {
    // The recordings are not part of the project.
    let Some(folder) = recordings() else {
        println!("there are no recordings here: BENCH_TRACES names their folder");
        return;
    };
    for file in recorded::FILES {
        let (acts, text) = recorded::read_one(&folder.join(file)).expect("a recording");
        check(&acts, Some(&text));
    }
}
