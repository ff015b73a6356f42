// Does a client that talks nonsense disturb anybody but itself?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as Y from 'yjs'
import { converge } from '../harness/content.js'
import { PROVIDER_2, PROVIDER_4, Y_WEBSOCKET_1, Y_WEBSOCKET_3, open } from '../harness/kinds.js'
import { Raw, bytes } from '../harness/raw.js'
import { Server } from '../harness/server.js'
import { AWARENESS, CLOSE, QUERY_AWARENESS, STATELESS, STEP_1, STEP_2, SYNC, SYNC_STATUS, UPDATE, Y_SWEET_SYNC_STATUS } from '../harness/wire.js'
import { until } from '../harness/wait.js'

const raw = (...numbers) => ({ raw: new Uint8Array(numbers) })
const MANY = raw(0xff, 0xff, 0xff, 0xff, 0x0f)

/** An update that needs another one, which nobody ever sends. */
function orphan () {
  const doc = new Y.Doc()
  const updates = []
  doc.on('update', update => updates.push(update))
  doc.getText('text').insert(0, 'first')
  doc.getText('text').insert(5, ' second')
  return updates[1]
}

function version2 () {
  const doc = new Y.Doc()
  doc.getText('text').insert(0, 'in the other encoding')
  return Y.encodeStateAsUpdateV2(doc)
}

/** Thousands of lists, each in the one before. */
function deep () {
  const levels = 20_000
  const nested = new Uint8Array(2 * levels)
  for (let at = 0; at < levels; at += 1) nested.set([117, 1], 2 * at)
  // One block of one client: an `any` under the root "map", key "k".
  return bytes(1, 1, 7, 0, raw(0x28), 1, 'map', 'k', 1, { raw: nested }, raw(126), 0)
}

const CASES = {
  'an empty message': peer => peer.sendBytes(new Uint8Array()),
  'a text message': peer => peer.socket.send('hello'),
  'a type that does not exist': peer => peer.send(77),
  'a number that does not end': peer => peer.sendBytes(new Uint8Array(20).fill(0xff)),
  'a name longer than the message': peer => peer.sendBytes(bytes(500, raw(0x61, 0x62))),
  'a name that is not text': peer => peer.sendBytes(bytes(2, raw(0xc3, 0x28), SYNC, STEP_1, raw(1, 0))),
  'a sync message of an unknown kind': peer => peer.send(SYNC, 9, raw(0)),
  'a sync message that ends early': peer => peer.send(SYNC, UPDATE, 200, raw(1)),
  'a state vector that claims millions of entries': peer => peer.send(SYNC, STEP_1, bytes(MANY)),
  'an update that claims millions of clients': peer => peer.send(SYNC, UPDATE, bytes(MANY)),
  'an update of zeros and ones': peer => peer.send(SYNC, UPDATE, new Uint8Array(100).fill(1)),
  'an update in the other encoding': peer => peer.send(SYNC, UPDATE, version2()),
  'an update as its first answer that is none': peer => peer.send(SYNC, STEP_2, new Uint8Array([9, 9, 9])),
  'an update whose past nobody knows': peer => peer.send(SYNC, UPDATE, orphan()),
  'lists in lists in lists': peer => peer.send(SYNC, UPDATE, deep()),
  'presence that is not JSON': peer => peer.send(AWARENESS, bytes(1, 5, 1, '{"user":')),
  'presence of millions': peer => peer.send(AWARENESS, bytes(MANY)),
  'presence as large as a book': peer => peer.send(AWARENESS, bytes(1, 5, 1, JSON.stringify({ user: 'x'.repeat(300_000) }))),
  'presence nested without end': peer => peer.send(AWARENESS, bytes(1, 5, 1, '['.repeat(30_000) + ']'.repeat(30_000))),
  'a question about presence, many times': peer => { for (let at = 0; at < 50; at += 1) peer.send(QUERY_AWARENESS) },
  'an application message as large as a book': peer => peer.send(STATELESS, 'x'.repeat(300_000)),
  'a message only servers send': peer => peer.send(6, 'to everybody'),
  'acknowledgements of its own': peer => peer.send(SYNC_STATUS, 1),
  'a status without a body': peer => peer.send(Y_SWEET_SYNC_STATUS),
  'a goodbye, and then words': peer => { peer.send(CLOSE); peer.send(SYNC, UPDATE, raw(0, 0)) },
  'a message of three megabytes': peer => peer.send(SYNC, UPDATE, new Uint8Array(3_000_000))
}

for (const dialect of ['hocuspocus', 'y-websocket']) {
  describe(`somebody on ${dialect} sends nonsense`, { concurrency: 4 }, () => {
    let server
    before(async () => { server = await Server.start() })
    after(() => server.close())

    for (const [what, send] of Object.entries(CASES)) {
      test(`${what}: two others write on, undisturbed`, async () => {
        const name = `${dialect}: ${what}`
        const pair = [open(PROVIDER_4, server, name), open(Y_WEBSOCKET_3, server, encodeURIComponent(name))]
        // These throw on what they do not understand; a server that passes anything on would be found out.
        const old = [open(PROVIDER_2, server, name), open(Y_WEBSOCKET_1, server, encodeURIComponent(name))]
        const everybody = [...pair, ...old]
        await Promise.all(everybody.map(client => client.untilSaved()))
        const offender = await new Raw(dialect, server, name).join()
        pair[0].doc.getText('text').insert(0, 'before ')
        send(offender)
        // What the offender says next is read after the nonsense, if the line still stands.
        if (offender.socket.readyState === 1) offender.send(SYNC, STEP_1, new Uint8Array([0]))
        await until('the nonsense has been dealt with', 
          () => offender.closed || offender.received(CLOSE).length > 0 || offender.received(SYNC, STEP_2).length >= 2)
        pair[1].doc.getText('text').insert(0, 'after ')
        await Promise.all(everybody.map(client => client.untilSaved()))
        await converge(everybody)
        assert.equal(pair[0].doc.getText('text').length, 'before after '.length)
        for (const client of everybody) assert.equal(client.wire.opened, 1, `${client.kind.label} was disturbed`)
        if (offender.closed) assert.ok([1002, 1003, 1007, 1008, 1009, 4205, 4400, 4422].includes(offender.closed.code), JSON.stringify(offender.closed))
        server.assertAlive()
        for (const peer of [offender, ...everybody]) peer.close()
      })
    }
  })
}

describe('an update whose past is unknown', () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const dialect of ['hocuspocus', 'y-websocket']) {
    test(`is not acknowledged on ${dialect}; the server asks for all of it, and then keeps it`, async () => {
      const doc = new Y.Doc()
      const updates = []
      doc.on('update', update => updates.push(update))
      doc.getText('text').insert(0, 'first')
      doc.getText('text').insert(5, ' second')
      const peer = await new Raw(dialect, server, `gap ${dialect}`).join()
      const asked = peer.received(SYNC, STEP_1).length
      peer.send(SYNC, UPDATE, updates[1])
      await until('the server asks', () => peer.received(SYNC, STEP_1).length > asked)
      // Only the join itself has been acknowledged, and nothing refused.
      const statuses = dialect === 'hocuspocus' ? 1 : 0
      assert.equal(peer.received(SYNC_STATUS).length, statuses)
      peer.send(SYNC, STEP_2, Y.encodeStateAsUpdate(doc))
      const reader = await open(PROVIDER_4, server, `gap ${dialect}`).untilSynced()
      await until('the whole is there', () => reader.doc.getText('text').toString() === 'first second')
      // One answer for the update that had to wait; the client did not begin this sync, so it counts no answer for it.
      if (dialect === 'hocuspocus') await until('it is acknowledged', () => peer.received(SYNC_STATUS).length === statuses + 1)
      assert.ok(peer.received(SYNC_STATUS).every(frame => frame.applied))
      reader.close()
      peer.close()
    })
  }
})
