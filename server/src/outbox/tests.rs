use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

/// A socket that takes so many bytes and no more.
#[derive(Clone, Debug, Default)]
struct Tap(Arc<Mutex<(Vec<u8>, usize)>>);

impl Tap {
    fn open(&self, more: usize) {
        self.0.lock().expect("one thread").1 += more;
    }

    /// What has come out, but for the headers: the frames of these tests are short, and all of one byte's repetition.
    fn bodies(&self) -> Vec<u8> {
        let taken = &self.0.lock().expect("one thread").0;
        let (mut bodies, mut rest) = (Vec::new(), &taken[..]);
        while let [0x82, len, after @ ..] = rest {
            let (body, after) = after.split_at(usize::from(*len).min(after.len()));
            bodies.extend(body);
            rest = after;
        }
        assert!(rest.len() < 2, "nothing but frames: {taken:x?}");
        bodies
    }
}

impl Wire for Tap {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut tap = self.0.lock().expect("one thread");
        if tap.1 == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = tap.0.len();
        for slice in slices {
            let len = slice.len().min(tap.1);
            tap.1 -= len;
            tap.0.extend(&slice[..len]);
        }
        Ok(tap.0.len() - before)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection's task, reduced to what it does with its outbox.
struct Task {
    tail: OutboxTail,
    socket: Tap,
    woken: Arc<Woken>,
}

impl Task {
    /// One turn: whether everything has been written, or what is to be closed.
    fn turn(&mut self) -> Result<bool, Closing> {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        if let Some(closing) = self.tail.take_close(&cx) {
            return Err(closing);
        }
        Ok(self.tail.poll_write(&mut cx, &mut self.socket).is_ready())
    }

    fn woken(&self) -> usize {
        self.woken.0.load(Ordering::SeqCst)
    }
}

/// An outbox that rooms write, on a socket that takes this much at first.
fn wired(takes: usize) -> (Outbox, Task) {
    let socket = Tap::default();
    socket.open(takes);
    let (outbox, tail) = outbox(Some(Arc::new(socket.clone())));
    let mut task = Task { tail, socket, woken: Arc::default() };
    assert_eq!(task.turn(), Ok(true));
    (outbox, task)
}

/// An outbox that only its task writes.
fn unwired() -> (Outbox, Task) {
    let (outbox, tail) = outbox(None);
    let socket = Tap::default();
    socket.open(usize::MAX / 2);
    (outbox, Task { tail, socket, woken: Arc::default() })
}

fn frame(len: usize) -> Bytes {
    Bytes::from(vec![7; len])
}

#[test]
fn o1_a_frame_over_the_budget_is_refused_and_does_not_count() {
    let (outbox, mut task) = unwired();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES)), Ok(()));
    assert_eq!(outbox.push(frame(1)), Err(Full));
    assert_eq!(outbox.bytes(), OUTBOX_BYTES);
    assert_eq!((task.turn(), outbox.bytes()), (Ok(true), 0));
}

#[test]
fn o1_the_number_of_frames_is_bounded_too() {
    let (outbox, _task) = unwired();
    let taken = (0..OUTBOX_FRAMES + 5).filter(|_| outbox.push(frame(1)).is_ok()).count();
    assert_eq!(taken, OUTBOX_FRAMES);
}

#[test]
fn o1_frames_a_socket_still_takes_are_no_reason_to_refuse() {
    let (outbox, task) = wired(usize::MAX / 2);
    for _ in 0..OUTBOX_FRAMES * 3 {
        assert_eq!(outbox.queue(frame(1)), Ok(()));
    }
    outbox.flush();
    assert_eq!(task.socket.bodies().len(), OUTBOX_FRAMES * 3);
}

#[test]
fn o2_an_empty_outbox_takes_a_frame_of_any_size() {
    let (outbox, _task) = unwired();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES * 2)), Ok(()));
    assert_eq!(outbox.push(frame(1)), Err(Full));
}

#[test]
fn o3_a_refusal_is_seen_once_and_when_all_has_left() {
    let (outbox, mut task) = unwired();
    assert_eq!(outbox.push(frame(OUTBOX_BYTES)), Ok(()));
    assert!(!task.tail.take_refusal());
    assert_eq!(outbox.push(frame(1)), Err(Full));
    assert!(!task.tail.take_refusal(), "the first frame still waits");
    assert_eq!(task.turn(), Ok(true));
    assert_eq!((task.tail.take_refusal(), task.tail.take_refusal()), (true, false));
}

#[test]
fn o3_a_room_that_writes_the_last_of_it_wakes_the_connection() {
    let (outbox, mut task) = wired(1_000);
    assert!(outbox.tell_when_drained(), "nothing waits");
    assert_eq!(outbox.queue(frame(1)), Ok(()));
    assert!(!outbox.tell_when_drained());
    assert_eq!(task.woken(), 0);
    outbox.flush();
    assert_eq!((task.woken(), task.turn(), task.tail.take_refusal()), (1, Ok(true), true));
}

#[test]
fn o4_a_close_overtakes_when_there_is_no_room() {
    let (outbox, mut task) = unwired();
    while outbox.push(frame(1)).is_ok() {}
    assert_eq!(outbox.for_seat(3).close(CloseCode::RESET, "reset"), Ok(()));
    let whole_socket = Closing { seat: None, code: CloseCode::RESET, reason: "reset".into() };
    assert_eq!(task.turn(), Err(whole_socket));
    assert_eq!(outbox.push(frame(1)), Err(Full), "nothing follows a close");
}

#[test]
fn o5_frames_leave_whole_and_in_order_whoever_writes_them() {
    let (outbox, mut task) = wired(4);
    assert_eq!(outbox.push(Bytes::from_static(b"aaaa")), Ok(()));
    assert_eq!(task.socket.bodies(), b"aa", "the socket is full in the middle of a frame");
    task.tail.say(Bytes::from_static(b"b"));
    assert_eq!(outbox.push(Bytes::from_static(b"cc")), Ok(()));
    for takes in [1, 2, 3, 1_000] {
        task.socket.open(takes);
        assert_eq!(task.turn(), Ok(takes == 1_000));
    }
    assert_eq!(outbox.push(Bytes::from_static(b"d")), Ok(()));
    assert_eq!(task.socket.bodies(), b"aaaabccd");
}

#[test]
fn o5_what_one_turn_queues_leaves_in_one_write() {
    let (outbox, task) = wired(1_000);
    assert_eq!((outbox.queue(frame(1)), outbox.queue(frame(2))), (Ok(()), Ok(())));
    assert_eq!(task.socket.bodies().len(), 0);
    outbox.flush();
    assert_eq!((task.socket.bodies().len(), task.woken()), (3, 0));
}

#[test]
fn o6_a_full_socket_is_left_to_its_connection() {
    let (outbox, mut task) = wired(0);
    assert_eq!(outbox.push(frame(1)), Ok(()));
    assert_eq!(task.woken(), 1);
    assert_eq!(task.turn(), Ok(false));
    assert!(task.tail.stuck_since().is_some());
    task.socket.open(1_000);
    assert_eq!(outbox.push(frame(1)), Ok(()));
    assert_eq!(task.socket.bodies().len(), 0, "rooms do not try");
    assert_eq!((task.turn(), task.tail.stuck_since()), (Ok(true), None));
    assert_eq!(outbox.push(frame(1)), Ok(()));
    assert_eq!(task.socket.bodies().len(), 3, "now they do again");
}

#[test]
fn o7_what_follows_a_close_waits_until_it_is_dealt_with() {
    let (outbox, mut task) = wired(1_000);
    assert_eq!(outbox.push(Bytes::from_static(b"a")), Ok(()));
    assert_eq!(outbox.for_seat(3).close(CloseCode::RESET, "reset"), Ok(()));
    assert_eq!(outbox.push(Bytes::from_static(b"c")), Ok(()));
    let closing = Closing { seat: Some(3), code: CloseCode::RESET, reason: "reset".into() };
    assert_eq!(task.turn(), Err(closing));
    assert_eq!(outbox.push(Bytes::from_static(b"d")), Ok(()));
    task.tail.say(Bytes::from_static(b"b"));
    assert_eq!((task.turn(), task.socket.bodies()), (Ok(true), b"abcd".to_vec()));
}

#[test]
fn nothing_is_taken_from_rooms_once_the_connection_says_goodbye() {
    let (outbox, mut task) = wired(0);
    for _ in 0..BATCH * 2 {
        assert_eq!(outbox.push(frame(1)), Ok(()));
    }
    task.tail.shut();
    assert_eq!((outbox.push(frame(1)), outbox.is_closed()), (Err(Full), true));
    task.tail.say(Bytes::from_static(b"bye"));
    task.socket.open(1_000);
    assert_eq!(task.turn(), Ok(true));
    assert_eq!(task.socket.bodies().len(), BATCH + 3);
}

#[test]
fn a_connection_that_has_gone_refuses() {
    let (outbox, task) = unwired();
    drop(task);
    assert_eq!(
        (outbox.push(frame(1)), outbox.close(CloseCode::RESET, "reset")),
        (Err(Full), Err(Full))
    );
    assert!(outbox.is_closed());
}
