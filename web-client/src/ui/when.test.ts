import { expect, test } from 'vitest';
import { whenOf } from './when';

const noon = new Date(2026, 5, 15, 12, 0).getTime();
const check = (title: string, minutes: number, words: string, clock: string | null): void => {
  test(title, () => expect(whenOf(noon - minutes * 60_000, noon, 'en')).toEqual({ words, clock }));
};
check('this moment', 0, 'now', '12:00');
check('a clock ahead of ours', -5, 'now', '12:05');
check('minutes', 6, '6 minutes ago', '11:54');
check('hours', 125, '2 hours ago', '09:55');
check('days', 60 * 24 * 12, '3 June 2026', null);
