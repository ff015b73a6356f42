//! Are the rules of the house kept?
//!
//! What a reviewer would otherwise say again and again, as tests: who may import whom, how a file begins, how long it may get, what may not be in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines in one source file. Longer ones hold more than one idea.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the root").to_owned()
}

/// Every file below `folder` with this ending, with its path from the root and its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("an entry of a folder").path();
            let name =
                path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", "node_modules", "dist", "corpus", "artifacts", "artefacts"]
                    .contains(&name.as_str())
                {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let shown = path
                    .strip_prefix(root())
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                found.push((shown, fs::read_to_string(&path).expect("a source file is text")));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} below {folder}: this test would prove nothing");
    found.sort();
    found
}

/// Everything that ships: no tests.
fn sources() -> Vec<(String, String)> {
    let mut all = files("server/src", ".rs");
    all.extend(files("protocol/src", ".rs"));
    all.retain(|(path, _)| !path.ends_with("/tests.rs") && !path.contains("/tests/"));
    all
}

/// Fails with every line of `all` for which `bad` has something to say.
#[track_caller]
fn check(all: &[(String, String)], bad: impl Fn(&str, &str) -> Option<&'static str>) {
    let mut complaints = Vec::new();
    for (path, text) in all {
        for (number, line) in text.lines().enumerate() {
            if let Some(complaint) = bad(path, line) {
                complaints.push(format!("{path}:{}: {complaint}\n    {}", number + 1, line.trim()));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_file_opens_with_the_question_it_answers() {
    let all: Vec<_> = sources().into_iter().chain(files("tests", "main.rs")).collect();
    let silent: Vec<&String> =
        all.iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "these do not: {silent:?}");
}

#[test]
fn one_file_holds_one_idea() {
    let mut all = files("protocol", ".rs");
    all.extend(files("server", ".rs"));
    all.extend(files("tests", ".rs"));
    all.extend(files("web-client/src", ".ts"));
    all.extend(files("web-client/src", ".svelte"));
    let long: Vec<_> = all
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}

#[test]
fn imports_go_downward() {
    // Lower layers first. A file may use its own layer and those before it.
    const LAYERS: [(&str, &[&str]); 6] = [
        (
            "server/src/store/",
            &[
                "crate::room",
                "crate::rooms",
                "crate::gate",
                "crate::connection",
                "crate::http",
                "crate::access",
            ],
        ),
        (
            "server/src/gate/",
            &[
                "crate::room",
                "crate::rooms",
                "crate::store",
                "crate::connection",
                "crate::http",
                "tokio",
                "yrs",
            ],
        ),
        (
            "server/src/room/state",
            &[
                "crate::rooms",
                "crate::connection",
                "crate::http",
                "crate::outbox",
                "tokio",
                "yrs::",
                "std::time::Instant",
                "std::time::SystemTime",
            ],
        ),
        (
            "server/src/room/presence",
            &[
                "crate::rooms",
                "crate::connection",
                "crate::store",
                "tokio",
                "yrs::",
                "std::time::Instant",
                "std::time::SystemTime",
            ],
        ),
        ("server/src/room/", &["crate::connection", "crate::http", "crate::config"]),
        (
            "protocol/src/",
            &[
                "tokio",
                "yrs",
                "rusqlite",
                "std::net",
                "std::fs",
                "std::io",
                "std::time::Instant",
                "std::time::SystemTime",
            ],
        ),
    ];
    check(&sources(), |path, line| {
        let line = line.trim_start();
        let imports = line.starts_with("use ") || line.starts_with("pub use ");
        let forbidden = LAYERS
            .iter()
            .filter(|(layer, _)| path.starts_with(layer))
            .flat_map(|(_, names)| *names);
        let breaks = |name: &&str| {
            line.contains(&format!(" {name}")) && (name.ends_with(':') || is_whole(line, name))
        };
        (imports && forbidden.into_iter().any(breaks)).then_some("imports from a layer above it")
    });
}

/// Whether `name` stands in `line` as a whole path and not as the beginning of a longer word.
fn is_whole(line: &str, name: &str) -> bool {
    line.split(name)
        .nth(1)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

#[test]
fn only_the_document_knows_the_engine() {
    check(&sources(), |path, line| {
        let uses = line.contains("yrs::") && !line.trim_start().starts_with("//");
        (uses && path != "server/src/room/document.rs")
            .then_some("only room/document.rs speaks to yrs")
    });
}

#[test]
fn what_ships_does_not_unwrap_or_leave_things_for_later() {
    check(&sources(), |_, line| {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains(".unwrap()") {
            return Some("say with `expect` why it cannot fail");
        }
        let later = ["TODO", "FIXME", "XXX", "unimplemented!", "todo!"];
        later.iter().any(|word| line.contains(word)).then_some("unfinished work does not merge")
    });
}

#[test]
fn no_queue_is_unbounded() {
    check(&sources(), |_, line| {
        let names = ["unbounded_channel(", "mpsc::channel()", "unbounded()"];
        names.iter().any(|name| line.contains(name)).then_some("every queue has a limit")
    });
}

#[test]
fn no_test_sleeps_or_is_switched_off() {
    let mut all = files("tests", ".rs");
    all.extend(files("server/src", "tests.rs"));
    all.extend(files("tests", ".mjs"));
    all.extend(files("web-client/src", ".test.ts"));
    // In virtual time a sleep costs nothing and hides nothing.
    all.retain(|(path, text)| {
        path != "tests/tidy/main.rs" && !text.contains("start_paused = true")
    });
    check(&all, |_, line| {
        let sleeps = ["thread::sleep(", "time::sleep(", "waitForTimeout("];
        let off =
            ["#[ignore", "it.skip(", "test.skip(", "describe.skip(", "it.todo(", "test.todo("];
        if sleeps.iter().any(|word| line.contains(word)) {
            return Some("wait for a signal, not for time");
        }
        off.iter()
            .any(|word| line.contains(word))
            .then_some("a test that does not run proves nothing")
    });
}

#[test]
fn every_dependency_says_what_for() {
    for manifest in ["Cargo.toml", "server/Cargo.toml", "protocol/Cargo.toml", "tests/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
        let mut is_dependency = false;
        for line in text.lines() {
            if line.starts_with('[') {
                is_dependency = line.contains("dependencies");
                continue;
            }
            let inherits = line.contains(".workspace = true")
                || line.contains("workspace = true")
                || line.contains("path = ");
            let says = line.contains('#');
            assert!(
                !is_dependency || line.trim().is_empty() || inherits || says,
                "{manifest}: {line}"
            );
        }
    }
}

#[test]
fn the_pages_speak_of_files_that_are_there() {
    for page in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let mut seen = 0;
        for word in text.split(['`', '(', ')', ' ', '\n']) {
            let is_path = ["server/", "protocol/", "tests/", "web-client/"]
                .iter()
                .any(|top| word.starts_with(top));
            if is_path && !word.contains(['*', '{', '<']) {
                seen += 1;
                assert!(
                    root().join(word.trim_end_matches(['.', ',', ':', ';'])).exists(),
                    "{page} speaks of {word}"
                );
            }
        }
        assert!(seen > 5, "{page} names no files: this test would prove nothing");
    }
}
