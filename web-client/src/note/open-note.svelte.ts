// What is true of the note on this page? Owns the document, its link and its local copy, and tells the components.
import type { Awareness } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { language, t } from '../i18n/index.svelte';
import { openLink, type Link, type LinkFacts } from '../transport/link';
import { openLocalCopy } from '../transport/local-copy';
import { colourOf } from '../ui/inks';
import { pleasantPerson } from '../ui/pleasant';
import { keepMe, readMe, type Me } from './me';
import { peopleOf, type Person } from './presence';
import { titleOf } from './read';
import { begin, NO_FACTS, nextCheck, OPENING_MS, sameLabel, step, type Facts, type Label, type SavedState } from './saved';
import { covers, survey, type Newer } from './survey';

/** `reading`: the document holds what this editor cannot hold whole, so it is shown and not edited. */
export type Phase = { readonly kind: 'opening' } | { readonly kind: 'editing'; readonly newer: Newer } | { readonly kind: 'reading' };

// TipTap's name for the part of a document that holds its text; other clients look there too.
const FRAGMENT = 'default';

export class OpenNote {
  readonly fragment: Y.XmlFragment;
  readonly awareness: Awareness;
  phase = $state.raw<Phase>({ kind: 'opening' });
  label = $state.raw<Label>({ kind: 'opening' });
  people = $state.raw<readonly Person[]>([]);
  title = $state<string | null>(null);
  readOnly = $state(false);
  /** While away we do not know who is there; that is not the same as everyone having left. */
  connected = $state(false);
  me = $state.raw<Me>(readMe(localStorage, () => pleasantPerson(language())));
  /** Grows with each change of the document, for the reading view. */
  version = $state(0);

  private readonly doc = new Y.Doc();
  private readonly link: Link;
  private readonly localCopy: { close(): void };
  private saved: SavedState = begin(Date.now());
  private facts: Facts = NO_FACTS;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private closeEditor: (() => void) | null = null;
  private editorOrigin: unknown = null;
  private titleTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    readonly name: string,
    address: string,
  ) {
    this.fragment = this.doc.getXmlFragment(FRAGMENT);
    this.link = openLink(name, this.doc, address, (facts) => this.onLink(facts));
    this.awareness = this.link.awareness;
    this.awareness.on('change', this.onPeople);
    this.introduce();
    this.localCopy = openLocalCopy(name, this.doc, (localCopy) => this.onFacts({ localCopy }));
    // Before any observer: an editor that cannot hold what has arrived must be gone before it is told of it.
    this.doc.on('beforeObserverCalls', this.beforeObservers);
    this.doc.on('update', this.onUpdate);
    this.schedule();
  }

  /** The editor for the present phase: `close` ends it at once when it no longer fits; `origin` marks what it writes. */
  editorIs(close: (() => void) | null, origin: unknown): void {
    this.closeEditor = close;
    this.editorOrigin = origin;
  }

  rename(me: Me): void {
    this.me = me;
    keepMe(localStorage, me);
    this.introduce();
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.titleTimer !== null) clearTimeout(this.titleTimer);
    this.closeEditor?.();
    this.localCopy.close();
    this.awareness.off('change', this.onPeople);
    this.link.close();
    this.doc.destroy();
  }

  private introduce(): void {
    this.awareness.setLocalStateField('user', { name: this.me.name, color: colourOf(this.me.ink) });
    this.onPeople();
  }

  private readonly onPeople = (): void => {
    this.people = peopleOf(this.awareness.getStates(), this.awareness.clientID, t('people.nameless'));
  };

  private readonly onUpdate = (): void => {
    this.version += 1;
    // The title is for the window; it may trail the typing.
    this.titleTimer ??= setTimeout(() => {
      this.titleTimer = null;
      this.title = titleOf(this.fragment);
    }, 250);
  };

  private readonly beforeObservers = (transaction: Y.Transaction): void => {
    // What the editor itself writes, it can hold.
    if (this.phase.kind === 'opening' || (this.editorOrigin !== null && transaction.origin === this.editorOrigin)) return;
    this.look();
  };

  /** Chooses the phase by what the document holds now. */
  private look(): void {
    const found = survey(this.fragment);
    if (found.kind === 'cannot-hold') {
      this.dropEditor();
      this.phase = { kind: 'reading' };
    } else if (this.phase.kind !== 'editing' || !covers(this.phase.newer, found.newer)) {
      this.dropEditor();
      this.phase = { kind: 'editing', newer: found.newer };
    }
  }

  private dropEditor(): void {
    const close = this.closeEditor;
    this.closeEditor = null;
    close?.();
  }

  private onLink(facts: LinkFacts): void {
    // Words typed after a refusal would reach nobody.
    this.readOnly = facts.readOnly || facts.refused !== null;
    this.connected = facts.connected;
    const { connected, synced, unsynced, turnedAway, storage, refused } = facts;
    this.onFacts({ connected, synced, unsynced, turnedAway, storage, refused });
  }

  private onFacts(change: Partial<Facts>): void {
    this.facts = { ...this.facts, ...change };
    const now = Date.now();
    const before = this.saved;
    this.saved = step(before, this.facts, now);
    if (!sameLabel(before.label, this.saved.label)) this.label = this.saved.label;
    if (this.phase.kind === 'opening' && this.isReady(now)) {
      this.title = titleOf(this.fragment);
      this.look();
    }
    this.schedule();
  }

  /** Whether what is here is worth showing: all of it, or the local copy, or nothing is coming. */
  private isReady(now: number): boolean {
    if (this.facts.synced) return true;
    const loaded = this.facts.localCopy === 'kept' && this.fragment.length > 0;
    return loaded || (this.facts.refused === null && now - this.saved.openedAt >= OPENING_MS);
  }

  private schedule(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const now = Date.now();
    const at = nextCheck(this.saved, now);
    this.timer = at === null ? null : setTimeout(() => this.onFacts({}), at - now);
  }
}
