// Where is everyone writing? Carets of others, each claim checked, never more than the eye can follow.
import { Extension } from '@tiptap/core';
import type { EditorView } from '@tiptap/pm/view';
import { Plugin, type EditorState } from '@tiptap/pm/state';
import { relativePositionToAbsolutePosition, yCursorPlugin, ySyncPluginKey } from '@tiptap/y-tiptap';
import type { Awareness } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { personOf } from './presence';

// Beyond this, carets are noise; the list of names still shows everyone.
export const MAX_CARETS = 12;
// Long enough to see who moved; then the name gives the line above back.
const NAME_SHOWN_MS = 3_000;
// Scrolling settles before the nearest are chosen anew.
const CHOOSE_AGAIN_MS = 200;

interface Placed {
  readonly client: number;
  readonly at: number;
}

/** The clients whose carets lie nearest to `centre`. */
export function nearest(placed: readonly Placed[], centre: number, most: number = MAX_CARETS): Set<number> {
  const sorted = [...placed].sort((a, b) => Math.abs(a.at - centre) - Math.abs(b.at - centre) || a.client - b.client);
  return new Set(sorted.slice(0, most).map(({ client }) => client));
}

/** Where in the text a client says its caret is; null if it says nothing sensible. */
function placeOf(state: EditorState, claim: unknown): number | null {
  const sync: unknown = ySyncPluginKey.getState(state);
  if (typeof claim !== 'object' || claim === null || !('cursor' in claim) || sync === null || typeof sync !== 'object') return null;
  const cursor = claim.cursor as { readonly anchor?: unknown; readonly head?: unknown } | null;
  if (typeof cursor !== 'object' || cursor === null) return null;
  const { doc, type, binding } = sync as { doc: Y.Doc; type: Y.XmlFragment; binding: { mapping: Map<Y.AbstractType<unknown>, never> } | null };
  if (binding === null) return null;
  try {
    // A position from another hand may have any shape; whatever cannot be placed is not shown.
    const [anchor, head] = [cursor.anchor, cursor.head].map((end) =>
      relativePositionToAbsolutePosition(doc, type, Y.createRelativePositionFromJSON(end), binding.mapping),
    );
    return typeof anchor === 'number' && typeof head === 'number' && Number.isInteger(anchor) && Number.isInteger(head) ? head : null;
  } catch {
    return null;
  }
}

function centreOf(view: EditorView): number {
  const box = view.dom.getBoundingClientRect();
  const top = Math.max(box.top, 0);
  const bottom = Math.min(box.bottom, window.innerHeight);
  return view.posAtCoords({ left: box.left + box.width / 2, top: (top + bottom) / 2 })?.pos ?? view.state.selection.head;
}

export interface CaretOptions {
  awareness: Awareness | null;
  /** What to call someone who gives no name. */
  nameless: string;
}

export const Carets = Extension.create<CaretOptions>({
  name: 'carets',
  // After the binding, which it reads.
  priority: 999,
  addOptions: () => ({ awareness: null, nameless: '' }),

  addProseMirrorPlugins() {
    const { awareness, nameless } = this.options;
    if (awareness === null) return [];
    let shown = new Set<number>();
    const drawn = new Map<number, HTMLElement>();
    const fading = new Map<number, ReturnType<typeof setTimeout>>();

    /** Shows the name beside a caret for a while. */
    const moved = (client: number): void => {
      const caret = drawn.get(client);
      if (caret === undefined) return;
      caret.classList.add('moved');
      const before = fading.get(client);
      if (before !== undefined) clearTimeout(before);
      fading.set(client, setTimeout(() => drawn.get(client)?.classList.remove('moved'), NAME_SHOWN_MS));
    };

    const choose = (view: EditorView): void => {
      const placed: Placed[] = [];
      for (const [client, state] of awareness.getStates()) {
        const at = client === awareness.clientID ? null : placeOf(view.state, state);
        if (at !== null) placed.push({ client, at });
      }
      shown = placed.length <= MAX_CARETS ? new Set(placed.map(({ client }) => client)) : nearest(placed, centreOf(view));
    };

    const chooser = new Plugin({
      view: (view) => {
        let timer: ReturnType<typeof setTimeout> | null = null;
        const onChange = ({ updated, removed }: { readonly updated: readonly number[]; readonly removed: readonly number[] }): void => {
          choose(view);
          updated.forEach(moved);
          for (const client of removed) {
            drawn.delete(client);
            clearTimeout(fading.get(client));
            fading.delete(client);
          }
        };
        const onScroll = (): void => {
          timer ??= setTimeout(() => {
            timer = null;
            choose(view);
          }, CHOOSE_AGAIN_MS);
        };
        // Registered before the caret plugin's own listener, so that it draws the new choice.
        awareness.on('change', onChange);
        window.addEventListener('scroll', onScroll, { passive: true });
        return {
          destroy: () => {
            awareness.off('change', onChange);
            window.removeEventListener('scroll', onScroll);
            if (timer !== null) clearTimeout(timer);
            for (const each of fading.values()) clearTimeout(each);
          },
        };
      },
    });

    const person = (client: number): ReturnType<typeof personOf> => personOf(client, awareness.getStates().get(client), awareness.clientID, nameless);
    const isShown = (own: number, client: number, state: unknown): boolean => {
      // What someone calls themselves goes through `personOf`; the plugin's own defaults must have nothing to complain of.
      const user: unknown = typeof state === 'object' && state !== null && 'user' in state ? state.user : null;
      return client !== own && shown.has(client) && typeof user === 'object' && user !== null;
    };

    return [
      chooser,
      yCursorPlugin(awareness, {
        awarenessStateFilter: isShown,
        cursorBuilder: (_user: unknown, client: number) => {
          const { name, ink } = person(client);
          const caret = document.createElement('span');
          caret.className = `caret ink-${ink}`;
          drawn.set(client, caret);
          moved(client);
          // Others' carets are pictures; the list of people is what can be read out.
          caret.setAttribute('aria-hidden', 'true');
          const label = document.createElement('span');
          label.className = 'caret-name';
          label.textContent = name;
          caret.append('\u2060', label, '\u2060');
          return caret;
        },
        selectionBuilder: (_user: unknown, client: number) => ({ class: `caret-selection ink-${person(client).ink}` }),
      }),
    ];
  },
});
