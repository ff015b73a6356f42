// How does a note travel? One socket to our own server, one document on it, and the plain facts about both.
import { HocuspocusProvider, HocuspocusProviderWebsocket, MessageType, WebSocketStatus } from '@hocuspocus/provider';
import type { Awareness } from 'y-protocols/awareness';
import type * as Y from 'yjs';

// When the server closes one document and not the socket, it is asked again after a time in this range, at random,
// so that a crowd does not return in one instant.
const REJOIN_MIN_MS = 500;
const REJOIN_SPREAD_MS = 4_500;
const PERMISSION_DENIED = 'permission-denied';

export interface LinkFacts {
  readonly connected: boolean;
  readonly synced: boolean;
  readonly unsynced: number;
  /** The server answered a change with a refusal on this connection. */
  readonly turnedAway: boolean;
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

export function openLink(name: string, doc: Y.Doc, address: string, report: (facts: LinkFacts) => void): Link {
  let refused: string | null = null;
  let turnedAway = false;
  let rejoin: ReturnType<typeof setTimeout> | null = null;

  const socket = new HocuspocusProviderWebsocket({ url: address });
  const provider = new HocuspocusProvider({ name, document: doc, websocketProvider: socket });
  const { awareness } = provider;
  if (awareness === null) throw new Error('the provider makes an awareness unless told not to');

  const isConnected = (): boolean => socket.status === WebSocketStatus.Connected;
  const tell = (): void =>
    report({
      connected: isConnected(),
      synced: provider.isSynced,
      unsynced: provider.unsyncedChanges,
      turnedAway,
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
    tell();
  });
  provider.on('authenticationFailed', ({ reason }: { reason: string }) => {
    refused = reason;
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
  provider.on('close', ({ event }: { event: { readonly reason?: string } }) => {
    if (isConnected() && refused === null) {
      if (event.reason === PERMISSION_DENIED) {
        refused = event.reason;
      } else if (rejoin === null) {
        rejoin = setTimeout(() => {
          rejoin = null;
          provider.detach();
          provider.attach();
        }, REJOIN_MIN_MS + Math.random() * REJOIN_SPREAD_MS);
      }
    }
    tell();
  });
  provider.attach();

  return {
    awareness,
    close: () => {
      if (rejoin !== null) clearTimeout(rejoin);
      provider.destroy();
      socket.destroy();
    },
  };
}
