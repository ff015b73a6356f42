use super::*;
use commonplace_protocol::presence;
use commonplace_protocol::update::parse;

#[test]
fn an_edit_is_one_clock_of_its_writer() {
    let author = client_id(3, 5);
    let writer = client_id(3, 0);
    for clock in [0, 1, 200, 70_000] {
        let mut bytes = Vec::new();
        character(&mut bytes, writer, clock, author, 0);
        let update = parse(&bytes).expect("an edit is well-formed");
        let [section] = update.sections() else { panic!("an edit has one section") };
        assert_eq!((section.client.get(), section.start, section.end), (writer, clock, clock + 1));
        assert_eq!(seat_of(section.client), Some((3, 0)));
    }
}

#[test]
fn a_room_begins_with_a_line_for_everyone() {
    let bytes = lines(client_id(0, 9), 8);
    let update = parse(&bytes).expect("the lines are well-formed");
    assert_eq!(update.sections()[0].end, line_units(8));
}

#[test]
fn a_cursor_is_presence() {
    let bytes = cursor(client_id(1, 2), 7, 41);
    let entries = presence::decode(&bytes).expect("a cursor is well-formed");
    assert_eq!((entries[0].client.get(), entries[0].clock), (client_id(1, 2), 7));
}
