use super::*;

#[track_caller]
fn check_u64(value: u64, bytes: &[u8]) {
    let mut out = Vec::new();
    write_var_u64(&mut out, value);
    assert_eq!(out, bytes, "writing {value}");
    assert_eq!(var_u64_len(value), bytes.len());
    let mut reader = Reader::new(bytes);
    assert_eq!(reader.var_u64_minimal("n"), Ok(value));
    assert!(reader.is_empty());
    for cut in 0..bytes.len() {
        assert_eq!(Reader::new(&bytes[..cut]).var_u64("n"), Err(Malformed::Truncated("n")));
    }
}

#[test]
fn var_uint_round_trips() {
    check_u64(0, &[0]);
    check_u64(127, &[0x7f]);
    check_u64(128, &[0x80, 1]);
    check_u64(300, &[0xac, 0x02]);
    check_u64(MAX_VAR_UINT, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]);
}

#[test]
fn var_uint_refuses_what_javascript_cannot_hold() {
    let over = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert_eq!(Reader::new(&over).var_u64("n"), Err(Malformed::OutOfRange("n")));
    assert_eq!(Reader::new(&[0x80; 9]).var_u64("n"), Err(Malformed::OutOfRange("n")));
}

#[test]
fn padded_numbers_are_read_but_not_minimal() {
    let padded = [0x81, 0x00];
    assert_eq!(Reader::new(&padded).var_u64("n"), Ok(1));
    assert!(Reader::new(&padded).var_u64_minimal("n").is_err());
}

#[test]
fn var_int_reads_sign_and_groups() {
    for (bytes, value) in
        [(&[0x00][..], 0), (&[0x01], 1), (&[0x41], -1), (&[0x80, 0x01], 64), (&[0xc0, 0x01], -64)]
    {
        assert_eq!(Reader::new(bytes).var_i64("n"), Ok(value));
    }
    assert_eq!(Reader::new(&[0xff; 10]).var_i64("n"), Err(Malformed::OutOfRange("n")));
}

#[test]
fn a_claimed_length_is_not_believed() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2];
    assert_eq!(Reader::new(&claim).var_bytes("blob"), Err(Malformed::Truncated("blob")));
}
