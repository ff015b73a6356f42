// Is the editor's schema exactly the file's? The server checks notes against the file.
import { getSchema } from '@tiptap/core';
import { expect, test } from 'vitest';
import { NOTHING_NEWER, schemaExtensions } from './extensions';
import file from './schema.json';
import { MARKS, NODES } from './schema';

const schema = getSchema(schemaExtensions(NOTHING_NEWER, { newer: 'newer', task: (text) => text }));

function defaults(attrs: Readonly<Record<string, { default?: unknown }>> | null | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(attrs ?? {}).map(([name, spec]) => [name, spec.default]));
}

test('the editor and the file list the same nodes and marks', () => {
  expect(Object.keys(schema.nodes).sort()).toEqual([...NODES.keys()].sort());
  expect(Object.keys(schema.marks).sort()).toEqual([...MARKS.keys()].sort());
  expect(file.version).toBe(1);
});

for (const [name, spec] of NODES) {
  test(`node ${name} is as the file says`, () => {
    const built = schema.nodes[name]?.spec;
    expect(built?.content ?? '').toBe(spec.content ?? '');
    expect(built?.group ?? null).toBe(spec.group ?? null);
    expect(schema.nodes[name]?.isInline).toBe(spec.inline ?? false);
    expect(defaults(built?.attrs)).toEqual(defaults(spec.attrs));
    // Every text block takes every mark.
    if (spec.content === 'inline*') expect(schema.nodes[name]?.allowsMarks(Object.values(schema.marks).map((mark) => mark.create()))).toBe(true);
  });
}

for (const [name, spec] of MARKS) {
  test(`mark ${name} is as the file says`, () => {
    const built = schema.marks[name]?.spec;
    expect(defaults(built?.attrs)).toEqual(defaults(spec.attrs));
    expect(built?.excludes ?? name).toBe(spec.excludes ?? name);
  });
}

test('every container takes any number of children, the root excepted', () => {
  for (const [name, spec] of NODES) if (name !== 'doc' && spec.content !== undefined) expect(spec.content === '' || spec.content.endsWith('*'), name).toBe(true);
});
