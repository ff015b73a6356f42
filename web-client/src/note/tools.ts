// What can be done to the text from the toolbar, and is it done already where the caret stands?
import type { Editor } from '@tiptap/core';
import type { Key } from '../i18n/index.svelte';
import type { IconName } from '../ui/icons';
import { EDITABLE_HEADINGS } from './extensions';
import { toggleList, type ListKind } from './lists';

export interface Tool {
  readonly id: string;
  readonly words: Key;
  readonly icon: IconName;
  /** As in aria-keyshortcuts, with `Mod` for Control, or Command where that is used. */
  readonly keys?: string;
  /** Absent for what is done once and is not a state. */
  readonly on?: (editor: Editor) => boolean;
  readonly can?: (editor: Editor) => boolean;
  readonly run: (editor: Editor) => void;
}

export interface Style {
  readonly id: string;
  readonly words: Key;
  readonly level?: 1 | 2 | 3 | 4;
  readonly keys?: string;
  readonly on: (editor: Editor) => boolean;
  readonly run: (editor: Editor) => void;
}

export const STYLES: readonly Style[] = [
  { id: 'text', words: 'tool.text', keys: 'Mod+Alt+0', on: (editor) => editor.isActive('paragraph') && !editor.isActive('blockquote'), run: (editor) => void editor.chain().focus().clearNodes().run() },
  ...EDITABLE_HEADINGS.map(
    (level): Style => ({
      id: `heading-${level}`,
      words: 'tool.heading',
      level,
      keys: `Mod+Alt+${level}`,
      on: (editor) => editor.isActive('heading', { level }),
      run: (editor) => void editor.chain().focus().setHeading({ level }).run(),
    }),
  ),
  { id: 'quote', words: 'tool.quote', on: (editor) => editor.isActive('blockquote'), run: (editor) => void editor.chain().focus().toggleBlockquote().run() },
  { id: 'code-block', words: 'tool.codeBlock', on: (editor) => editor.isActive('codeBlock'), run: (editor) => void editor.chain().focus().toggleCodeBlock().run() },
];

function list(editor: Editor, kind: ListKind): void {
  editor.view.focus();
  toggleList(editor, kind);
}

export const tools = (onLink: () => void): readonly (readonly Tool[])[] => [
  [
    { id: 'bold', words: 'tool.bold', icon: 'bold', keys: 'Mod+B', on: (editor) => editor.isActive('bold'), run: (editor) => void editor.chain().focus().toggleBold().run() },
    { id: 'italic', words: 'tool.italic', icon: 'italic', keys: 'Mod+I', on: (editor) => editor.isActive('italic'), run: (editor) => void editor.chain().focus().toggleItalic().run() },
    { id: 'strike', words: 'tool.strike', icon: 'strike', keys: 'Mod+Shift+X', on: (editor) => editor.isActive('strike'), run: (editor) => void editor.chain().focus().toggleStrike().run() },
    { id: 'code', words: 'tool.code', icon: 'code', keys: 'Mod+E', on: (editor) => editor.isActive('code'), run: (editor) => void editor.chain().focus().toggleCode().run() },
    { id: 'link', words: 'tool.link', icon: 'link', keys: 'Mod+K', on: (editor) => editor.isActive('link'), run: onLink },
  ],
  [
    { id: 'bullets', words: 'tool.bullets', icon: 'bullets', keys: 'Mod+Shift+8', on: (editor) => editor.isActive('bulletList'), run: (editor) => list(editor, 'bulletList') },
    { id: 'numbers', words: 'tool.numbers', icon: 'numbers', keys: 'Mod+Shift+7', on: (editor) => editor.isActive('orderedList'), run: (editor) => list(editor, 'orderedList') },
    { id: 'tasks', words: 'tool.tasks', icon: 'tasks', keys: 'Mod+Shift+9', on: (editor) => editor.isActive('taskList'), run: (editor) => list(editor, 'taskList') },
    { id: 'divider', words: 'tool.divider', icon: 'divider', run: (editor) => void editor.chain().focus().setHorizontalRule().run() },
  ],
  [
    { id: 'undo', words: 'tool.undo', icon: 'undo', keys: 'Mod+Z', can: (editor) => editor.can().undo(), run: (editor) => void editor.chain().focus().undo().run() },
    { id: 'redo', words: 'tool.redo', icon: 'redo', keys: 'Mod+Shift+Z', can: (editor) => editor.can().redo(), run: (editor) => void editor.chain().focus().redo().run() },
  ],
];

const APPLE = /mac|iphone|ipad/i;

/** Key names as this machine's keyboard has them. */
export function keysHere(keys: string, platform: string): string {
  return keys.replace('Mod', APPLE.test(platform) ? 'Meta' : 'Control');
}
