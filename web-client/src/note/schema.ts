// What may a note hold, by name: the typed door to schema.json, which the server reads too.
import file from './schema.json';

export interface AttributeSpec {
  readonly default: string | number | boolean | null;
}
export interface NodeSpec {
  /** What it may contain, as a content expression; absent for text. */
  readonly content?: string;
  /** Words apart by spaces. `block` may stand anywhere blocks stand; absent for parts such as list items. */
  readonly group?: string;
  readonly inline?: boolean;
  readonly attrs: Readonly<Record<string, AttributeSpec>>;
}
export interface MarkSpec {
  readonly attrs: Readonly<Record<string, AttributeSpec>>;
  /** Empty when the same mark may lie over itself with other attributes. */
  readonly excludes?: string;
}

export const SCHEMA_VERSION: number = file.version;
export const NODES: ReadonlyMap<string, NodeSpec> = new Map(Object.entries<NodeSpec>(file.nodes));
export const MARKS: ReadonlyMap<string, MarkSpec> = new Map(Object.entries<MarkSpec>(file.marks));

/** The specification of a node the file is known to list. */
export function nodeSpec(name: string): NodeSpec {
  const spec = NODES.get(name);
  if (spec === undefined) throw new Error(`schema.json lists no node called ${name}`);
  return spec;
}

/** The specification of a mark the file is known to list. */
export function markSpec(name: string): MarkSpec {
  const spec = MARKS.get(name);
  if (spec === undefined) throw new Error(`schema.json lists no mark called ${name}`);
  return spec;
}
