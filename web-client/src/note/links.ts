// Which addresses may a link in a note lead to, and what did the writer mean by what they typed.
const SAFE = new Set(['http:', 'https:', 'mailto:']);
const BARE_DOMAIN = /^[\p{L}\p{N}-]+(\.[\p{L}\p{N}-]+)+([/?#:]|$)/u;
const BARE_MAIL = /^[^\s@/:]+@[^\s@/:]+\.[^\s@/:]+$/;
// Longer than any address people share; browsers and mail programs begin to cut around here.
const MAX_LENGTH = 2000;

/** The address if a link may carry it, else null. Checked each time a link is shown, whoever wrote it. */
export function safeHref(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_LENGTH) return null;
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return null;
  }
  return SAFE.has(url.protocol) ? url.href : null;
}

/** What the writer typed, completed: `example.org` means `https://example.org`. */
export function hrefFromTyped(typed: string): string | null {
  const text = typed.trim();
  if (text === '' || /\s/.test(text)) return null;
  if (BARE_MAIL.test(text)) return safeHref(`mailto:${text}`);
  if (BARE_DOMAIN.test(text) && !/^[a-z][a-z0-9+.-]*:(?!\d)/i.test(text)) return safeHref(`https://${text}`);
  return safeHref(text);
}
