// Does the link tell the facts as they are? The real provider, on a socket that the test holds in its hand.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { openLink, retryDelay, syncAddress, type Link, type LinkFacts } from './link';

/** A socket that delivers what the test says, when it says. */
class HeldSocket extends EventTarget {
  static readonly all: HeldSocket[] = [];
  binaryType = 'arraybuffer';
  readyState = 0;
  readonly sent: Uint8Array[] = [];
  constructor(readonly url: string) {
    super();
    HeldSocket.all.push(this);
  }
  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }
  close(code = 1006): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code }));
  }
  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }
  /** One frame of the document `doc`: these bytes after its name. */
  receive(...bytes: readonly number[]): void {
    const frame = Uint8Array.from([3, ...new TextEncoder().encode('doc'), ...bytes]);
    this.dispatchEvent(new MessageEvent('message', { data: frame.buffer }));
  }
}

const AUTHENTICATED = [2, 2, 10, ...new TextEncoder().encode('read-write')];
const READ_ONLY = [2, 2, 8, ...new TextEncoder().encode('readonly')];
const DENIED = [2, 1, 4, ...new TextEncoder().encode('away')];
const STEP_TWO = [0, 1, 2, 0, 0];
const ACKNOWLEDGED = [8, 1];
const TURNED_AWAY = [8, 0];
const stateless = (text: string): number[] => [5, text.length, ...new TextEncoder().encode(text)];
const CLOSED = [7, 5, ...new TextEncoder().encode('Reset')];

let doc: Y.Doc;
let link: Link;
let facts: LinkFacts | null;
beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', HeldSocket);
  HeldSocket.all.length = 0;
  doc = new Y.Doc();
  facts = null;
  link = openLink('doc', doc, 'ws://here/sync', (now) => (facts = now));
});
afterEach(() => {
  link.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function socket(): HeldSocket {
  const newest = HeldSocket.all.at(-1);
  if (newest === undefined) throw new Error('nothing was opened');
  return newest;
}

async function join(...first: readonly number[][]): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
  socket().open();
  await vi.advanceTimersByTimeAsync(0);
  for (const frame of first) socket().receive(...frame);
}

const type = (): void => {
  doc.getText('any').insert(0, 'x');
};

test('joined and acknowledged', async () => {
  await join(AUTHENTICATED, STEP_TWO);
  expect(facts).toMatchObject({ connected: true, synced: true, unsynced: 1, readOnly: false, refused: null });
  socket().receive(...ACKNOWLEDGED);
  expect(facts).toMatchObject({ unsynced: 0 });
  type();
  expect(facts).toMatchObject({ unsynced: 1, synced: true });
  socket().receive(...ACKNOWLEDGED);
  expect(facts).toMatchObject({ unsynced: 0, turnedAway: false });
});

test('a change turned away is a fact until the next connection', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  type();
  socket().receive(...TURNED_AWAY);
  expect(facts).toMatchObject({ turnedAway: true, unsynced: 1 });
  socket().close();
  expect(facts).toMatchObject({ connected: false, synced: false, turnedAway: false });
});

test('a refusal carries the words of the server', async () => {
  await join(DENIED);
  expect(facts).toMatchObject({ refused: 'away', connected: true });
});

test('what the server says of its storage is a fact', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  socket().receive(...stateless('{"storage":"full"}'));
  expect(facts).toMatchObject({ storage: 'full' });
  socket().receive(...stateless('{"storage":"on fire"}'));
  socket().receive(...stateless('not json'));
  expect(facts).toMatchObject({ storage: 'full' });
  socket().receive(...stateless('{"storage":"well"}'));
  expect(facts).toMatchObject({ storage: 'well' });
});

test('a socket closed because the storage is away says so until somebody is let in again', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  socket().close(4503);
  expect(facts).toMatchObject({ connected: false, storage: 'away' });
  await vi.advanceTimersByTimeAsync(10_000);
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  expect(facts).toMatchObject({ connected: true, storage: 'well' });
});

test('reading only is a fact', async () => {
  await join(READ_ONLY);
  expect(facts).toMatchObject({ readOnly: true });
});

test('a lost connection comes back by itself', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  socket().close();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(HeldSocket.all.length).toBeGreaterThan(1);
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  expect(facts).toMatchObject({ connected: true, synced: true, unsynced: 0 });
});

test('a document closed by the server is joined again on a new socket', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  socket().receive(...CLOSED);
  expect(facts).toMatchObject({ connected: false, synced: false });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(HeldSocket.all).toHaveLength(2);
});

test('what others send is not sent back', async () => {
  await join(AUTHENTICATED, STEP_TWO, ACKNOWLEDGED);
  const before = socket().sent.length;
  const other = new Y.Doc();
  other.getText('any').insert(0, 'y');
  const update = Y.encodeStateAsUpdate(other);
  socket().receive(0, 2, update.length, ...update);
  expect(doc.getText('any').toString()).toBe('y');
  expect(socket().sent.length).toBe(before);
});

test('everyone retries at their own time, in whole milliseconds', () => {
  expect([0, 0.333, 0.9999].map((random) => retryDelay(() => random)).every(Number.isInteger)).toBe(true);
  expect(retryDelay(() => 0)).toBeLessThan(retryDelay(() => 1));
});

test('the socket is on the page’s own host', () => {
  expect(syncAddress({ protocol: 'https:', host: 'lab.example:8443' })).toBe('wss://lab.example:8443/sync');
  expect(syncAddress({ protocol: 'http:', host: '127.0.0.1:8080' })).toBe('ws://127.0.0.1:8080/sync');
});
