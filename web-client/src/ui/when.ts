// When was that, as people say it: "6 minutes ago" with the clock, or the day once it is longer ago.
export type When = { readonly words: string; readonly clock: string | null };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function whenOf(then: number, now: number, language: string): When {
  const locale = language === 'en' ? 'en-GB' : language;
  // A clock that runs ahead of the server's must not speak of the future.
  const ago = Math.max(now - then, 0);
  if (ago >= DAY) {
    return { words: new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', year: 'numeric' }).format(then), clock: null };
  }
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  const words =
    ago < MINUTE ? relative.format(0, 'second') : ago < HOUR ? relative.format(-Math.floor(ago / MINUTE), 'minute') : relative.format(-Math.floor(ago / HOUR), 'hour');
  return { words, clock: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(then) };
}
