// How many changes has this connection carried that the server has not acknowledged?
//
// The provider counts too, but begins again at one when it reconnects, although changes it kept in a queue go out on the same connection: its count
// can reach nought too early. This one reads the frames themselves. The exchange that the provider begins with `SyncStep1` is answered with one
// status, and so is each update; the answer to a question of the server's own is not (PROTOCOL.md, "Acknowledgements").

const SYNC = 0;
const STEP_1 = 0;
const STEP_2 = 1;
const SYNC_STATUS = 8;
const APPLIED = 1;

export interface Tally {
  /** A new connection: nothing has been sent on it. */
  begin(): void;
  /** A change was made here; it is under way once a frame with it has gone out. */
  changed(): void;
  sent(frame: Uint8Array): void;
  received(frame: Uint8Array): void;
  readonly unacknowledged: number;
}

export function makeTally(): Tally {
  let underWay = 0;
  let begun = false;
  let unsent = false;
  return {
    begin() {
      underWay = 0;
      begun = false;
    },
    changed() {
      unsent = true;
    },
    sent(frame) {
      const [type, kind] = typeAndKind(frame);
      if (type !== SYNC) return;
      if (kind === STEP_1) begun = true;
      else unsent = false;
      if (kind !== STEP_2) underWay += 1;
    },
    received(frame) {
      const [type, kind] = typeAndKind(frame);
      if (type === SYNC_STATUS && kind === APPLIED) underWay = Math.max(0, underWay - 1);
    },
    get unacknowledged() {
      // Before the exchange has begun, and while a change waits to go out, nothing may be called saved.
      return underWay > 0 || (begun && !unsent) ? underWay : 1;
    },
  };
}

/** The two numbers behind a frame's address: both are below 128, one byte each. */
function typeAndKind(frame: Uint8Array): readonly [number | undefined, number | undefined] {
  let length = 0;
  let at = 0;
  for (let shift = 0; at < frame.length; shift += 7) {
    const byte = frame[at] ?? 0;
    at += 1;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  // A ping or pong is one byte without an address.
  return [frame[at + length], frame[at + length + 1]];
}
