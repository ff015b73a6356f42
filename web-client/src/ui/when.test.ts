// Are times said as people say them, in both languages?
import { expect, test } from 'vitest';
import { setLanguage, t } from '../i18n/index.svelte';
import { whenOf } from './when';

const noon = new Date(2026, 5, 15, 12, 0).getTime();
const check = (title: string, minutes: number, en: string, cy: string, clock: string | null): void => {
  test(title, () => {
    setLanguage('en');
    expect(whenOf(noon - minutes * 60_000, noon, t)).toEqual({ words: en, clock });
    setLanguage('cy');
    expect(whenOf(noon - minutes * 60_000, noon, t)).toEqual({ words: cy, clock });
  });
};
check('this moment', 0, 'just now', 'nawr', '12:00');
check('a clock ahead of ours', -5, 'just now', 'nawr', '12:05');
check('a minute', 1, 'a minute ago', 'funud yn ôl', '11:59');
check('minutes', 6, '6 minutes ago', '6 munud yn ôl', '11:54');
check('an hour', 65, 'an hour ago', 'awr yn ôl', '10:55');
check('hours', 185, '3 hours ago', '3 awr yn ôl', '08:55');
check('days', 60 * 24 * 12, 'on 3 June 2026', 'ar 3 Mehefin 2026', null);
