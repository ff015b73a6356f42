// Is my name remembered, and does forbidden storage cost nothing?
import { expect, test } from 'vitest';
import { keepMe, readMe } from './me';

const check = (title: string, kept: string | null, name: string): void => {
  test(title, () => expect(readMe({ getItem: () => kept }, () => 'Heron', () => 0).name).toBe(name));
};
check('remembered', '{"name":"Mair","ink":3}', 'Mair');
check('new here', null, 'Heron');
check('garbled', '{', 'Heron');
check('no such ink', '{"name":"Mair","ink":99}', 'Heron');
check('an empty name', '{"name":" ","ink":1}', 'Heron');

test('storage that is forbidden costs nothing', () => {
  const refuse = (): never => {
    throw new Error('forbidden');
  };
  keepMe({ setItem: refuse }, { name: 'Mair', ink: 1 });
  expect(readMe({ getItem: refuse }, () => 'Heron', () => 0.99)).toEqual({ name: 'Heron', ink: 7 });
});
