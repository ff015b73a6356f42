// When was that, as people say it: "6 minutes ago" with the clock, or the day once it is longer ago.
// The words are our own: many browsers carry no Welsh dates.
import type { Key } from '../i18n/index.svelte';

export type Say = (key: Key, values?: Readonly<Record<string, string | number>>) => string;
export type When = { readonly words: string; readonly clock: string | null };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const twoDigits = (value: number): string => String(value).padStart(2, '0');

function relative(ago: number, say: Say): string {
  if (ago < MINUTE) return say('when.now');
  const minutes = Math.floor(ago / MINUTE);
  if (ago < HOUR) return minutes === 1 ? say('when.minute') : say('when.minutes', { count: minutes });
  const hours = Math.floor(ago / HOUR);
  return hours === 1 ? say('when.hour') : say('when.hours', { count: hours });
}

export function whenOf(then: number, now: number, say: Say): When {
  const date = new Date(then);
  // A clock that runs ahead of the server's must not speak of the future.
  const ago = Math.max(now - then, 0);
  if (ago >= DAY) {
    const month = say('when.months').split(' ')[date.getMonth()] ?? '';
    return { words: say('when.day', { day: date.getDate(), month, year: date.getFullYear() }), clock: null };
  }
  return { words: relative(ago, say), clock: `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}` };
}
