// Is only a list of the right shape shown?
import { expect, test } from 'vitest';
import { recentNotes } from './recent';

const check = (title: string, answer: () => Promise<Response>, names: string[] | null): void => {
  test(title, async () => {
    const notes = await recentNotes(answer);
    expect(notes === null ? null : notes.map((note) => note.name)).toEqual(names);
  });
};
const json = (body: unknown, status = 200): (() => Promise<Response>) => async () => new Response(JSON.stringify(body), { status });

check('newest first', json({ notes: [{ name: 'a', changedAt: 1 }, { name: 'b', changedAt: 2 }] }), ['b', 'a']);
check('an odd entry is left out', json({ notes: [{ name: 'a', changedAt: 1 }, { name: 3 }, null, { name: 'c', changedAt: 'x' }] }), ['a']);
check('none', json({ notes: [] }), []);
check('another shape', json({ items: [] }), null);
check('an error', json({ notes: [] }, 503), null);
check('not JSON', async () => new Response('<html>'), null);
check('no network', () => Promise.reject(new Error('away')), null);
