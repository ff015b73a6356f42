// Are only the nearest carets shown?
import { expect, test } from 'vitest';
import { MAX_CARETS, nearest } from './carets';

test('no more than the nearest carets are shown', () => {
  const placed = Array.from({ length: 60 }, (_, client) => ({ client, at: client * 100 }));
  const shown = nearest(placed, 3_000);
  expect(shown.size).toBe(MAX_CARETS);
  expect([...shown].every((client) => Math.abs(client * 100 - 3_000) <= 600)).toBe(true);
});

test('a few are all shown', () => {
  expect(nearest([{ client: 1, at: 5 }, { client: 2, at: 9_000 }], 0)).toEqual(new Set([1, 2]));
});
