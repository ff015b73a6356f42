// Can the editor hold this document whole? Answered before the editor sees it, because the binding between
// editor and document deletes, for everyone, whatever the editor's schema cannot express.
import * as Y from 'yjs';
import { MARKS, NODES, type NodeSpec } from './schema';

// Deeper nesting is no text anyone wrote, and would exhaust the stack of every reader.
const MAX_DEPTH = 100;
// Names that the editor's own machinery gives a meaning; an element called so cannot become a node type.
const RESERVED = new Set(['doc', 'text', 'ychange']);
// Names under which the editor keeps its own behaviours; it holds one thing under each name.
const BEHAVIOURS = new Set([
  'carets', 'clipboardTextSerializer', 'collaboration', 'commands', 'delete', 'drop', 'editable', 'focusEvents', 'keymap',
  'keys', 'newerAttributes', 'paste', 'pasteLinks', 'placeholder', 'tabindex', 'textDirection',
]);
const NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;
// The binding writes marks that may overlap themselves as `name--hash`.
const OVERLAPPING = /^(.*)--[a-zA-Z0-9+/=]{8}$/;

/** A node of a newer schema, as far as it can be told from its uses. */
export interface NewerNode {
  readonly inline: boolean;
  readonly holds: 'blocks' | 'inline' | 'nothing';
  /** Known parts (list items, table rows …) seen directly inside. */
  readonly parts: ReadonlySet<string>;
  readonly attrs: ReadonlySet<string>;
}
export interface NewerMark {
  readonly overlapping: boolean;
  readonly attrs: ReadonlySet<string>;
}
/** What the document has beyond our schema, by name. */
export interface Newer {
  readonly nodes: ReadonlyMap<string, NewerNode>;
  readonly marks: ReadonlyMap<string, NewerMark>;
  /** Attributes of known nodes and marks that our version does not list. */
  readonly nodeAttrs: ReadonlyMap<string, ReadonlySet<string>>;
  readonly markAttrs: ReadonlyMap<string, ReadonlySet<string>>;
}
export type Survey = { readonly kind: 'whole'; readonly newer: Newer } | { readonly kind: 'cannot-hold'; readonly why: string };

interface FoundNode {
  inline: boolean;
  holds: 'blocks' | 'inline' | 'nothing';
  parts: Set<string>;
  attrs: Set<string>;
}
interface FoundMark {
  overlapping: boolean;
  attrs: Set<string>;
}
interface Found {
  nodes: Map<string, FoundNode>;
  marks: Map<string, FoundMark>;
  nodeAttrs: Map<string, Set<string>>;
  markAttrs: Map<string, Set<string>>;
}

class CannotHold extends Error {}

function isBlock(spec: NodeSpec): boolean {
  return spec.group?.split(' ').includes('block') === true;
}

function holdsInline(spec: NodeSpec): boolean {
  return spec.content === 'inline*';
}

function addAll(map: Map<string, Set<string>>, name: string, attrs: readonly string[]): void {
  if (attrs.length === 0) return;
  const set = map.get(name) ?? new Set();
  for (const attr of attrs) set.add(attr);
  map.set(name, set);
}

function checkName(name: string): void {
  if (!NAME.test(name) || RESERVED.has(name) || BEHAVIOURS.has(name)) throw new CannotHold(`a part called ${JSON.stringify(name)}`);
}

function surveyText(text: Y.XmlText, found: Found): void {
  const delta: unknown = text.toDelta();
  if (!Array.isArray(delta)) throw new CannotHold('text that cannot be read');
  for (const run of delta as readonly unknown[]) {
    const { insert, attributes } = run as { insert: unknown; attributes?: Readonly<Record<string, unknown>> };
    if (typeof insert !== 'string') throw new CannotHold('something other than letters inside a text');
    for (const [key, value] of Object.entries(attributes ?? {})) surveyMark(key, value, found);
  }
}

function surveyMark(key: string, value: unknown, found: Found): void {
  const bare = OVERLAPPING.exec(key)?.[1];
  const name = bare ?? key;
  const overlapping = bare !== undefined;
  const given = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const spec = MARKS.get(name);
  if (spec !== undefined) {
    if (overlapping !== (spec.excludes === '')) throw new CannotHold(`the mark ${name} in an unexpected form`);
    addAll(found.markAttrs, name, given.filter((attr) => !Object.hasOwn(spec.attrs, attr)));
    return;
  }
  checkName(name);
  if (NODES.has(name) || found.nodes.has(name)) throw new CannotHold(`${name} both as a mark and as a part`);
  const mark = found.marks.get(name) ?? { overlapping, attrs: new Set<string>() };
  if (mark.overlapping !== overlapping) throw new CannotHold(`the mark ${name} in two forms`);
  for (const attr of given) mark.attrs.add(attr);
  found.marks.set(name, mark);
}

/** Which children an element takes: decided by our schema for known names, by what it has for newer ones. */
function surveyElement(el: Y.XmlElement, within: 'blocks' | 'inline', depth: number, found: Found): void {
  if (depth > MAX_DEPTH) throw new CannotHold('parts nested too deeply');
  const name = el.nodeName;
  const given = Object.keys(el.getAttributes());
  if (given.includes('ychange')) throw new CannotHold('marks of a comparison');
  const spec = NODES.get(name);
  if (spec !== undefined && !RESERVED.has(name)) {
    addAll(found.nodeAttrs, name, given.filter((attr) => !Object.hasOwn(spec.attrs, attr)));
    surveyKnown(el, spec, depth, found);
    return;
  }
  checkName(name);
  if (MARKS.has(name) || found.marks.has(name)) throw new CannotHold(`${name} both as a mark and as a part`);
  surveyNewer(el, within, given, depth, found);
}

function surveyKnown(el: Y.XmlElement, spec: NodeSpec, depth: number, found: Found): void {
  for (const child of el.toArray()) {
    if (child instanceof Y.XmlText) {
      surveyText(child, found);
      if (child.length > 0 && !holdsInline(spec)) throw new CannotHold(`bare text in ${el.nodeName}`);
    } else if (child instanceof Y.XmlElement) {
      const childSpec = NODES.get(child.nodeName);
      if (childSpec === undefined) {
        // A newer name may stand where any block or any inline part may stand, and nowhere else.
        if (!holdsInline(spec) && spec.content !== 'block*') throw new CannotHold(`${child.nodeName} in ${el.nodeName}`);
        surveyElement(child, holdsInline(spec) ? 'inline' : 'blocks', depth + 1, found);
      } else {
        if (!takes(spec, child.nodeName, childSpec)) throw new CannotHold(`${child.nodeName} in ${el.nodeName}`);
        surveyElement(child, 'blocks', depth + 1, found);
      }
    } else {
      throw new CannotHold(`a part of an unknown kind in ${el.nodeName}`);
    }
  }
}

/** Whether a known container takes a known child. */
function takes(spec: NodeSpec, name: string, child: NodeSpec): boolean {
  const content = spec.content ?? '';
  if (content === 'inline*') return child.inline === true;
  if (content === 'block*') return isBlock(child);
  return content.replace(/[()*]/g, '').split('|').map((part) => part.trim()).includes(name);
}

function surveyNewer(el: Y.XmlElement, within: 'blocks' | 'inline', given: readonly string[], depth: number, found: Found): void {
  const name = el.nodeName;
  const node = found.nodes.get(name) ?? {
    inline: within === 'inline',
    holds: 'nothing' as const,
    parts: new Set<string>(),
    attrs: new Set<string>(),
  };
  if (node.inline !== (within === 'inline')) throw new CannotHold(`${name} both within lines and as a block`);
  for (const attr of given) node.attrs.add(attr);
  found.nodes.set(name, node);
  const hold = (holds: 'blocks' | 'inline'): void => {
    if (node.holds !== 'nothing' && node.holds !== holds) throw new CannotHold(`${name} with text and parts mixed`);
    node.holds = holds;
  };
  for (const child of el.toArray()) {
    if (child instanceof Y.XmlText) {
      surveyText(child, found);
      if (child.length > 0) hold('inline');
    } else if (child instanceof Y.XmlElement) {
      const childSpec = NODES.get(child.nodeName);
      // Inside a newer inline part, newer parts are inline as well; elsewhere they are taken for blocks.
      const inline = childSpec !== undefined ? childSpec.inline === true : node.inline || found.nodes.get(child.nodeName)?.inline === true;
      hold(inline ? 'inline' : 'blocks');
      if (childSpec !== undefined && !inline && !isBlock(childSpec)) node.parts.add(child.nodeName);
      surveyElement(child, inline ? 'inline' : 'blocks', depth + 1, found);
    } else {
      throw new CannotHold(`a part of an unknown kind in ${name}`);
    }
  }
  if (node.inline && node.holds === 'blocks') throw new CannotHold(`blocks inside ${name}, which stands within a line`);
}

/** Reads the whole fragment and changes nothing. */
export function survey(fragment: Y.XmlFragment): Survey {
  const found: Found = { nodes: new Map(), marks: new Map(), nodeAttrs: new Map(), markAttrs: new Map() };
  try {
    for (const child of fragment.toArray()) {
      if (!(child instanceof Y.XmlElement)) throw new CannotHold('text outside every block');
      const spec = NODES.get(child.nodeName);
      if (spec !== undefined && !RESERVED.has(child.nodeName) && !isBlock(spec)) throw new CannotHold(`${child.nodeName} outside its container`);
      surveyElement(child, 'blocks', 1, found);
    }
  } catch (error) {
    if (error instanceof CannotHold) return { kind: 'cannot-hold', why: error.message };
    throw error;
  }
  return { kind: 'whole', newer: found };
}

function within(small: ReadonlySet<string>, big: ReadonlySet<string> | undefined): boolean {
  return small.size === 0 || (big !== undefined && [...small].every((item) => big.has(item)));
}

/** Whether an editor built for `built` can also hold a document that needs `now`. */
export function covers(built: Newer, now: Newer): boolean {
  for (const [name, node] of now.nodes) {
    const have = built.nodes.get(name);
    if (have === undefined || have.inline !== node.inline || !within(node.parts, have.parts) || !within(node.attrs, have.attrs)) return false;
    if (node.holds !== 'nothing' && node.holds !== have.holds) return false;
  }
  for (const [name, mark] of now.marks) {
    const have = built.marks.get(name);
    if (have === undefined || have.overlapping !== mark.overlapping || !within(mark.attrs, have.attrs)) return false;
  }
  for (const [name, attrs] of now.nodeAttrs) if (!within(attrs, built.nodeAttrs.get(name))) return false;
  for (const [name, attrs] of now.markAttrs) if (!within(attrs, built.markAttrs.get(name))) return false;
  return true;
}
