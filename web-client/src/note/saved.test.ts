// Does the label keep its rules, S1 to S8?
import { describe, expect, test } from 'vitest';
import { GRACE_MS, NO_FACTS, OPENING_MS, STALLED_MS, begin, nextCheck, sameLabel, step, type Facts, type Label, type SavedState } from './saved';

/** A script to read aloud: at each time, these facts, then this label. */
type Line = readonly [at: number, facts: Partial<Facts>, label: Label['kind'] | `not-saving:${string}`];
function check(title: string, ...lines: readonly Line[]): void {
  test(title, () => {
    let state: SavedState = begin(0);
    let facts: Facts = NO_FACTS;
    for (const [at, change, label] of lines) {
      facts = { ...facts, ...change };
      state = step(state, facts, at);
      const said = state.label.kind === 'not-saving' ? `not-saving:${state.label.why}` : state.label.kind;
      expect(said, `at ${at}`).toBe(label);
    }
  });
}

const live: Partial<Facts> = { connected: true, synced: true, unsynced: 0 };
const away: Partial<Facts> = { connected: false, synced: false };

describe('S1', () => {
  check('a refusal is said at once', [0, { refused: 'ask an organiser' }, 'not-saving:refused']);
  check('a refusal outlives the connection', [0, live, 'saved'], [1, { refused: 'closed' }, 'not-saving:refused'], [2, away, 'not-saving:refused']);
  test('with the words of the server', () => {
    expect(step(begin(0), { ...NO_FACTS, refused: 'ask an organiser' }, 0).label).toMatchObject({ reason: 'ask an organiser', onDevice: false });
  });
});

describe('S2', () => {
  check('saved when all is acknowledged', [0, { connected: true, unsynced: 1 }, 'opening'], [5, { synced: true }, 'opening'], [6, { unsynced: 0 }, 'saved']);
  check('not saved while the first exchange is open', [0, live, 'saved'], [1, { synced: false }, 'saving']);
  check('not saved with one change out', [0, live, 'saved'], [1, { unsynced: 1 }, 'saving'], [2, { unsynced: 0 }, 'saved']);
});

describe('S3', () => {
  check('a change turned away is not saved, even when the count is down', [0, live, 'saved'], [1, { unsynced: 1, turnedAway: true }, 'not-saving:turned-away'], [2, { unsynced: 0 }, 'not-saving:turned-away'], [3, { turnedAway: false }, 'saved']);
});

describe('S4', () => {
  check('a wait becomes not saving', [0, live, 'saved'], [10, { unsynced: 1 }, 'saving'], [9 + STALLED_MS, {}, 'saving'], [10 + STALLED_MS, {}, 'not-saving:stalled']);
  check('more typing does not restart the wait', [0, live, 'saved'], [10, { unsynced: 1 }, 'saving'], [STALLED_MS, { unsynced: 2 }, 'saving'], [10 + STALLED_MS, { unsynced: 3 }, 'not-saving:stalled']);
  check('an acknowledgement does', [0, live, 'saved'], [10, { unsynced: 2 }, 'saving'], [STALLED_MS, { unsynced: 1 }, 'saving'], [10 + STALLED_MS, {}, 'saving'], [2 * STALLED_MS, {}, 'not-saving:stalled'], [2 * STALLED_MS + 1, { unsynced: 0 }, 'saved']);
});

describe('S5', () => {
  check('away with a written copy', [0, live, 'saved'], [1, { ...away, localCopy: 'kept' }, 'on-device']);
  check('words still on their way to the device are not claimed', [0, { ...live, localCopy: 'kept' }, 'saved'], [1, away, 'on-device'], [GRACE_MS + 2, { localCopy: 'behind' }, 'not-saving:offline'], [GRACE_MS + 3, { localCopy: 'kept' }, 'on-device']);
});

describe('S6', () => {
  check('a short drop alarms nobody', [0, { ...live, localCopy: 'none' }, 'saved'], [10, away, 'saving'], [9 + GRACE_MS, {}, 'saving'], [9 + GRACE_MS, live, 'saved']);
  check('a long one is said', [0, { ...live, localCopy: 'none' }, 'saved'], [10, away, 'saving'], [10 + GRACE_MS, {}, 'not-saving:offline']);
});

describe('S8', () => {
  check('words out while the storage is away', [0, live, 'saved'], [1, { unsynced: 1 }, 'saving'], [2, { storage: 'away' }, 'not-saving:storage-away'], [3, { storage: 'well' }, 'saving'], [4, { unsynced: 0 }, 'saved']);
  check('or full', [0, live, 'saved'], [1, { storage: 'full', unsynced: 1 }, 'not-saving:storage-full']);
  check('what is saved stays saved', [0, live, 'saved'], [1, { storage: 'away' }, 'saved']);
  check('a copy on the device is worth saying first', [0, { ...live, localCopy: 'kept' }, 'saved'], [1, { ...away, storage: 'away' }, 'on-device']);
  check('without one, the reason is', [0, { ...live, localCopy: 'none' }, 'saved'], [1, { ...away, storage: 'away' }, 'saving'], [1 + GRACE_MS, {}, 'not-saving:storage-away']);
});

describe('S7', () => {
  check('opening ends', [0, {}, 'opening'], [OPENING_MS - 1, {}, 'opening'], [OPENING_MS, {}, 'not-saving:offline']);
  check('opening ends on the device', [0, { localCopy: 'kept' }, 'opening'], [OPENING_MS, {}, 'on-device']);
});

test('nextCheck names each moment at which only time changes the label', () => {
  let state = begin(0);
  expect(nextCheck(state, 0)).toBe(GRACE_MS);
  expect(nextCheck(state, GRACE_MS)).toBe(OPENING_MS);
  state = step(state, { ...NO_FACTS, ...live }, 1);
  expect(nextCheck(state, 1)).toBeNull();
  state = step(state, { ...NO_FACTS, ...live, unsynced: 1 }, 5);
  expect(nextCheck(state, 5)).toBe(5 + STALLED_MS);
});

test('two labels are the same when they read the same', () => {
  const stalled: Label = { kind: 'not-saving', why: 'stalled', reason: null, onDevice: true };
  expect(sameLabel(stalled, { ...stalled })).toBe(true);
  expect(sameLabel(stalled, { ...stalled, onDevice: false })).toBe(false);
  expect(sameLabel({ kind: 'saved' }, stalled)).toBe(false);
});
