// Does a list change its kind in place?
import { Editor } from '@tiptap/core';
import { expect, test } from 'vitest';
import { NOTHING_NEWER, schemaExtensions } from './extensions';
import { toggleList, type ListKind } from './lists';

function check(title: string, before: string, kind: ListKind, after: string): void {
  test(title, () => {
    const editor = new Editor({ element: document.createElement('div'), injectCSS: false, extensions: schemaExtensions(NOTHING_NEWER, { newer: '', task: (text) => text }) });
    editor.commands.setContent(before);
    let at = 1;
    editor.state.doc.descendants((node, pos) => {
      if (node.text === 'here') at = pos + 2;
    });
    editor.commands.setTextSelection(at);
    toggleList(editor, kind);
    const short = editor.state.doc.toString().replaceAll('paragraph', 'p').replaceAll('List', '').replaceAll('Item', '');
    expect(short).toBe(after);
    expect(editor.state.selection.$from.parent.textContent).toBe('here');
    editor.destroy();
  });
}

check('text becomes a list', '<p>here</p>', 'bulletList', 'doc(bullet(list(p("here"))))');
check('and text again', '<ul><li><p>here</p></li></ul>', 'bulletList', 'doc(p("here"))');
check('bullets become numbers', '<ul><li><p>here</p></li><li><p>b</p></li></ul>', 'orderedList', 'doc(ordered(list(p("here")), list(p("b"))))');
check('numbers become tasks', '<ol><li><p>a</p></li><li><p>here</p></li></ol>', 'taskList', 'doc(task(task(p("a")), task(p("here"))))');
check('tasks become bullets', '<ul data-type="taskList"><li data-type="taskItem"><p>here</p></li></ul>', 'bulletList', 'doc(bullet(list(p("here"))))');
check('only the inner list changes', '<ul><li><p>a</p><ul><li><p>here</p></li></ul></li></ul>', 'taskList', 'doc(bullet(list(p("a"), task(task(p("here"))))))');
