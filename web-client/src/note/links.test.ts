// Which addresses may a link lead to?
import { describe, expect, test } from 'vitest';
import { hrefFromTyped, safeHref } from './links';

describe('safeHref', () => {
  const check = (value: unknown, expected: string | null): void => {
    test(JSON.stringify(value), () => expect(safeHref(value)).toBe(expected));
  };
  check('https://example.org/a?b#c', 'https://example.org/a?b#c');
  check('http://example.org', 'http://example.org/');
  check('mailto:mair@example.org', 'mailto:mair@example.org');
  check('javascript:alert(1)', null);
  check(' \u0001javascript:alert(1)', null);
  check('JaVaScRiPt:alert(1)', null);
  check('java\nscript:alert(1)', null);
  check('data:text/html,<b>', null);
  check('blob:https://example.org/1', null);
  check('file:///etc/passwd', null);
  check('/relative', null);
  check('', null);
  check(null, null);
  check(7, null);
  check(`https://example.org/${'a'.repeat(3000)}`, null);
});

describe('hrefFromTyped', () => {
  const check = (typed: string, expected: string | null): void => {
    test(JSON.stringify(typed), () => expect(hrefFromTyped(typed)).toBe(expected));
  };
  check('example.org', 'https://example.org/');
  check(' example.org/path ', 'https://example.org/path');
  check('example.org:8443/x', 'https://example.org:8443/x');
  check('mair@example.org', 'mailto:mair@example.org');
  check('https://example.org', 'https://example.org/');
  check('javascript:alert(1)', null);
  check('javascript.example:alert(1)', null);
  check('two words.org', null);
  check('word', null);
});
