use super::*;
use std::task::Waker;

fn next(tail: &mut OutboxTail) -> Option<Outgoing> {
    match tail.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken,
        Poll::Pending => None,
    }
}

fn frame(len: usize) -> Bytes {
    Bytes::from(vec![7; len])
}

#[test]
fn o1_a_frame_over_the_budget_is_refused_and_does_not_count() {
    let (outbox, mut tail) = outbox();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES)), Ok(()));
    assert_eq!(outbox.push(frame(1)), Err(Full));
    assert_eq!(outbox.bytes(), OUTBOX_BYTES);
    assert!(matches!(next(&mut tail), Some(Outgoing::Frame(taken)) if taken.len() == OUTBOX_BYTES));
    assert_eq!((outbox.bytes(), next(&mut tail)), (0, None));
}

#[test]
fn o1_the_number_of_frames_is_bounded_too() {
    let (outbox, _tail) = outbox();
    let taken = (0..OUTBOX_FRAMES + 5).filter(|_| outbox.push(frame(1)).is_ok()).count();
    assert_eq!(taken, OUTBOX_FRAMES);
}

#[test]
fn o2_an_empty_outbox_takes_a_frame_of_any_size() {
    let (outbox, _tail) = outbox();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES * 2)), Ok(()));
    assert_eq!(outbox.push(frame(1)), Err(Full));
}

#[test]
fn o3_a_refusal_is_seen_once() {
    let (outbox, mut tail) = outbox();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES)), Ok(()));
    assert!(!tail.take_refusal());
    assert_eq!(outbox.push(frame(1)), Err(Full));
    assert_eq!((tail.take_refusal(), tail.take_refusal()), (true, false));
}

#[test]
fn o4_a_close_overtakes_when_there_is_no_room() {
    let (outbox, mut tail) = outbox();
    while outbox.push(frame(1)).is_ok() {}
    assert_eq!(outbox.for_seat(3).close(CloseCode::RESET, "reset"), Ok(()));
    let whole_socket = Closing { seat: None, code: CloseCode::RESET, reason: "reset".into() };
    assert_eq!(next(&mut tail), Some(Outgoing::Close(whole_socket)));
    assert_eq!(outbox.push(frame(1)), Err(Full), "nothing follows a close");
}

#[test]
fn a_close_with_room_waits_its_turn_and_names_its_seat() {
    let (outbox, mut tail) = outbox();
    assert_eq!(outbox.push(frame(1)), Ok(()));
    assert_eq!(outbox.for_seat(3).close(CloseCode::RESET, "reset"), Ok(()));
    assert!(matches!(next(&mut tail), Some(Outgoing::Frame(_))));
    assert_eq!(
        next(&mut tail),
        Some(Outgoing::Close(Closing {
            seat: Some(3),
            code: CloseCode::RESET,
            reason: "reset".into()
        }))
    );
}

#[test]
fn a_connection_that_has_gone_refuses() {
    let (outbox, tail) = outbox();
    drop(tail);
    assert_eq!(
        (outbox.push(frame(1)), outbox.close(CloseCode::RESET, "reset")),
        (Err(Full), Err(Full))
    );
    assert!(outbox.is_closed());
}
