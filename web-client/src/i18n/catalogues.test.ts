// Do both languages say everything, with the same holes to fill?
import { expect, test } from 'vitest';
import cy from './cy.json';
import en from './en.json';

const holes = (words: string): string[] => [...words.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '').sort();

test('the catalogues have the same keys in the same order', () => {
  expect(Object.keys(cy)).toEqual(Object.keys(en));
});

for (const [key, words] of Object.entries(en)) {
  test(`${key} is said in both languages`, () => {
    const other: unknown = Object.entries(cy).find(([name]) => name === key)?.[1];
    if (typeof other !== 'string') throw new Error('missing in Welsh');
    expect(words.trim()).toBe(words);
    expect(other.trim()).not.toBe('');
    expect(holes(other)).toEqual(holes(words));
    // The voice: no exclamation marks in either language.
    expect(words + other).not.toContain('!');
  });
}
