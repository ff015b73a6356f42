// In which words does the page speak? English and Welsh, chosen by the reader and remembered on the device.
import cy from './cy.json';
import en from './en.json';

export type Key = keyof typeof en;
export type Language = 'en' | 'cy';

const CATALOGUES: Readonly<Record<Language, Readonly<Record<Key, string>>>> = { en, cy };
const REMEMBERED = 'commonplace.language';

function remembered(): Language | null {
  try {
    const value = localStorage.getItem(REMEMBERED);
    return value === 'en' || value === 'cy' ? value : null;
  } catch {
    // A browser may forbid storage; the page then follows the browser's own language.
    return null;
  }
}

let current = $state<Language>(remembered() ?? (navigator.language.toLowerCase().startsWith('cy') ? 'cy' : 'en'));

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  document.documentElement.lang = next;
  try {
    localStorage.setItem(REMEMBERED, next);
  } catch {
    // The choice then lasts as long as the page.
  }
}

/** The words for `key`, with `{names}` filled in. Read inside a component, it follows the language. */
export function t(key: Key, values: Readonly<Record<string, string | number>> = {}): string {
  return CATALOGUES[current][key].replace(/\{(\w+)\}/g, (hole, name: string) => {
    const value = values[name];
    return value === undefined ? hole : String(value);
  });
}
