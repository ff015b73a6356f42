// How does a note read without the editor? As ordinary HTML, or as plain text to take away.
import * as Y from 'yjs';
import { safeHref } from './links';
import { NODES } from './schema';

// Maps, because a document may call a part or a mark anything, `constructor` and `__proto__` included.
const TAGS: ReadonlyMap<string, string> = new Map([
  ['paragraph', 'p'],
  ['bulletList', 'ul'],
  ['orderedList', 'ol'],
  ['taskList', 'ul'],
  ['listItem', 'li'],
  ['taskItem', 'li'],
  ['blockquote', 'blockquote'],
  ['horizontalRule', 'hr'],
  ['hardBreak', 'br'],
  ['table', 'table'],
  ['tableRow', 'tr'],
  ['tableCell', 'td'],
  ['tableHeader', 'th'],
]);
const MARK_TAGS: ReadonlyMap<string, string> = new Map([
  ['bold', 'strong'],
  ['italic', 'em'],
  ['strike', 's'],
  ['code', 'code'],
]);
// As deep as anything is shown; beyond it the words are shown without their structure.
const MAX_DEPTH = 100;

interface Run {
  readonly insert: unknown;
  readonly attributes?: Readonly<Record<string, unknown>>;
}

function runsOf(text: Y.XmlText): readonly Run[] {
  const delta: unknown = text.toDelta();
  return Array.isArray(delta) ? (delta as readonly Run[]) : [];
}

function runToDom(run: Run): Node {
  let node: Node = document.createTextNode(typeof run.insert === 'string' ? run.insert : '');
  for (const [name, value] of Object.entries(run.attributes ?? {})) {
    const tag = MARK_TAGS.get(name);
    const href = name === 'link' && typeof value === 'object' && value !== null && 'href' in value ? safeHref(value.href) : null;
    if (tag === undefined && href === null) continue;
    const wrapper = document.createElement(tag ?? 'a');
    if (href !== null) {
      wrapper.setAttribute('href', href);
      wrapper.setAttribute('rel', 'noopener noreferrer');
    }
    wrapper.append(node);
    node = wrapper;
  }
  return node;
}

function elementToDom(el: Y.XmlElement, newer: string, depth: number): Node {
  const name = el.nodeName;
  const level: unknown = name === 'heading' ? (el.getAttributes() as Readonly<Record<string, unknown>>)['level'] : null;
  const whole = typeof level === 'number' && Number.isInteger(level) ? Math.min(Math.max(level, 1), 6) : 1;
  const dom = document.createElement(name === 'heading' ? `h${whole}` : (TAGS.get(name) ?? 'div'));
  let inside = dom;
  if (name === 'codeBlock') {
    inside = document.createElement('pre');
    dom.append(inside);
  } else if (!NODES.has(name)) {
    dom.className = 'newer';
    const sign = document.createElement('p');
    sign.className = 'newer-sign';
    sign.textContent = newer;
    dom.append(sign);
  } else if (dom.tagName === 'DIV') {
    dom.className = 'part';
  }
  inside.append(...childrenToDom(el, newer, depth + 1));
  return dom;
}

function childrenToDom(of: Y.XmlElement | Y.XmlFragment, newer: string, depth: number): Node[] {
  if (depth > MAX_DEPTH) return [];
  return of.toArray().flatMap((child): Node[] => {
    if (child instanceof Y.XmlText) return runsOf(child).map(runToDom);
    return child instanceof Y.XmlElement ? [elementToDom(child, newer, depth)] : [];
  });
}

/** The note as HTML nodes; `newer` is said above parts this version does not know. */
export function toDom(fragment: Y.XmlFragment, newer: string): Node[] {
  return childrenToDom(fragment, newer, 0);
}

function prefixOf(el: Y.XmlElement, index: number): string {
  const parent = el.parent;
  if (el.nodeName === 'taskItem') return (el.getAttributes() as Readonly<Record<string, unknown>>)['checked'] === true ? '[x] ' : '[ ] ';
  if (el.nodeName !== 'listItem') return '';
  return parent instanceof Y.XmlElement && parent.nodeName === 'orderedList' ? `${index + 1}. ` : '- ';
}

function elementToText(el: Y.XmlElement, index: number, depth: number): string {
  if (el.nodeName === 'hardBreak') return '\n';
  if (el.nodeName === 'horizontalRule') return '---';
  const children = depth > MAX_DEPTH ? [] : el.toArray();
  const holdsText = children.some((child) => child instanceof Y.XmlText && child.length > 0);
  const parts = children.map((child, at) => {
    if (child instanceof Y.XmlText) return runsOf(child).map((run) => (typeof run.insert === 'string' ? run.insert : '')).join('');
    return child instanceof Y.XmlElement ? elementToText(child, at, depth + 1) : '';
  });
  const prefix = prefixOf(el, index);
  const tight = ['bulletList', 'orderedList', 'taskList', 'listItem', 'taskItem', 'table', 'tableRow'].includes(el.nodeName);
  const words = parts.join(holdsText ? '' : tight ? '\n' : '\n\n');
  return prefix + (prefix === '' ? words : words.replace(/\n/g, `\n${' '.repeat(prefix.length)}`));
}

/** The note's words for a clipboard: blocks apart, lists marked, nothing else. */
export function toText(fragment: Y.XmlFragment): string {
  return fragment
    .toArray()
    .map((child, at) => (child instanceof Y.XmlElement ? elementToText(child, at, 0) : child instanceof Y.XmlText ? runsOf(child).map((run) => String(run.insert)).join('') : ''))
    .join('\n\n')
    .trim();
}

// A heading longer than this is a paragraph in disguise; a window title shows less.
const MAX_TITLE = 80;

/** The first heading that has words, for the window's title. */
export function titleOf(fragment: Y.XmlFragment): string | null {
  for (const child of fragment.toArray()) {
    if (!(child instanceof Y.XmlElement) || child.nodeName !== 'heading') continue;
    const words = elementToText(child, 0, 0).replace(/\s+/g, ' ').trim();
    if (words !== '') return Array.from(words).slice(0, MAX_TITLE).join('');
  }
  return null;
}
