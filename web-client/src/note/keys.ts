// Which keys do what in the text? All of them in one place, and none that a Welsh or UK keyboard needs for letters.
import { Extension, type Editor } from '@tiptap/core';
import { Plugin } from '@tiptap/pm/state';
import { EDITABLE_HEADINGS } from './extensions';
import { toggleList } from './lists';

export interface KeyOptions {
  /** Opens the dialog for a link. */
  onLink: () => void;
  /** Moves to the toolbar. */
  onToolbar: () => void;
  /** Called when Escape has freed the Tab key. */
  onLeave: () => void;
}

const LIST_ITEMS = ['listItem', 'taskItem'] as const;

function inList(editor: Editor): boolean {
  return LIST_ITEMS.some((name) => editor.isActive(name));
}

/** Ctrl+Alt with a digit, and not the AltGr key, which browsers report in the same way and which types letters. */
function headingKey(event: KeyboardEvent): number | null {
  if (!(event.ctrlKey || event.metaKey) || !event.altKey || event.shiftKey || event.getModifierState('AltGraph')) return null;
  const digit = /^Digit([0-4])$/.exec(event.code)?.[1];
  return digit === undefined ? null : Number(digit);
}

export const Keys = Extension.create<KeyOptions>({
  name: 'keys',
  // Before the packages' own bindings.
  priority: 1001,
  addOptions: () => ({ onLink: () => undefined, onToolbar: () => undefined, onLeave: () => undefined }),

  addStorage: () => ({ leaving: false }),

  addKeyboardShortcuts() {
    const { editor, options } = this;
    const storage = this.storage as { leaving: boolean };
    const move = (act: (name: string) => boolean): boolean => {
      if (storage.leaving || !inList(editor)) return false;
      LIST_ITEMS.some((name) => editor.isActive(name) && act(name));
      // Within a list Tab is about the list, even where there is nothing further to do.
      return true;
    };
    return {
      'Mod-b': () => editor.commands.toggleBold(),
      'Mod-i': () => editor.commands.toggleItalic(),
      'Mod-Shift-x': () => editor.commands.toggleStrike(),
      'Mod-e': () => editor.commands.toggleCode(),
      'Mod-k': () => {
        options.onLink();
        return true;
      },
      'Mod-Shift-7': () => toggleList(editor, 'orderedList'),
      'Mod-Shift-8': () => toggleList(editor, 'bulletList'),
      'Mod-Shift-9': () => toggleList(editor, 'taskList'),
      'Alt-F10': () => {
        options.onToolbar();
        return true;
      },
      Tab: () => move((name) => editor.commands.sinkListItem(name)),
      'Shift-Tab': () => move((name) => editor.commands.liftListItem(name)),
      Escape: () => {
        storage.leaving = true;
        options.onLeave();
        return true;
      },
    };
  },

  addProseMirrorPlugins() {
    const { editor } = this;
    const storage = this.storage as { leaving: boolean };
    return [
      new Plugin({
        props: {
          handleKeyDown: (_view, event) => {
            if (!['Tab', 'Shift', 'Escape'].includes(event.key)) storage.leaving = false;
            const level = headingKey(event);
            if (level === null) return false;
            const heading = EDITABLE_HEADINGS.find((known) => known === level);
            return heading === undefined ? editor.commands.setParagraph() : editor.commands.toggleHeading({ level: heading });
          },
          handleDOMEvents: {
            blur: () => {
              storage.leaving = false;
              return false;
            },
          },
        },
      }),
    ];
  },
});
