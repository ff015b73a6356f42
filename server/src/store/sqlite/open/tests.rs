use super::*;
use crate::store::sqlite::open_reader;

#[test]
fn connections_are_set_as_the_promises_need() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(dir.path());
    let _lock = directory.lock().unwrap();
    let check = |connection: &Connection, setting: &str, value: &str| {
        let found: rusqlite::types::Value =
            connection.query_row(&format!("PRAGMA {setting}"), [], |row| row.get(0)).unwrap();
        let found = match found {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(found, value, "{setting}");
    };
    for _created_then_found in 0..2 {
        let writer = open_writer(&directory, None).unwrap();
        let reader = open_reader(&directory.database()).unwrap();
        for connection in [&writer, &reader] {
            check(connection, "journal_mode", "wal");
            check(connection, "mmap_size", "0");
            check(connection, "cell_size_check", "1");
            check(connection, "trusted_schema", "0");
            let on = |config| connection.db_config(config).unwrap();
            assert!(on(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE));
            assert!(on(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE));
        }
        // 2 is FULL: an fsync at each commit.
        check(&writer, "synchronous", "2");
        check(&writer, "wal_autocheckpoint", "0");
        check(&writer, "secure_delete", "1");
        assert!(reader.execute("DELETE FROM meta", []).is_err());
    }
}

#[test]
fn a_line_that_is_wrong_about_itself_sets_its_log_aside_and_one_without_identity_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(dir.path());
    let _lock = directory.lock().unwrap();
    let connection = open_writer(&directory, None).unwrap();
    let insert = |name: &str, id: i64| {
        let name = LogName::new(name).unwrap();
        let row = LogRow {
            name,
            id,
            head: 0,
            trimmed: 0,
            snapshot: 0,
            entry_bytes: 0,
            snapshot_bytes: 0,
            changed_at: 0,
        };
        connection
            .execute(
                "INSERT INTO logs VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, ?4)",
                (row.name.as_str(), id, row.identity(), row.crc()),
            )
            .unwrap();
    };
    insert("a", 1);
    insert("b", 2);
    let verdict = || match check_contents(&connection) {
        Ok(_) => String::new(),
        Err(Stop::Trouble(Trouble::Damaged(what))) => what,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(verdict(), "it should list 0 logs and lists 2");
    connection.execute_batch("UPDATE meta SET value = 2 WHERE key = 'logs'").unwrap();
    assert_eq!(verdict(), "its next number is taken");
    connection.execute_batch("UPDATE meta SET value = 3 WHERE key = 'next_id'").unwrap();
    assert_eq!(verdict(), "");
    connection.execute_batch("UPDATE logs SET head = 7 WHERE name = 'b'").unwrap();
    assert_eq!(verdict(), "");
    let aside: Vec<String> = connection
        .prepare("SELECT name FROM quarantine")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(aside, ["b"]);
    connection.execute_batch("UPDATE logs SET name = 'c' WHERE name = 'b'").unwrap();
    assert_eq!(verdict(), "a line in the list of logs cannot be read");
}
