// Writes the vector files. Run after a library is added; files that exist already must come out the same, see `vectors.test.mjs`.

import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { closeReactions } from './recipes/close.mjs'
import { hocuspocusVectors, providers } from './recipes/hocuspocus.mjs'
import { lib0Refusals, lib0Vectors } from './recipes/lib0.mjs'
import { presenceVectors } from './recipes/presence.mjs'
import { stateVectors, updateVectors, yjs14Vectors } from './recipes/updates.mjs'
import { yWebsocketVectors, yWebsockets } from './recipes/y-websocket.mjs'

/** Every file by name. */
export const makeAll = async () => {
  const files = {
    'lib0-0.2.119': { vectors: lib0Vectors(), refusals: lib0Refusals() },
    'yjs-13.6.33': { vectors: updateVectors(), stateVectors: stateVectors() },
    'y-14.0.0-rc.7': { vectors: yjs14Vectors() },
    'y-protocols-1.0.7': { vectors: presenceVectors() }
  }
  for (const version of Object.keys(yWebsockets)) files[`y-websocket-${version}`] = { vectors: await yWebsocketVectors(version) }
  for (const version of Object.keys(providers)) files[`hocuspocus-${version}`] = { vectors: await hocuspocusVectors(version) }
  files['close-codes'] = await closeReactions()
  return files
}

/** JSON with one vector a line: a change shows as the lines it touches. */
const layOut = (content) => {
  const value = (part) => (Array.isArray(part) ? `[\n${part.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]` : JSON.stringify(part, null, 1))
  return `{\n${Object.entries(content).map(([key, part]) => `${JSON.stringify(key)}: ${value(part)}`).join(',\n')}\n}\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, content] of Object.entries(await makeAll())) {
    writeFileSync(new URL(`${name}.json`, import.meta.url), layOut(content))
  }
  process.exit(0)
}
