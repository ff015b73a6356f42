// Does a quiet document stay connected, although clients give up a line on which nothing arrives for 30 seconds?
//
// The one suite that needs real time: the limit is a constant in the clients, and it is the server's clock that has to beat it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KINDS, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { until } from '../harness/wait.js'

// Two keep-alives and a bit, and twice what the clients' watchdogs allow. Milliseconds.
const WATCHED = 62_000

// What the watchdogs allow, less a margin for their checks, which come every 3 s. Milliseconds.
const LONGEST_SILENCE = 26_000

test('nobody gives up a quiet connection', { timeout: 2 * WATCHED }, async () => {
  const server = await Server.start()
  try {
    const silent = await Promise.all(KINDS.map(async kind => {
      const options = kind.dialect === 'hocuspocus' ? { awareness: null } : {}
      const client = await open(kind, server, `quiet with ${kind.label}`, options).untilSaved()
      // Nothing to renew: all there is to hear is what the server says of its own accord. (y-sweet asks by itself.)
      client.awareness?.setLocalState(null)
      return client
    }))
    // The same with somebody in the document, who renews a presence that the server has no reason to send back.
    const present = await Promise.all(KINDS.map(kind => open(kind, server, `present with ${kind.label}`).untilSaved()))
    const everybody = [...silent, ...present]
    const end = performance.now() + WATCHED
    const gaveUp = () => everybody.filter(client => client.wire.opened !== 1 || !client.synced)
    await until('a minute of silence passes', () => gaveUp().length > 0 || performance.now() > end, 2 * WATCHED)
    assert.deepEqual(gaveUp().map(client => client.name), [])

    for (const client of everybody) {
      const heard = client.wire.frames.filter(frame => frame.incoming).map(frame => frame.at)
      const silences = [...heard, performance.now()].map((at, index, all) => index === 0 ? 0 : at - all[index - 1])
      assert.ok(Math.max(...silences) < LONGEST_SILENCE, `${client.name}: ${Math.round(Math.max(...silences))} ms of silence`)
    }

    // And the line still works.
    for (const client of everybody) {
      client.doc.getText('text').insert(0, 'still here')
      await client.untilSaved()
    }
  } finally {
    await server.close()
  }
})
