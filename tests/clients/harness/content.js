// When do two documents hold the same?

import assert from 'node:assert/strict'
import * as Y from 'yjs'
import { until } from './wait.js'

/** The roots the tests write into, as plain values. */
export function contentOf (doc) {
  return {
    text: doc.getText('text').toDelta(),
    map: doc.getMap('map').toJSON(),
    list: doc.getArray('list').toJSON(),
    xml: doc.getXmlFragment('default').toString()
  }
}

/** Same insertions and same deletions, whoever made them. */
export const same = (a, b) => Y.equalSnapshots(Y.snapshot(a), Y.snapshot(b))

/** Waits until all clients hold the same, and checks that the same is read from it. */
export async function converge (clients, deadline) {
  const [first, ...rest] = clients
  await until(() => `all documents agree: ${clients.map(describe).join('; ')}`,
    () => rest.every(client => same(first.doc, client.doc)), deadline)
  for (const client of rest) assert.deepEqual(contentOf(client.doc), contentOf(first.doc), client.kind.label)
}

const describe = client => `${client.kind.label} ${JSON.stringify([...Y.decodeStateVector(Y.encodeStateVector(client.doc))])}`
