// Does undo take back my own edits and leave everyone else's?
import { Editor } from '@tiptap/core';
import { Collaboration } from '@tiptap/extension-collaboration';
import { expect, test } from 'vitest';
import * as Y from 'yjs';
import { NOTHING_NEWER, schemaExtensions } from './extensions';

/** Two documents that hear of each other's changes at once, each under an editor. */
function pair(): readonly [Editor, Editor] {
  const docs = [new Y.Doc(), new Y.Doc()] as const;
  docs[0].on('update', (update: Uint8Array, origin: unknown) => origin !== 'net' && Y.applyUpdate(docs[1], update, 'net'));
  docs[1].on('update', (update: Uint8Array, origin: unknown) => origin !== 'net' && Y.applyUpdate(docs[0], update, 'net'));
  const open = (document: Y.Doc): Editor =>
    new Editor({
      element: globalThis.document.createElement('div'),
      injectCSS: false,
      extensions: [...schemaExtensions(NOTHING_NEWER, { newer: '', task: (text) => text }), Collaboration.configure({ document })],
    });
  return [open(docs[0]), open(docs[1])];
}

test('undo and redo touch one’s own edits only', () => {
  const [mine, theirs] = pair();
  mine.commands.insertContent('mine');
  theirs.commands.insertContentAt(theirs.state.doc.content.size, { type: 'paragraph', content: [{ type: 'text', text: 'theirs' }] });
  expect(mine.getText({ blockSeparator: '|' })).toBe('mine|theirs');
  mine.commands.undo();
  expect(mine.getText({ blockSeparator: '|' })).not.toContain('mine');
  expect(theirs.getText({ blockSeparator: '|' })).toContain('theirs');
  mine.commands.redo();
  expect(theirs.getText({ blockSeparator: '|' })).toBe('mine|theirs');
  mine.destroy();
  theirs.destroy();
});

test('two people empty a quote together and both keep it', () => {
  const [mine, theirs] = pair();
  mine.commands.setContent({ type: 'doc', content: [{ type: 'blockquote', content: [{ type: 'paragraph', content: [{ type: 'text', text: 'a' }] }, { type: 'paragraph', content: [{ type: 'text', text: 'b' }] }] }] });
  mine.view.dispatch(mine.state.tr.delete(1, 4));
  theirs.view.dispatch(theirs.state.tr.delete(1, 4));
  expect(mine.getJSON()).toEqual(theirs.getJSON());
  expect(mine.state.doc.firstChild?.type.name).toBe('blockquote');
  mine.destroy();
  theirs.destroy();
});
