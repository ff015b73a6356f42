// What am I called here, and in which ink? Chosen once, remembered on the device.
import { INKS } from '../ui/inks';
import { cleanName } from './presence';

export interface Me {
  readonly name: string;
  readonly ink: number;
}

const REMEMBERED = 'commonplace.me';

export function readMe(storage: Pick<Storage, 'getItem'>, pleasant: () => string, random: () => number = Math.random): Me {
  try {
    const kept: unknown = JSON.parse(storage.getItem(REMEMBERED) ?? 'null');
    if (typeof kept === 'object' && kept !== null && 'name' in kept && 'ink' in kept) {
      const name = cleanName(kept.name);
      if (name !== null && typeof kept.ink === 'number' && INKS[kept.ink] !== undefined) return { name, ink: kept.ink };
    }
  } catch {
    // Storage that is forbidden or garbled is the same as none.
  }
  return { name: pleasant(), ink: Math.floor(random() * INKS.length) };
}

export function keepMe(storage: Pick<Storage, 'setItem'>, me: Me): void {
  try {
    storage.setItem(REMEMBERED, JSON.stringify(me));
  } catch {
    // The name then lasts as long as the page.
  }
}
