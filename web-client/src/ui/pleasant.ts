// What shall we call a note or a person who has not said? Pleasant words, in either language.
import type { Language } from '../i18n/index.svelte';

const BIRDS: Readonly<Record<Language, readonly string[]>> = {
  en: ['Curlew', 'Dunnock', 'Goldcrest', 'Heron', 'Kestrel', 'Lapwing', 'Linnet', 'Nuthatch', 'Plover', 'Redstart', 'Robin', 'Siskin', 'Skylark', 'Swift', 'Tern', 'Thrush', 'Wagtail', 'Wren'],
  cy: ['Alarch', 'Barcud', 'Bronfraith', 'Cornchwiglen', 'Crëyr', 'Cudyll', 'Dringwr', 'Drudwy', 'Dryw', 'Ehedydd', 'Gwennol', 'Gylfinir', 'Hebog', 'Llinos', 'Mwyalchen', 'Robin', 'Siglen', 'Titw'],
};
const FIRST: Readonly<Record<Language, readonly string[]>> = {
  en: ['amber', 'bright', 'broad', 'calm', 'clear', 'early', 'fair', 'gentle', 'green', 'open', 'quiet', 'silver', 'slow', 'steady', 'warm', 'wide'],
  cy: ['afon', 'bryn', 'coed', 'cwm', 'dôl', 'ffordd', 'glan', 'gwaun', 'llwybr', 'llyn', 'maes', 'mynydd', 'nant', 'pont', 'rhiw', 'traeth'],
};
const SECOND: Readonly<Record<Language, readonly string[]>> = {
  en: ['beech', 'bridge', 'brook', 'field', 'harbour', 'hill', 'lantern', 'meadow', 'morning', 'orchard', 'path', 'river', 'rowan', 'shore', 'table', 'window'],
  cy: ['bedw', 'celyn', 'cerrig', 'derw', 'eithin', 'ffawydd', 'grug', 'gwenyn', 'haul', 'helyg', 'hesg', 'lili', 'onnen', 'rhedyn', 'rhosod', 'ysgaw'],
};
// Makes a name unlikely to be somebody else's note: 256 pairs times this.
const NUMBERS = 9_000;

function pick(list: readonly string[], random: () => number): string {
  return list[Math.floor(random() * list.length)] ?? '';
}

export function pleasantPerson(language: Language, random: () => number = Math.random): string {
  return pick(BIRDS[language], random);
}

export function pleasantNote(language: Language, random: () => number = Math.random): string {
  return `${pick(FIRST[language], random)}-${pick(SECOND[language], random)}-${1_000 + Math.floor(random() * NUMBERS)}`;
}
