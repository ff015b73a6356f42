// Do names and addresses lead to each other?
import { describe, expect, test } from 'vitest';
import { noteAddress, routeOf, slugOf } from './route';

describe('routeOf', () => {
  const check = (path: string, expected: string | null): void => {
    test(path, () => {
      const route = routeOf(path);
      expect(route.kind === 'note' ? route.name : route.kind === 'home' ? '/' : null).toBe(expected);
    });
  };
  check('/', '/');
  check('/n/tuesday', 'tuesday');
  check('/n/group/tuesday', 'group/tuesday');
  check('/n/group%2Ftuesday', 'group/tuesday');
  check('/n/c%C5%B5n', 'cŵn');
  check('/n/', null);
  check('/n/%00', null);
  check('/n/%E0%A4%A', null);
  check('/n', null);
  check('/other', null);
  check(`/n/${'a'.repeat(201)}`, null);
});

test('an address leads back to its name', () => {
  for (const name of ['tuesday', 'group/tuesday', 'cŵn a chathod', 'a?b#c%d', '100%']) expect(routeOf(noteAddress(name))).toEqual({ kind: 'note', name });
});

describe('slugOf', () => {
  const check = (typed: string, expected: string): void => {
    test(JSON.stringify(typed), () => expect(slugOf(typed)).toBe(expected));
  };
  check('What we heard on Tuesday', 'what-we-heard-on-tuesday');
  check("Mair's notes", 'mairs-notes');
  check('  Cŵn & Chathod!  ', 'cŵn-chathod');
  check('group / tuesday //', 'group/tuesday');
  check('???', '');
  check('', '');
  check('a'.repeat(300), 'a'.repeat(80));
});
