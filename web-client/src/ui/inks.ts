// In which colours and patterns do people appear? Eight inks that carry white text, each with its own pattern.
export const INKS = ['#0b5d57', '#3b5ba9', '#7a3e9d', '#8a3b12', '#9c2c5b', '#4b6a1b', '#6b5a1e', '#37474f'] as const;

/** The place of a colour among the inks; null for anything else, whatever its shape. */
export function inkOf(colour: unknown): number | null {
  if (typeof colour !== 'string') return null;
  const at = INKS.findIndex((ink) => ink === colour.toLowerCase());
  return at === -1 ? null : at;
}

/** The colour of an ink; numbers outside the palette wrap around. */
export function colourOf(ink: number): string {
  return INKS[((ink % INKS.length) + INKS.length) % INKS.length] ?? INKS[0];
}
