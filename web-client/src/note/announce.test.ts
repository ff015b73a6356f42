// Is the live region polite: one sentence for a burst, and time between sentences?
import { expect, test } from 'vitest';
import { Announcer, GAP_MS, SETTLE_MS, type Timers } from './announce';

/** A clock that moves when told. */
class Clock implements Timers {
  private time = 0;
  private due: Array<{ at: number; then: () => void }> = [];
  now(): number {
    return this.time;
  }
  after(ms: number, then: () => void): () => void {
    const entry = { at: this.time + ms, then };
    this.due.push(entry);
    return () => {
      this.due = this.due.filter((other) => other !== entry);
    };
  }
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.due.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.due = this.due.filter((entry) => entry !== next);
      this.time = next.at;
      next.then();
    }
    this.time = end;
  }
}

function setUp(): { said: string[]; clock: Clock; announcer: Announcer } {
  const said: string[] = [];
  const clock = new Clock();
  return { said, clock, announcer: new Announcer((words) => said.push(words), clock) };
}

test('many changes on one subject are one sentence, the last', () => {
  const { said, clock, announcer } = setUp();
  for (const words of ['Mair joined.', 'Mair and Dev joined.', 'Mair, Dev and Callum joined.']) announcer.say('people', words);
  clock.pass(SETTLE_MS - 1);
  expect(said).toEqual([]);
  clock.pass(1);
  expect(said).toEqual(['Mair, Dev and Callum joined.']);
});

test('subjects are spoken together', () => {
  const { said, clock, announcer } = setUp();
  announcer.say('people', 'Mair joined.');
  announcer.say('saving', 'Saved.');
  clock.pass(SETTLE_MS);
  expect(said).toEqual(['Mair joined. Saved.']);
});

test('the next words wait for the last to be heard', () => {
  const { said, clock, announcer } = setUp();
  announcer.say('people', 'one');
  clock.pass(SETTLE_MS);
  announcer.say('people', 'two');
  clock.pass(GAP_MS - 1);
  expect(said).toEqual(['one']);
  clock.pass(1);
  expect(said).toEqual(['one', 'two']);
});

test('what is no longer so is not said, and nothing is said after the end', () => {
  const { said, clock, announcer } = setUp();
  announcer.say('saving', 'Not saving.');
  announcer.say('saving', '');
  clock.pass(SETTLE_MS);
  announcer.say('people', 'one');
  announcer.stop();
  clock.pass(60_000);
  expect(said).toEqual([]);
});
