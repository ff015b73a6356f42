// Gives the fuzzers the vectors to begin with. Needs nothing installed.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { unhex } from './recipes/hex.mjs'

/** Which vectors are food for which target of `tests/fuzz`. */
const targets = [
  ['y-websocket-', 'frame_yws'],
  ['hocuspocus-', 'frame_hocuspocus'],
  ['y-protocols-', 'awareness'],
  ['yjs-', 'update'],
  ['y-14', 'update']
]

for (const [prefix, target] of targets) {
  const folder = new URL(`../../tests/fuzz/corpus/${target}/`, import.meta.url)
  mkdirSync(folder, { recursive: true })
  const names = readdirSync(new URL('.', import.meta.url)).filter((name) => name.startsWith(prefix) && name.endsWith('.json'))
  const all = names.flatMap((name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')).vectors)
  const different = [...new Set(all.map(({ hex }) => hex))]
  different.forEach((hex, number) => writeFileSync(new URL(`${prefix}${number}`, folder), unhex(hex)))
}

// Whole histories for the gate: each update after its length in two bytes.
const histories = JSON.parse(readFileSync(new URL('updates.json', import.meta.url), 'utf8')).vectors
const folder = new URL('../../tests/fuzz/corpus/gate/', import.meta.url)
mkdirSync(folder, { recursive: true })
histories.forEach(({ updates }, number) => {
  const parts = updates.map(unhex).flatMap((update) => [Uint8Array.of(update.length >> 8, update.length & 255), update])
  writeFileSync(new URL(`history-${number}`, folder), Buffer.concat(parts))
})
