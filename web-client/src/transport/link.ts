// How does a note travel? One socket to our own server, one document on it, and the plain facts about both.
import { HocuspocusProvider, HocuspocusProviderWebsocket, MessageType, WebSocketStatus } from '@hocuspocus/provider';
import type { Awareness } from 'y-protocols/awareness';
import type * as Y from 'yjs';
import type { Storage } from '../note/saved';
import { makeTally, type Tally } from './tally';

// After a lost connection the provider waits for one fixed delay before its first attempt. Each page draws its own, so that
// everyone whose server restarted does not come back at the same moment.
const RETRY_MIN_MS = 500;
const RETRY_SPREAD_MS = 2_000;
const PERMISSION_DENIED = 'permission-denied';
// The server closes a socket with this code while it cannot reach its storage (PROTOCOL.md).
const STORAGE_AWAY = 4503;

export interface LinkFacts {
  readonly connected: boolean;
  readonly synced: boolean;
  readonly unsynced: number;
  /** The server answered a change with a refusal on this connection. */
  readonly turnedAway: boolean;
  readonly storage: Storage;
  readonly refused: string | null;
  readonly readOnly: boolean;
}

export interface Link {
  readonly awareness: Awareness;
  close(): void;
}

export function syncAddress(location: { readonly protocol: string; readonly host: string }): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/sync`;
}

/** A whole number of milliseconds: the provider refuses to connect at all with anything else. */
export function retryDelay(random: () => number = Math.random): number {
  return RETRY_MIN_MS + Math.round(random() * RETRY_SPREAD_MS);
}

export function openLink(name: string, doc: Y.Doc, address: string, report: (facts: LinkFacts) => void): Link {
  let refused: string | null = null;
  let turnedAway = false;
  let storage: Storage = 'well';

  const tally = makeTally();
  // Before the provider hears of a change: it sends it at once.
  const changed = (_update: Uint8Array, origin: unknown): void => {
    if (origin !== provider) tally.changed();
  };
  doc.on('update', changed);

  const socket = new HocuspocusProviderWebsocket({
    url: address,
    delay: retryDelay(),
    minDelay: RETRY_MIN_MS,
    WebSocketPolyfill: countedBy(tally, () => tell()),
  });
  const provider = new HocuspocusProvider({ name, document: doc, websocketProvider: socket });
  const { awareness } = provider;
  if (awareness === null) throw new Error('the provider makes an awareness unless told not to');

  const isConnected = (): boolean => socket.status === WebSocketStatus.Connected;
  const tell = (): void =>
    report({
      connected: isConnected(),
      synced: provider.isSynced,
      unsynced: Math.max(provider.unsyncedChanges, tally.unacknowledged),
      turnedAway,
      storage,
      refused,
      readOnly: provider.authorizedScope === 'readonly',
    });

  provider.on('status', () => {
    // A new connection begins with an exchange of everything, so an old refusal of one change says nothing about it.
    turnedAway = false;
    tell();
  });
  for (const event of ['synced', 'unsyncedChanges', 'disconnect']) provider.on(event, tell);
  provider.on('authenticated', () => {
    refused = null;
    // Whoever joins in bad times is told so next.
    storage = 'well';
    tell();
  });
  provider.on('authenticationFailed', ({ reason }: { reason: string }) => {
    refused = reason;
    tell();
  });
  provider.on('stateless', ({ payload }: { payload: string }) => {
    storage = storageIn(payload) ?? storage;
    tell();
  });
  provider.on('message', ({ message }: { message: { readVarString(): string; readVarUint(): number } }) => {
    message.readVarString();
    // A refused change stays in the provider's count and raises no event of its own.
    if (message.readVarUint() === Number(MessageType.SyncStatus) && message.readVarUint() === 0) {
      turnedAway = true;
      tell();
    }
  });
  provider.on('close', ({ event }: { event: { readonly reason?: string; readonly code?: number } }) => {
    if (event.code === STORAGE_AWAY) storage = 'away';
    if (isConnected() && refused === null) {
      if (event.reason === PERMISSION_DENIED) refused = event.reason;
      // The server closed the document and left the socket open. The provider would wait for ever; a fresh socket,
      // after the usual delay, begins again from what both sides have.
      else socket.webSocket?.close();
    }
    tell();
  });
  provider.attach();

  return {
    awareness,
    close: () => {
      doc.off('update', changed);
      provider.destroy();
      socket.destroy();
    },
  };
}

/** What a message beside the document says of the server's storage; null when it speaks of something else. */
export function storageIn(payload: string): Storage | null {
  try {
    const { storage } = JSON.parse(payload) as { storage?: unknown };
    return storage === 'well' || storage === 'away' || storage === 'full' ? storage : null;
  } catch {
    return null;
  }
}

/** A socket that shows the tally every frame before the provider sees it. */
function countedBy(tally: Tally, counted: () => void): typeof WebSocket {
  return class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      tally.begin();
      this.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer>) => {
        tally.received(new Uint8Array(data));
        // The provider says nothing when its own count does not change.
        queueMicrotask(counted);
      });
    }
    override send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
      if (data instanceof Uint8Array) tally.sent(data);
      super.send(data as ArrayBuffer);
    }
  };
}
