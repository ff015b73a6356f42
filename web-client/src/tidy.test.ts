// Do the sources keep the house rules that a compiler does not know?
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '.');
// A file longer than this holds more than one idea.
const MAX_LINES = 500;

const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(ts|svelte|css)$/.test(name))
  .map((name) => ({ name, text: readFileSync(join(ROOT, name), 'utf8') }));
const code = files.filter(({ name }) => !name.endsWith('.css'));
const shipped = code.filter(({ name }) => !name.endsWith('.test.ts'));

test('there are sources to look at', () => expect(files.length).toBeGreaterThan(30));

test.each(code)('$name begins with what it is for', ({ text }) => expect(text).toMatch(/^(\/\/|<!--) \S/));
test.each(files)('$name holds one idea', ({ text }) => expect(text.split('\n').length).toBeLessThan(MAX_LINES));
test.each(code.filter(({ name }) => name !== 'tidy.test.ts'))('$name says what its types are', ({ text }) => expect(text.match(/(: |\bas |<|\| )any(?=[\s;,)>\]=])/g)?? []).toEqual([]));
test.each(shipped)('$name puts no foreign text into the page as HTML and styles nothing inline', ({ text }) => {
  expect(text.match(/\{@html|\.innerHTML|insertAdjacentHTML|\sstyle=|\sstyle:[a-z-]+=|console\./g) ?? []).toEqual([]);
});
test.each(shipped)('$name asks nothing of anyone else', ({ text }) => {
  const hosts = [...text.matchAll(/https?:\/\/([\w.-]+)/g)].map((match) => match[1]).filter((host) => host !== 'example.org');
  expect(hosts).toEqual([]);
});
