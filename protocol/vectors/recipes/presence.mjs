// Which bytes do awareness updates have?

import * as decoding from 'lib0/decoding'
import * as Y from 'yjs'
import * as awareness from 'y-protocols/awareness'
import { hex } from './hex.mjs'

const start = (client) => {
  const doc = new Y.Doc()
  doc.clientID = client
  const made = new awareness.Awareness(doc)
  // Its renewal timer would keep the program alive; destroying it removes only the state.
  clearInterval(made._checkInterval)
  return made
}

const one = (client, ...states) => Object.assign(() => {
  const made = start(client)
  for (const state of states) made.setLocalState(state)
  return awareness.encodeAwarenessUpdate(made, [client])
}, { recipe: `client ${client}, setLocalState of each: ${JSON.stringify(states)}` })

const recipes = {
  'nobody': () => awareness.encodeAwarenessUpdate(start(1), []),
  'just opened': one(1),
  'a name and a colour': one(300, { user: { name: 'Ada', color: '#30bced' } }),
  'clock 2': one(300, { b: 1 }, { a: 1 }),
  'gone': one(300, {}, {}, null),
  'a cursor as y-prosemirror writes it': one(7, {
    user: { name: 'Ada' },
    cursor: { anchor: { type: { client: 7, clock: 0 }, tname: null, item: null, assoc: 0 }, head: null }
  }),
  'emoji and other scripts': one(7, { user: { name: 'Åse 👩‍🚀 千' } }),
  'half an emoji, escaped by JSON.stringify': one(7, { user: { name: 'x\ud83d' } }),
  'quotes, brackets and line breaks in text': one(7, { text: '"}]{[\\\n' }),
  'the largest client id': one(Number.MAX_SAFE_INTEGER, { a: 1 }),
  'three people, one of them gone': () => {
    const all = start(1)
    all.setLocalState({ n: 1 })
    for (const [client, state] of [[2, { n: 2 }], [3, { n: 3 }]]) {
      const other = start(client)
      other.setLocalState(state)
      awareness.applyAwarenessUpdate(all, awareness.encodeAwarenessUpdate(other, [client]), 'test')
    }
    awareness.removeAwarenessStates(all, [3], 'test')
    return awareness.encodeAwarenessUpdate(all, [1, 2, 3])
  }
}

/** Entry by entry: the format as `encodeAwarenessUpdate` writes it. */
export const entriesOf = (update) => {
  const decoder = decoding.createDecoder(update)
  return Array.from({ length: decoding.readVarUint(decoder) }, () => {
    const [client, clock] = [decoding.readVarUint(decoder), decoding.readVarUint(decoder)]
    const state = decoding.readVarString(decoder)
    return { client, clock, state: state === 'null' ? null : state }
  })
}

export const presenceVectors = () =>
  Object.entries(recipes).map(([name, make]) => {
    const update = make()
    return { name, recipe: make.recipe ?? String(make).replace(/\s*\n\s*/g, ' '), hex: hex(update), entries: entriesOf(update) }
  })
