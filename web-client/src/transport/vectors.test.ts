// Does the page read the golden bytes of the protocol as they are meant? The same files are read by the server's tests.
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import frames4 from '../../../protocol/vectors/hocuspocus-4.8.0.json';
import documents from '../../../protocol/vectors/yjs-13.6.33.json';
import { makeTally } from './tally';

interface FrameVector {
  readonly name: string;
  readonly from: string;
  readonly hex: string;
  readonly message?: { readonly kind: string; readonly applied?: boolean };
}

interface DocumentVector {
  readonly name: string;
  readonly hex: string;
  readonly blocks: readonly (readonly [number, number, number, string])[];
  readonly stateVector: string;
}

const bytes = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (some: Uint8Array): string => Array.from(some, (byte) => byte.toString(16).padStart(2, '0')).join('');

const frames: readonly FrameVector[] = frames4.vectors;
const states = documents.vectors as unknown as readonly DocumentVector[];

test('there is something to read', () => {
  expect(frames.filter(({ from }) => from === 'client').length).toBeGreaterThan(5);
  expect(states.length).toBeGreaterThan(20);
});

for (const [at, { name, from, hex: frame, message }] of frames.entries()) {
  test(`the tally counts the frame ${at}: ${name} (${message?.kind ?? 'no message'})`, () => {
    const tally = makeTally();
    tally.begin();
    tally.sent(Uint8Array.from([3, 100, 111, 99, 0, 0, 1, 0]));
    const before = tally.unacknowledged;
    if (from === 'client') {
      tally.sent(bytes(frame));
      const adds = message?.kind === 'SyncStep1' || message?.kind === 'Update';
      expect(tally.unacknowledged - before).toBe(adds ? 1 : 0);
    } else {
      tally.received(bytes(frame));
      const settles = message?.kind === 'SyncStatus' && message.applied === true;
      expect(before - tally.unacknowledged).toBe(settles ? 1 : 0);
    }
  });
}

for (const { name, hex: update, blocks, stateVector } of states) {
  test(`Yjs reads "${name}" block by block`, () => {
    const read = Y.decodeUpdate(bytes(update)).structs.map(({ id, length }) => [id.client, id.clock, length]);
    expect(read).toEqual(blocks.map(([client, clock, length]) => [client, clock, length]));
    expect(hex(Y.encodeStateVectorFromUpdate(bytes(update)))).toBe(stateVector);
  });
}
