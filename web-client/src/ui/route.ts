// Which page does an address mean, and which address does a note's name have?

// As long as a title a person would write; the server's own limit is wider.
export const MAX_NOTE_NAME = 200;
const TYPED_LENGTH = 80;

export type Route = { readonly kind: 'home' } | { readonly kind: 'note'; readonly name: string } | { readonly kind: 'missing' };

export function routeOf(pathname: string): Route {
  if (pathname === '/' || pathname === '/index.html') return { kind: 'home' };
  if (!pathname.startsWith('/n/')) return { kind: 'missing' };
  let name: string;
  try {
    name = decodeURIComponent(pathname.slice('/n/'.length));
  } catch {
    return { kind: 'missing' };
  }
  // Control characters have no place in a name, and one of them addresses nobody on the wire.
  if (name === '' || name.length > MAX_NOTE_NAME || /\p{Cc}/u.test(name)) return { kind: 'missing' };
  return { kind: 'note', name };
}

/** The address of a note; slashes in its name stay slashes. */
export function noteAddress(name: string): string {
  return `/n/${name.split('/').map(encodeURIComponent).join('/')}`;
}

/** What someone typed, as a name that reads well in an address; empty if nothing of it can stay. */
export function slugOf(typed: string): string {
  const slug = typed
    .normalize('NFC')
    .toLocaleLowerCase()
    .replace(/['’]/gu, '')
    .replace(/[^\p{L}\p{N}\p{M}/_-]+/gu, '-')
    .split('/')
    .map((part) => part.replace(/-+/g, '-').replace(/^-|-$/g, ''))
    .filter((part) => part !== '')
    .join('/');
  return Array.from(slug).slice(0, TYPED_LENGTH).join('').replace(/[-/]+$/, '');
}
