// Is there really a copy on this device? Keeps one in the browser's database and reads it back before saying so.
import { IndexeddbPersistence } from 'y-indexeddb';
import type * as Y from 'yjs';
import type { LocalCopy } from '../note/saved';

const PREFIX = 'commonplace/note/';
const PROBE = 'commonplace/probe';
const UPDATES = 'updates';

/** Whether this browser lets the page keep anything; private windows and strict settings may not. */
function mayKeep(): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open(PROBE);
      request.onerror = () => resolve(false);
      request.onblocked = () => resolve(false);
      request.onsuccess = () => {
        request.result.close();
        resolve(true);
      };
    } catch {
      resolve(false);
    }
  });
}

/** The number of the newest entry that is on disk; 0 when there is none, null when it cannot be read. */
function newestEntry(db: IDBDatabase): Promise<number | null> {
  return new Promise((resolve) => {
    try {
      // Queued behind every write begun before it, so its answer covers them.
      const transaction = db.transaction(UPDATES, 'readonly');
      const request = transaction.objectStore(UPDATES).openKeyCursor(null, 'prev');
      request.onsuccess = () => resolve(typeof request.result?.key === 'number' ? request.result.key : 0);
      request.onerror = () => resolve(null);
      transaction.onabort = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

/** Follows `doc` until closed, and reports each change of what is true. */
export function openLocalCopy(name: string, doc: Y.Doc, report: (state: LocalCopy) => void): { close(): void } {
  let closed = false;
  let persistence: IndexeddbPersistence | null = null;
  let written = 0;
  let newest = 0;
  let checking = false;
  let failed = false;

  const tell = (state: LocalCopy): void => {
    if (!closed) report(state);
  };
  const fail = (): void => {
    failed = true;
    tell('none');
  };

  const check = async (): Promise<void> => {
    const db = persistence?.db;
    if (checking || closed || failed || db === null || db === undefined) return;
    checking = true;
    const expected = newest + written;
    const counted = written;
    const found = await newestEntry(db);
    checking = false;
    if (closed) return;
    // A write that was rolled back (a full disk) leaves its number unused: the newest entry is then older than it should be.
    if (found === null || found < expected) return fail();
    newest = found;
    written -= counted;
    if (written === 0) tell('kept');
    else await check();
  };

  const onUpdate = (_update: Uint8Array, origin: unknown): void => {
    if (persistence === null || origin === persistence || failed || persistence.db === null || !persistence.synced) return;
    written += 1;
    tell('behind');
    void check();
  };

  void mayKeep().then((may) => {
    if (closed) return;
    if (!may) return fail();
    const opened = new IndexeddbPersistence(PREFIX + name, doc);
    persistence = opened;
    doc.on('update', onUpdate);
    opened.on('synced', () => void check());
  });

  return {
    close: () => {
      closed = true;
      doc.off('update', onUpdate);
      void persistence?.destroy();
    },
  };
}
