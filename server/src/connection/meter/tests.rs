use super::*;

const PING: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
const EMPTY_FRAGMENT: &[u8] = &[0x00, 0x80, 1, 2, 3, 4];

fn frame(first: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(0x80 | len as u8),
        126..65536 => bytes.extend([0x80 | 126, (len >> 8) as u8, len as u8]),
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([9; 4]);
    bytes.extend(std::iter::repeat_n(0xff, len));
    bytes
}

#[test]
fn frames_of_every_length_end_where_they_end_however_they_are_cut() {
    let now = Instant::now();
    for len in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
        for cut in [1, 2, 3, 7, 14, 1000, usize::MAX] {
            let mut meter = Meter::new(now);
            let bytes = frame(0x82, len);
            let (last, before) = bytes.split_last().expect("a header at least");
            for chunk in before.chunks(cut.min(before.len())) {
                assert_eq!(meter.saw(chunk, now), Ok(()));
                assert!(!meter.is_between_messages(), "{len} bytes cut by {cut}");
            }
            assert_eq!(meter.saw(&[*last], now), Ok(()));
            assert!(meter.is_between_messages(), "{len} bytes cut by {cut}");
        }
    }
}

#[test]
fn a_fragmented_message_ends_with_its_last_fragment_and_pings_may_come_between() {
    let now = Instant::now();
    let mut meter = Meter::new(now);
    for (bytes, between) in [
        (frame(0x02, 3), false),
        (PING.to_vec(), false),
        (frame(0x00, 3), false),
        (frame(0x80, 3), true),
        (PING.to_vec(), true),
    ] {
        assert_eq!(meter.saw(&bytes, now), Ok(()));
        assert_eq!(meter.is_between_messages(), between);
    }
}

#[test]
fn ten_control_frames_a_second_and_no_more() {
    let now = Instant::now();
    let mut meter = Meter::new(now);
    let flood =
        |meter: &mut Meter, now| (0..100).take_while(|_| meter.saw(PING, now).is_ok()).count();
    assert_eq!(flood(&mut meter, now), 10);
    assert_eq!(flood(&mut meter, now + Duration::from_secs(1)), 10);
}

#[test]
fn empty_fragments_are_not_progress() {
    let now = Instant::now();
    let mut meter = Meter::new(now);
    assert_eq!(meter.saw(&frame(0x02, 0), now), Ok(()));
    let before = meter.deadline();
    let taken = (0..5000).take_while(|_| meter.saw(EMPTY_FRAGMENT, now).is_ok()).count();
    assert_eq!((taken, meter.deadline()), (1023, before));
}

#[test]
fn a_slow_upload_has_time_as_long_as_it_moves() {
    let now = Instant::now();
    let mut meter = Meter::new(now);
    assert_eq!(meter.deadline(), None);
    assert_eq!(meter.saw(&frame(0x82, 1 << 20)[..14 + 80 * 1024], now), Ok(()));
    assert_eq!(meter.deadline(), Some(now + Duration::from_secs(20)));
}

#[test]
fn large_fragments_may_be_many() {
    let now = Instant::now();
    let mut meter = Meter::new(now);
    assert_eq!(meter.saw(&frame(0x02, 1000), now), Ok(()));
    assert!((0..3000).all(|_| meter.saw(&frame(0x00, 1000), now).is_ok()));
}
