// Who is here? Reads what clients say about themselves, trusting none of it.
import { inkOf, INKS } from '../ui/inks';

// Long enough for any name people call each other, short enough for a label beside a caret.
export const MAX_NAME = 40;

export interface Person {
  readonly client: number;
  readonly name: string;
  readonly ink: number;
  readonly me: boolean;
}

/** One line of visible text, or null when nothing is left of it. */
export function cleanName(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  // Direction overrides and zero-width letters can make one name look like another.
  const text = value
    .normalize('NFC')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
    .replace(/\s+/gu, ' ')
    .trim();
  const short = Array.from(text).slice(0, MAX_NAME).join('').trim();
  return short === '' ? null : short;
}

/** One or two letters for the picture of a name. */
export function initials(name: string): string {
  const words = name.split(/[\s-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = words[0];
  if (first === undefined) return '?';
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  return [first, last].map((word) => (word === undefined ? '' : (/[\p{L}\p{N}]/u.exec(word)?.[0] ?? ''))).join('').toLocaleUpperCase();
}

export function personOf(client: number, state: unknown, me: number, nameless: string): Person {
  const user: unknown = typeof state === 'object' && state !== null && 'user' in state ? state.user : null;
  const said = typeof user === 'object' && user !== null ? (user as { readonly name?: unknown; readonly color?: unknown }) : {};
  return { client, name: cleanName(said.name) ?? nameless, ink: inkOf(said.color) ?? client % INKS.length, me: client === me };
}

/** Everyone, oneself first, then by name. */
export function peopleOf(states: ReadonlyMap<number, unknown>, me: number, nameless: string): Person[] {
  return [...states]
    .map(([client, state]) => personOf(client, state, me, nameless))
    .sort((a, b) => Number(b.me) - Number(a.me) || a.name.localeCompare(b.name, undefined, { numeric: true }) || a.client - b.client);
}

export interface Arrivals {
  readonly came: readonly Person[];
  readonly left: readonly Person[];
}

/** Who came and who left between two lists, oneself not counted. */
export function arrivals(before: readonly Person[], after: readonly Person[]): Arrivals {
  const missing = (from: readonly Person[], others: readonly Person[]): Person[] => {
    const ids = new Set(others.map((person) => person.client));
    return from.filter((person) => !person.me && !ids.has(person.client));
  };
  return { came: missing(after, before), left: missing(before, after) };
}
