// Does the count say nought only when everything sent on this connection was acknowledged?
import { expect, test } from 'vitest';
import { makeTally } from './tally';

const frame = (...bytes: readonly number[]): Uint8Array => Uint8Array.from([3, 100, 111, 99, ...bytes]);
const STEP_1 = frame(0, 0, 1, 0);
const STEP_2 = frame(0, 1, 2, 0, 0);
const UPDATE = frame(0, 2, 2, 0, 0);
const APPLIED = frame(8, 1);
const REFUSED = frame(8, 0);

test('nothing is saved before the first exchange is over', () => {
  const tally = makeTally();
  tally.begin();
  expect(tally.unacknowledged).toBe(1);
  tally.sent(STEP_1);
  tally.sent(STEP_2);
  expect(tally.unacknowledged).toBe(1);
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(0);
});

test('changes that go out with the first exchange are counted beside it', () => {
  const tally = makeTally();
  tally.begin();
  tally.sent(STEP_1);
  tally.sent(UPDATE);
  tally.sent(UPDATE);
  tally.sent(STEP_2);
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(2);
  tally.received(APPLIED);
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(0);
});

test('a change that has not gone out is not saved', () => {
  const tally = makeTally();
  tally.begin();
  tally.sent(STEP_1);
  tally.sent(STEP_2);
  tally.received(APPLIED);
  tally.changed();
  expect(tally.unacknowledged).toBe(1);
  tally.sent(UPDATE);
  expect(tally.unacknowledged).toBe(1);
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(0);
});

test('the answer to a question of the server gets no status of its own, and a refusal is none', () => {
  const tally = makeTally();
  tally.begin();
  tally.sent(STEP_1);
  tally.received(APPLIED);
  tally.sent(UPDATE);
  tally.sent(STEP_2);
  tally.received(REFUSED);
  expect(tally.unacknowledged).toBe(1);
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(0);
});

test('a new connection counts anew, and other frames do not count', () => {
  const tally = makeTally();
  tally.begin();
  tally.sent(STEP_1);
  tally.sent(UPDATE);
  tally.begin();
  expect(tally.unacknowledged).toBe(1);
  tally.sent(STEP_1);
  tally.sent(frame(1, 2, 0, 0));
  tally.sent(Uint8Array.from([10]));
  tally.received(Uint8Array.from([9]));
  tally.received(Uint8Array.from([1, 0]));
  tally.received(APPLIED);
  expect(tally.unacknowledged).toBe(0);
});
