// From what is the editor's schema built: schema.json, plus whatever newer parts this document was found to hold.
import { Extension, Mark, Node, mergeAttributes, type Attribute, type Extensions } from '@tiptap/core';
import { Blockquote } from '@tiptap/extension-blockquote';
import { Bold } from '@tiptap/extension-bold';
import { Code } from '@tiptap/extension-code';
import { CodeBlock } from '@tiptap/extension-code-block';
import { Document } from '@tiptap/extension-document';
import { HardBreak } from '@tiptap/extension-hard-break';
import { Heading } from '@tiptap/extension-heading';
import { HorizontalRule } from '@tiptap/extension-horizontal-rule';
import { Italic } from '@tiptap/extension-italic';
import { BulletList, ListItem, OrderedList, TaskItem, TaskList } from '@tiptap/extension-list';
import { Paragraph } from '@tiptap/extension-paragraph';
import { Strike } from '@tiptap/extension-strike';
import { Text } from '@tiptap/extension-text';
import { safeHref } from './links';
import { NODES, markSpec, nodeSpec, type AttributeSpec, type NodeSpec } from './schema';
import type { Newer, NewerMark, NewerNode } from './survey';

/** Words the schema shows inside the text; given by the caller so that this file knows no language. */
export interface SchemaWords {
  readonly newer: string;
  readonly task: (text: string) => string;
}

const LANGUAGE_TAG = /^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$/;
const DEEPEST_HEADING = 6;
export const EDITABLE_HEADINGS = [1, 2, 3, 4] as const;

/** Kept in the document, never read from or written to HTML. */
const kept = (spec: AttributeSpec): Attribute => ({ default: spec.default, rendered: false, keepOnSplit: false, parseHTML: () => spec.default });

function rulesOf(name: string): { content: string; group?: string } {
  const { content = '', group } = nodeSpec(name);
  return group === undefined ? { content } : { content, group };
}

/** Attributes the file lists and the package does not know of. */
function missing(name: string, have: object): Record<string, Attribute> {
  const entries = Object.entries(nodeSpec(name).attrs).filter(([attr]) => !(attr in have));
  return Object.fromEntries(entries.map(([attr, spec]) => [attr, kept(spec)]));
}

function headingTag(level: unknown): string {
  const whole = typeof level === 'number' && Number.isInteger(level) ? level : 1;
  return `h${Math.min(Math.max(whole, 1), DEEPEST_HEADING)}`;
}

// Each package's own rules are replaced by the file's; key bindings are all in keys.ts.
const noKeys = { addKeyboardShortcuts: () => ({}) };

function edited(words: SchemaWords): Extensions {
  return [
    Document.extend(rulesOf('doc')),
    Text,
    Paragraph.extend({ ...rulesOf('paragraph'), ...noKeys, addAttributes: () => missing('paragraph', {}) }),
    Heading.extend({
      ...rulesOf('heading'),
      ...noKeys,
      addAttributes() {
        const own = this.parent?.() ?? {};
        return { ...own, ...missing('heading', own) };
      },
      // Pasted headings deeper than we write become the deepest we do.
      parseHTML() {
        const level = Math.max(...EDITABLE_HEADINGS);
        return [...(this.parent?.() ?? []), { tag: 'h5', attrs: { level } }, { tag: 'h6', attrs: { level } }];
      },
      renderHTML: ({ node, HTMLAttributes }) => [headingTag(node.attrs['level']), mergeAttributes(HTMLAttributes), 0],
    }).configure({ levels: [...EDITABLE_HEADINGS] }),
    BulletList.extend({ ...rulesOf('bulletList'), ...noKeys, addAttributes: () => missing('bulletList', {}) }),
    OrderedList.extend({
      ...rulesOf('orderedList'),
      ...noKeys,
      addAttributes() {
        const own = this.parent?.() ?? {};
        return { ...own, ...missing('orderedList', own) };
      },
    }),
    ListItem.extend({
      ...rulesOf('listItem'),
      addKeyboardShortcuts() {
        return { Enter: () => this.editor.commands.splitListItem(this.name) };
      },
    }),
    TaskList.extend({ ...rulesOf('taskList'), ...noKeys, addAttributes: () => missing('taskList', {}) }),
    TaskItem.extend({
      ...rulesOf('taskItem'),
      addKeyboardShortcuts() {
        return { Enter: () => this.editor.commands.splitListItem(this.name) };
      },
    }).configure({
      nested: true,
      a11y: { checkboxLabel: (node) => words.task(node.textContent) },
    }),
    Blockquote.extend({ ...rulesOf('blockquote'), ...noKeys, addAttributes: () => missing('blockquote', {}) }),
    CodeBlock.extend({
      ...rulesOf('codeBlock'),
      marks: '_',
      addAttributes() {
        const own = this.parent?.() ?? {};
        return { ...own, ...missing('codeBlock', own) };
      },
      addKeyboardShortcuts() {
        const own = { ...this.parent?.() };
        delete own['Mod-Alt-c'];
        return own;
      },
    }),
    HorizontalRule.extend({ ...rulesOf('horizontalRule'), addAttributes: () => missing('horizontalRule', {}) }),
    HardBreak.extend({ ...rulesOf('hardBreak') }),
    Bold.extend(noKeys),
    Italic.extend(noKeys),
    Strike.extend(noKeys),
    // Text may be both code and bold; stock rules would drop one when two people's marks meet.
    Code.extend({ ...noKeys, excludes: 'code' }),
    Link,
    markFromFile('mention', () => ({ class: 'mention' })),
    markFromFile('language', (attrs) => {
      const lang = attrs['lang'];
      return typeof lang === 'string' && LANGUAGE_TAG.test(lang) ? { lang } : {};
    }),
    markFromFile('unknownMark', () => ({ class: 'newer-text' })),
  ];
}

function ownAttributes(specs: Readonly<Record<string, AttributeSpec>>): Record<string, Attribute> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      {
        default: spec.default,
        rendered: false,
        keepOnSplit: false,
        // Cut and pasted within a note, a part brings its attributes along.
        parseHTML: (element: HTMLElement) => carried(element)[name] ?? spec.default,
      },
    ]),
  );
}

function carried(element: HTMLElement): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(element.dataset['attrs'] ?? '{}');
    return typeof parsed === 'object' && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

function markFromFile(name: string, html: (attrs: Readonly<Record<string, unknown>>) => Record<string, string>): Mark {
  const spec = markSpec(name);
  return Mark.create({
    name,
    ...(spec.excludes === undefined ? {} : { excludes: spec.excludes }),
    addAttributes: () => ownAttributes(spec.attrs),
    parseHTML: () => [{ tag: `span[data-mark="${name}"]` }],
    renderHTML: ({ mark }) => ['span', { 'data-mark': name, 'data-attrs': JSON.stringify(mark.attrs), ...html(mark.attrs) }, 0],
  });
}

/** A link carries an address and nothing else: where it opens is the reader's choice. */
const Link = Mark.create({
  name: 'link',
  priority: 1000,
  inclusive: false,
  addAttributes: () => ({
    href: { default: null, parseHTML: (element: HTMLElement) => safeHref(element.getAttribute('href')) },
  }),
  parseHTML: () => [{ tag: 'a[href]', getAttrs: (element) => (safeHref(element.getAttribute('href')) === null ? false : null) }],
  renderHTML: ({ mark }) => {
    const href = safeHref(mark.attrs['href']);
    // An address that is not allowed keeps its words and loses its way.
    return href === null ? ['span', { class: 'link-refused' }, 0] : ['a', { href, rel: 'noopener noreferrer' }, 0];
  },
});

/** A part of the first schema that has no editor of its own yet: shown plainly, kept whole. */
function plainNode(name: string, spec: NodeSpec): Node {
  const content = spec.content ?? '';
  return Node.create({
    name,
    content,
    ...(spec.group === undefined ? {} : { group: spec.group }),
    isolating: true,
    defining: true,
    addAttributes: () => ownAttributes(spec.attrs),
    parseHTML: () => [{ tag: `div[data-part="${name}"]` }],
    renderHTML: ({ node }) => {
      const attrs = { class: 'part', 'data-part': name, 'data-attrs': JSON.stringify(node.attrs) };
      const label: unknown = node.attrs['alt'] ?? node.attrs['name'] ?? node.attrs['title'] ?? '';
      return content === '' ? ['div', attrs, typeof label === 'string' ? label : ''] : ['div', attrs, 0];
    },
  });
}

/** A part this version has no name for: its own name, attributes and children are kept, and it is not edited here. */
function newerNode(name: string, found: NewerNode, words: SchemaWords): Node {
  const content = found.holds === 'inline' || found.inline ? 'inline*' : `(${['block', ...found.parts].join(' | ')})*`;
  const tag = found.inline ? 'span' : 'div';
  return Node.create({
    name,
    group: found.inline ? 'inline' : 'block',
    inline: found.inline,
    content,
    atom: true,
    isolating: true,
    defining: true,
    addAttributes: () => ownAttributes(Object.fromEntries([...found.attrs].map((attr) => [attr, { default: null }]))),
    parseHTML: () => [{ tag: `${tag}[data-newer="${name}"]`, contentElement: (element) => element.querySelector<HTMLElement>('[data-held]') ?? element }],
    renderHTML: ({ node }) => [
      tag,
      { class: 'newer', 'data-newer': name, 'data-attrs': JSON.stringify(node.attrs), contenteditable: 'false' },
      ['span', { class: 'newer-sign' }, words.newer],
      [tag, { 'data-held': '' }, 0],
    ],
  });
}

function newerMark(name: string, found: NewerMark): Mark {
  return Mark.create({
    name,
    ...(found.overlapping ? { excludes: '' } : {}),
    addAttributes: () => ownAttributes(Object.fromEntries([...found.attrs].map((attr) => [attr, { default: null }]))),
    parseHTML: () => [{ tag: `span[data-mark="${name}"]` }],
    renderHTML: ({ mark }) => ['span', { class: 'newer-text', 'data-mark': name, 'data-attrs': JSON.stringify(mark.attrs) }, 0],
  });
}

function extraAttributes(newer: Newer): Extension {
  return Extension.create({
    name: 'newerAttributes',
    addGlobalAttributes: () =>
      [...newer.nodeAttrs, ...newer.markAttrs].map(([name, attrs]) => ({
        types: [name],
        attributes: Object.fromEntries([...attrs].map((attr) => [attr, kept({ default: null })])),
      })),
  });
}

/** Everything that makes up the schema, and nothing that acts. */
export function schemaExtensions(newer: Newer, words: SchemaWords): Extensions {
  const own = edited(words);
  const have = new Set(own.map((extension) => extension.name));
  const plain = [...NODES].filter(([name]) => !have.has(name)).map(([name, spec]) => plainNode(name, spec));
  return [
    ...own,
    ...plain,
    ...[...newer.nodes].map(([name, found]) => newerNode(name, found, words)),
    ...[...newer.marks].map(([name, found]) => newerMark(name, found)),
    extraAttributes(newer),
  ];
}

/** What a document holds that was written by this version. */
export const NOTHING_NEWER: Newer = { nodes: new Map(), marks: new Map(), nodeAttrs: new Map(), markAttrs: new Map() };
