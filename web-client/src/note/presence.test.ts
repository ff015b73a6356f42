// What is made of what others say about themselves?
import { describe, expect, test } from 'vitest';
import { colourOf, inkOf, INKS } from '../ui/inks';
import { arrivals, cleanName, initials, MAX_NAME, peopleOf } from './presence';

describe('cleanName', () => {
  const check = (value: unknown, expected: string | null): void => {
    test(JSON.stringify(value), () => expect(cleanName(value)).toBe(expected));
  };
  check('Mair', 'Mair');
  check('  Mair \n Ŵyn ', 'Mair Ŵyn');
  check('<b>Mair</b>', '<b>Mair</b>');
  check('a\u202eb', 'a b');
  check('\u200b', null);
  check('', null);
  check(undefined, null);
  check({ toString: 'x' }, null);
  check('x'.repeat(500), 'x'.repeat(MAX_NAME));
});

describe('initials', () => {
  const check = (name: string, expected: string): void => {
    test(name, () => expect(initials(name)).toBe(expected));
  };
  check('Mair', 'M');
  check('Mair ap Rhys', 'MR');
  check('ŵyn-jones', 'ŴJ');
  check('(Dev)', 'D');
  check('!!', '?');
});

describe('inks', () => {
  const check = (value: unknown, expected: number | null): void => {
    test(JSON.stringify(value), () => expect(inkOf(value)).toBe(expected));
  };
  check('#0b5d57', 0);
  check('#0B5D57', 0);
  check('#000000', null);
  check('red;background:url(//evil)', null);
  check(3, null);
  test('numbers wrap around', () => expect([colourOf(8), colourOf(-1)]).toEqual([INKS[0], INKS[7]]));
});

test('people: oneself first, then by name, whatever the states look like', () => {
  const states = new Map<number, unknown>([
    [5, { user: { name: 'Zoe', color: '#3b5ba9' } }],
    [2, { user: { name: 'Me', color: '#7a3e9d' } }],
    [9, null],
    [3, { user: 'nonsense' }],
    [4, { user: { name: 'Ann', color: 'javascript:' } }],
  ]);
  expect(peopleOf(states, 2, 'Someone').map(({ name, ink, me }) => [name, ink, me])).toEqual([
    ['Me', 2, true],
    ['Ann', 4, false],
    ['Someone', 3, false],
    ['Someone', 1, false],
    ['Zoe', 1, false],
  ]);
});

test('arrivals do not count oneself', () => {
  const person = (client: number, me = false) => ({ client, name: String(client), ink: 0, me });
  const { came, left } = arrivals([person(1, true), person(2)], [person(1, true), person(3)]);
  expect([came.map((p) => p.client), left.map((p) => p.client)]).toEqual([[3], [2]]);
});
