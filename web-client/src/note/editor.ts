// What is the editor made of? The schema, the shared document, others' carets, our keys, and nothing that styles inline.
import { Editor, Extension } from '@tiptap/core';
import { Collaboration } from '@tiptap/extension-collaboration';
import { Plugin } from '@tiptap/pm/state';
import { Decoration, DecorationSet } from '@tiptap/pm/view';
import { ySyncPluginKey } from '@tiptap/y-tiptap';
import type { Awareness } from 'y-protocols/awareness';
import type * as Y from 'yjs';
import { Carets } from './carets';
import { schemaExtensions, type SchemaWords } from './extensions';
import { Keys, type KeyOptions } from './keys';
import { hrefFromTyped, safeHref } from './links';
import type { Newer } from './survey';

/** The origin of every transaction in which the editor writes to the document. */
export const EDITOR_ORIGIN: unknown = ySyncPluginKey;

/** Read each time they are shown, so that they follow the reader's language. */
export interface EditorWords extends SchemaWords {
  readonly label: string;
  readonly placeholder: string;
  readonly nameless: string;
}

export interface EditorParts {
  readonly element: HTMLElement;
  readonly fragment: Y.XmlFragment;
  readonly awareness: Awareness;
  readonly newer: Newer;
  readonly editable: boolean;
  readonly words: EditorWords;
  readonly keys: KeyOptions;
}

/** Shows words where an empty note begins. */
function placeholder(words: EditorWords): Extension {
  return Extension.create({
    name: 'placeholder',
    addProseMirrorPlugins: () => [
      new Plugin({
        props: {
          decorations: ({ doc }) => {
            const first = doc.firstChild;
            if (doc.childCount !== 1 || first === null || first.type.name !== 'paragraph' || first.content.size > 0) return null;
            return DecorationSet.create(doc, [Decoration.node(0, first.nodeSize, { class: 'placeholder', 'data-placeholder': words.placeholder })]);
          },
        },
      }),
    ],
  });
}

/** An address pasted over words makes them a link; pasted alone, it becomes one. */
const pasteLinks = Extension.create({
  name: 'pasteLinks',
  addProseMirrorPlugins() {
    const { editor } = this;
    return [
      new Plugin({
        props: {
          handlePaste: (_view, event) => {
            const text = event.clipboardData?.getData('text/plain').trim() ?? '';
            const href = /^(https?:\/\/|mailto:)/i.test(text) ? hrefFromTyped(text) : null;
            if (href === null || editor.isActive('codeBlock')) return false;
            if (!editor.state.selection.empty) return editor.commands.setMark('link', { href });
            return editor.commands.insertContent({ type: 'text', text, marks: [{ type: 'link', attrs: { href } }] });
          },
          // In text that can be edited a click places the caret; with Ctrl it follows the link.
          handleClick: (_view, _pos, event) => {
            const anchor = event.target instanceof Element ? event.target.closest('a[href]') : null;
            const href = anchor === null ? null : safeHref(anchor.getAttribute('href'));
            if (href === null || !(event.ctrlKey || event.metaKey)) return false;
            window.open(href, '_blank', 'noopener,noreferrer');
            return true;
          },
        },
      }),
    ];
  },
});

export function createEditor(parts: EditorParts): Editor {
  const { words } = parts;
  return new Editor({
    element: parts.element,
    editable: parts.editable,
    // The page forbids inline styles; the rules the package would inject are in editor.css.
    injectCSS: false,
    extensions: [
      ...schemaExtensions(parts.newer, words),
      Collaboration.configure({ fragment: parts.fragment }),
      Carets.configure({ awareness: parts.awareness, nameless: words.nameless }),
      Keys.configure(parts.keys),
      placeholder(words),
      pasteLinks,
    ],
    editorProps: {
      // Room for what stays at the top of the page; the caret must not go under it.
      scrollThreshold: { top: 140, bottom: 24, left: 0, right: 0 },
      scrollMargin: { top: 160, bottom: 48, left: 0, right: 0 },
      attributes: () => ({
        role: 'textbox',
        'aria-multiline': 'true',
        'aria-label': words.label,
        class: 'note-text',
        spellcheck: 'true',
      }),
    },
  });
}
