// Is "saved on this device" only ever said of words that can be read back from it?
import { IDBFactory, IDBKeyRange, IDBObjectStore } from 'fake-indexeddb';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import type { LocalCopy } from '../note/saved';
import { openLocalCopy } from './local-copy';

const open: Array<{ close(): void }> = [];
beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory());
  vi.stubGlobal('IDBKeyRange', IDBKeyRange);
});
afterEach(() => {
  for (const copy of open.splice(0)) copy.close();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function follow(doc: Y.Doc, name = 'note'): { said: LocalCopy[]; until: (state: LocalCopy) => Promise<void> } {
  const said: LocalCopy[] = [];
  let wake = (): void => undefined;
  open.push(
    openLocalCopy(name, doc, (state) => {
      said.push(state);
      wake();
    }),
  );
  const until = async (state: LocalCopy): Promise<void> => {
    while (said.at(-1) !== state) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { said, until };
}

test('kept once it can be read, behind while it cannot, and there again for the next page', async () => {
  const doc = new Y.Doc();
  const { said, until } = follow(doc);
  await until('kept');
  doc.getText('t').insert(0, 'words');
  expect(said.at(-1)).toBe('behind');
  await until('kept');
  const again = new Y.Doc();
  await follow(again).until('kept');
  expect(again.getText('t').toString()).toBe('words');
});

test('another note has another copy', async () => {
  const doc = new Y.Doc();
  const { until } = follow(doc, 'one');
  await until('kept');
  doc.getText('t').insert(0, 'words');
  await until('kept');
  const other = new Y.Doc();
  await follow(other, 'two').until('kept');
  expect(other.getText('t').toString()).toBe('');
});

test('a write that leaves nothing behind ends the claim', async () => {
  const doc = new Y.Doc();
  const { said, until } = follow(doc);
  await until('kept');
  // A full disk: the request ends and there is no entry.
  vi.spyOn(IDBObjectStore.prototype, 'add').mockImplementation(function (this: IDBObjectStore) {
    return this.count() as unknown as IDBRequest<IDBValidKey>;
  });
  doc.getText('t').insert(0, 'lost');
  await until('none');
  vi.restoreAllMocks();
  doc.getText('t').insert(0, 'more');
  expect(said.at(-1)).toBe('none');
});

test('a browser that keeps nothing is told from one that does', async () => {
  vi.stubGlobal('indexedDB', {
    open: () => {
      throw new Error('forbidden');
    },
  });
  await follow(new Y.Doc()).until('none');
});
