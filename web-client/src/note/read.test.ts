// Does a note read the same without the editor?
import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { titleOf, toDom, toText } from './read';

type Child = Y.XmlElement | Y.XmlText;
function el(name: string, attrs: Readonly<Record<string, string | number | boolean>>, ...children: readonly Child[]): Y.XmlElement {
  const element = new Y.XmlElement<Record<string, string | number | boolean>>(name);
  for (const [key, value] of Object.entries(attrs)) element.setAttribute(key, value);
  element.insert(0, [...children]);
  return element as Y.XmlElement;
}
function words(insert: string, attributes: Readonly<Record<string, object>> = {}): Y.XmlText {
  const text = new Y.XmlText();
  text.applyDelta([{ insert, attributes }]);
  return text;
}
const p = (text: string): Y.XmlElement => el('paragraph', {}, words(text));

function check(title: string, blocks: () => Child[], html: string, text: string): void {
  test(title, () => {
    const fragment = new Y.Doc().getXmlFragment('default');
    fragment.insert(0, blocks());
    const box = document.createElement('div');
    box.append(...toDom(fragment, 'newer'));
    expect(box.innerHTML).toBe(html);
    expect(toText(fragment)).toBe(text);
  });
}

describe('a note reads as HTML and as text', () => {
  check('headings and paragraphs', () => [el('heading', { level: 2 }, words('Title')), p('one'), p('two')], '<h2>Title</h2><p>one</p><p>two</p>', 'Title\n\none\n\ntwo');
  check('lists', () => [el('orderedList', {}, el('listItem', {}, p('a'), el('bulletList', {}, el('listItem', {}, p('b')))), el('listItem', {}, p('c')))], '<ol><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ol>', '1. a\n   - b\n2. c');
  check('tasks', () => [el('taskList', {}, el('taskItem', { checked: true }, p('a')), el('taskItem', { checked: false }, p('b')))], '<ul><li><p>a</p></li><li><p>b</p></li></ul>', '[x] a\n[ ] b');
  check('bare text in a list item', () => [el('bulletList', {}, el('listItem', {}, words('bare')))], '<ul><li>bare</li></ul>', '- bare');
  check('marks', () => [el('paragraph', {}, words('a', { bold: {} }), words('b', { link: { href: 'https://example.org' } }))], '<p><strong>a</strong><a href="https://example.org/" rel="noopener noreferrer">b</a></p>', 'ab');
  check('a link that leads nowhere good', () => [el('paragraph', {}, words('b', { link: { href: 'javascript:alert(1)' } }))], '<p>b</p>', 'b');
  check('letters that look like HTML', () => [p('<img src=x onerror=alert(1)>')], '<p>&lt;img src=x onerror=alert(1)&gt;</p>', '<img src=x onerror=alert(1)>');
  check('newer parts and marks', () => [el('script', {}, words('x', { glow: {} }))], '<div class="newer"><p class="newer-sign">newer</p>x</div>', 'x');
  check('names that every object has', () => [el('__proto__', {}, words('x', { constructor: {} })), el('constructor', {}, words('y', { toString: {} }))], '<div class="newer"><p class="newer-sign">newer</p>x</div><div class="newer"><p class="newer-sign">newer</p>y</div>', 'x\n\ny');
  check('text outside every block', () => [words('loose')], 'loose', 'loose');
});

test('the title is the first heading with words', () => {
  const fragment = new Y.Doc().getXmlFragment('default');
  expect(titleOf(fragment)).toBeNull();
  fragment.insert(0, [p('text'), el('heading', { level: 1 }), el('heading', { level: 3 }, words('  What we   heard '))]);
  expect(titleOf(fragment)).toBe('What we heard');
});
