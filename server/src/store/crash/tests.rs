use super::*;

fn name(text: &str) -> LogName {
    LogName::new(text).unwrap()
}

fn left(path: &Path) -> Vec<LogName> {
    CrashMarkers::open(path).unwrap().1
}

#[test]
fn what_was_being_applied_is_found_and_what_was_over_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("applying");
    let (markers, none) = CrashMarkers::open(&path).unwrap();
    assert_eq!(none, []);
    drop(markers.begin(&name("over")));
    let running = markers.begin(&name("note/long"));
    let _short = markers.begin(&name("n"));
    assert_eq!(left(&path), [name("n"), name("note/long")]);
    drop(running);
    assert_eq!(left(&path), [name("n")]);
    markers.clear_all().unwrap();
    assert_eq!(left(&path), []);
}

#[test]
fn the_longest_running_is_the_first_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (markers, _) = CrashMarkers::open(&dir.path().join("applying")).unwrap();
    assert!(markers.longest_running().is_none());
    let first = markers.begin(&name("first"));
    let _second = markers.begin(&name("second"));
    assert_eq!(markers.longest_running().unwrap().0, name("first"));
    drop(first);
    assert_eq!(markers.longest_running().unwrap().0, name("second"));
}

#[test]
fn the_sixty_fifth_is_applied_unmarked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("applying");
    let (markers, _) = CrashMarkers::open(&path).unwrap();
    let longest = "x".repeat(MAX_LOG_NAME - 3);
    let running: Vec<_> =
        (0..=SLOTS).map(|n| markers.begin(&name(&format!("{longest}{n:03}")))).collect();
    assert_eq!(left(&path).len(), SLOTS);
    drop(running);
    assert_eq!(left(&path), []);
    let _again = markers.begin(&name("again"));
    assert_eq!(left(&path), [name("again")]);
}

#[test]
fn concurrent_rooms_never_share_a_slot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("applying");
    let (markers, _) = CrashMarkers::open(&path).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let markers = &markers;
            scope.spawn(move || {
                let own = name(&format!("room{n}"));
                for _ in 0..500 {
                    let applying = markers.begin(&own);
                    assert_eq!(markers.name_in(applying.slot.unwrap()).unwrap(), Some(own.clone()));
                }
            });
        }
    });
    assert_eq!(left(&path), []);
}
