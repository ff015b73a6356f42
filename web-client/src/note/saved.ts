// What may the page honestly say about the writer's words? A pure step from facts and time to one label.
//
// S1  A refusal by the server is "not saving", at once, with the server's reason.
// S2  "Saved" needs a connection, a finished exchange, and no change that the server has not acknowledged.
// S3  A change the server turned away is "not saving": it will not be acknowledged later.
// S4  Connected with changes under way is "saving"; after STALLED_MS without progress it is "not saving".
// S5  Without a connection, words written to this device are "saved on this device"; never said without a written copy.
// S6  Without a connection and without a local copy it is "saving" for GRACE_MS, then "not saving".
// S7  Before anything was established the page is "opening", for OPENING_MS at most.
// S8  Words that are out while the server says that its storage is away or full are "not saving", at once, with that reason.

// Longer than any healthy acknowledgement, shorter than the time in which people close a lid and walk away.
export const STALLED_MS = 8_000;
// A connection that drops and returns within this time is not worth alarming anyone.
export const GRACE_MS = 3_000;
// After this the page says what it knows instead of waiting further.
export const OPENING_MS = 4_000;

/** What the server says of the place where it keeps words. */
export type Storage = 'well' | 'away' | 'full';

/** `behind`: a local copy exists but the newest words are still being written to it. */
export type LocalCopy = 'opening' | 'kept' | 'behind' | 'none';

export interface Facts {
  readonly connected: boolean;
  /** Whether the first exchange of this connection is finished. */
  readonly synced: boolean;
  /** Changes sent and not yet acknowledged. */
  readonly unsynced: number;
  /** Whether the server turned a change away on this connection. */
  readonly turnedAway: boolean;
  readonly storage: Storage;
  /** The server's reason for refusing this note altogether. */
  readonly refused: string | null;
  readonly localCopy: LocalCopy;
}

export type Label =
  | { readonly kind: 'opening' }
  | { readonly kind: 'saved' }
  | { readonly kind: 'saving' }
  | { readonly kind: 'on-device' }
  | {
      readonly kind: 'not-saving';
      readonly why: 'refused' | 'turned-away' | 'storage-away' | 'storage-full' | 'stalled' | 'offline';
      readonly reason: string | null;
      readonly onDevice: boolean;
    };

export interface SavedState {
  readonly facts: Facts;
  readonly openedAt: number;
  /** When the server last acknowledged something, or the wait for it began. */
  readonly waitingSince: number | null;
  readonly awaySince: number | null;
  /** Whether S7 is over. */
  readonly established: boolean;
  readonly label: Label;
}

export const NO_FACTS: Facts = { connected: false, synced: false, unsynced: 0, turnedAway: false, storage: 'well', refused: null, localCopy: 'opening' };

export function begin(now: number): SavedState {
  return { facts: NO_FACTS, openedAt: now, waitingSince: null, awaySince: now, established: false, label: { kind: 'opening' } };
}

function isSaved(facts: Facts): boolean {
  return facts.connected && facts.synced && facts.unsynced === 0;
}

/** The same label again after new facts, or after the time that `nextCheck` asked for. */
export function step(before: SavedState, facts: Facts, now: number): SavedState {
  const awaySince = facts.connected ? null : (before.awaySince ?? now);
  const waiting = facts.connected && !isSaved(facts);
  const progress = facts.synced !== before.facts.synced || facts.unsynced < before.facts.unsynced || facts.connected !== before.facts.connected;
  const waitingSince = !waiting ? null : progress ? now : (before.waitingSince ?? now);
  const established = before.established || isSaved(facts) || facts.refused !== null || now - before.openedAt >= OPENING_MS;
  const state = { facts, openedAt: before.openedAt, waitingSince, awaySince, established };
  return { ...state, label: labelOf(state, now) };
}

function labelOf(state: Omit<SavedState, 'label'>, now: number): Label {
  const { facts, waitingSince, awaySince } = state;
  const onDevice = facts.localCopy === 'kept';
  const not = (why: Extract<Label, { kind: 'not-saving' }>['why'], reason: string | null = null): Label => ({ kind: 'not-saving', why, reason, onDevice });
  if (facts.refused !== null) return not('refused', facts.refused);
  if (facts.connected && facts.turnedAway) return not('turned-away');
  if (isSaved(facts)) return { kind: 'saved' };
  if (!state.established) return { kind: 'opening' };
  if (facts.connected && facts.storage !== 'well') return not(`storage-${facts.storage}`);
  if (facts.connected) return waitingSince !== null && now - waitingSince >= STALLED_MS ? not('stalled') : { kind: 'saving' };
  if (onDevice) return { kind: 'on-device' };
  if (awaySince !== null && now - awaySince < GRACE_MS) return { kind: 'saving' };
  return facts.storage === 'well' ? not('offline') : not(`storage-${facts.storage}`);
}

/** When the label may change though no fact does; null if it will not. */
export function nextCheck(state: SavedState, now: number): number | null {
  const times = [
    state.established ? null : state.openedAt + OPENING_MS,
    state.waitingSince === null ? null : state.waitingSince + STALLED_MS,
    state.awaySince === null ? null : state.awaySince + GRACE_MS,
  ].filter((time): time is number => time !== null && time > now);
  return times.length === 0 ? null : Math.min(...times);
}

/** Two labels that read the same. */
export function sameLabel(a: Label, b: Label): boolean {
  if (a.kind !== 'not-saving' || b.kind !== 'not-saving') return a.kind === b.kind;
  return a.why === b.why && a.reason === b.reason && a.onDevice === b.onDevice;
}
