// How does one kind of list become another? In place, items and all, so that nobody ends up with a list inside a list.
import type { Editor } from '@tiptap/core';
import { TextSelection } from '@tiptap/pm/state';

const ITEMS = { bulletList: 'listItem', orderedList: 'listItem', taskList: 'taskItem' } as const;
export type ListKind = keyof typeof ITEMS;

const isList = (name: string): name is ListKind => name in ITEMS;

/** Makes the list around the caret this kind, or plain text again if it is; makes a list where there is none. */
export function toggleList(editor: Editor, kind: ListKind): boolean {
  const { $from, $to } = editor.state.selection;
  for (let depth = Math.min($from.depth, $from.sharedDepth($to.pos)); depth > 0; depth -= 1) {
    const list = $from.node(depth);
    if (!isList(list.type.name)) continue;
    if (ITEMS[list.type.name] !== ITEMS[kind]) return turnInto(editor, kind, $from.before(depth));
    break;
  }
  if (kind === 'taskList') return editor.commands.toggleTaskList();
  return kind === 'bulletList' ? editor.commands.toggleBulletList() : editor.commands.toggleOrderedList();
}

/** Lists whose items differ in kind: every item keeps its content, so every position stays where it is. */
function turnInto(editor: Editor, kind: ListKind, at: number): boolean {
  return editor.commands.command(({ tr, state }) => {
    const list = tr.doc.nodeAt(at);
    const listType = state.schema.nodes[kind];
    const itemType = state.schema.nodes[ITEMS[kind]];
    if (list === null || listType === undefined || itemType === undefined) return false;
    const items = list.children.map((item) => itemType.create(null, item.content));
    const { anchor, head } = state.selection;
    tr.replaceWith(at, at + list.nodeSize, listType.create({ id: list.attrs['id'] as unknown }, items));
    tr.setSelection(TextSelection.create(tr.doc, anchor, head));
    return true;
  });
}
