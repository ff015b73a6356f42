// When does the page speak up? One queue for one polite live region: the newest words on each subject, all at once,
// never more often than people can listen.

// Long enough for a burst (someone reloading, a train in a tunnel) to settle into one sentence.
export const SETTLE_MS = 1_500;
// Speech needs time; the next announcement waits for it.
export const GAP_MS = 4_000;

export interface Timers {
  now(): number;
  /** Runs `then` after `ms`; the result cancels it. */
  after(ms: number, then: () => void): () => void;
}

export const browserTimers: Timers = {
  now: () => performance.now(),
  after: (ms, then) => {
    const id = setTimeout(then, ms);
    return () => clearTimeout(id);
  },
};

export type Subject = 'saving' | 'people' | 'done';

export class Announcer {
  private readonly waiting = new Map<Subject, string>();
  private cancel: (() => void) | null = null;
  private spokenAt = -Infinity;

  constructor(
    private readonly speak: (words: string) => void,
    private readonly timers: Timers,
  ) {}

  /** Says `words`, replacing what was waiting on the same subject. Empty words withdraw it. */
  say(subject: Subject, words: string): void {
    this.waiting.delete(subject);
    if (words !== '') this.waiting.set(subject, words);
    if (this.waiting.size === 0 || this.cancel !== null) return;
    const wait = Math.max(SETTLE_MS, this.spokenAt + GAP_MS - this.timers.now());
    this.cancel = this.timers.after(wait, () => this.flush());
  }

  private flush(): void {
    this.cancel = null;
    if (this.waiting.size === 0) return;
    const words = [...this.waiting.values()].join(' ');
    this.waiting.clear();
    this.spokenAt = this.timers.now();
    this.speak(words);
  }

  stop(): void {
    this.cancel?.();
    this.cancel = null;
    this.waiting.clear();
  }
}
