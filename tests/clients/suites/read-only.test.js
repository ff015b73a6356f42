// What can a reader do, and what does it learn?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as Y from 'yjs'
import {
  HOCUSPOCUS_KINDS, KINDS, PROVIDER_2, PROVIDER_3, PROVIDER_4, READ_ONLY, Y_SWEET, Y_WEBSOCKET_3, Y_WEBSOCKET_KINDS, open
} from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { SYNC_STATUS } from '../harness/wire.js'
import { until } from '../harness/wait.js'

const textOf = client => client.doc.getText('text').toString()

describe('a read-only seat', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const kind of KINDS) {
    test(`with ${kind.label} sees and is seen`, async () => {
      const name = `reading with ${kind.label}`
      const writer = await open(PROVIDER_4, server, name).untilSynced()
      writer.doc.getText('text').insert(0, 'fixed')
      await writer.untilSaved()
      const reader = await open(kind, server, name, { token: READ_ONLY }).untilSynced()
      assert.equal(textOf(reader), 'fixed')
      reader.introduce('Reader')
      await until('the writer sees the reader', () => writer.sees.includes('Reader'))
      writer.introduce('Writer')
      await until('the reader sees the writer', () => reader.sees.includes('Writer'))
      writer.doc.getText('text').insert(5, ' words')
      await until('the reader follows', () => textOf(reader) === 'fixed words')
      assert.equal(reader.wire.opened, 1)
      reader.close()
      writer.close()
    })

    test(`with ${kind.label} changes nothing, although its program lets it type`, async () => {
      const name = `scribbling with ${kind.label}`
      const writer = await open(PROVIDER_4, server, name).untilSynced()
      writer.doc.getText('text').insert(0, 'fixed')
      await writer.untilSaved()
      const reader = await open(kind, server, name, { token: READ_ONLY }).untilSynced()
      reader.doc.getText('text').insert(0, 'not ')
      await until('the edit is refused', () => isRefused(reader))
      // After a new start the reader offers its edit again, as its answer to the server's question.
      const doc = copyOf(reader.doc)
      reader.close()
      const again = await open(kind, server, name, { token: READ_ONLY, doc }).untilSynced().catch(error => error)
      writer.doc.getText('text').insert(5, ' words')
      await writer.untilSaved()
      assert.equal(textOf(writer), 'fixed words')
      const fresh = await open(PROVIDER_3, server, name).untilSynced()
      assert.equal(textOf(fresh), 'fixed words')
      again.close?.()
      for (const client of [writer, fresh]) client.close()
    })
  }

  for (const kind of HOCUSPOCUS_KINDS) {
    test(`${kind.label} is told its scope, and each refusal`, async () => {
      const name = `scope of ${kind.label}`
      const writer = await open(kind, server, name).untilSaved()
      assert.equal(writer.provider.authorizedScope, 'read-write')
      writer.doc.getText('text').insert(0, 'fixed')
      await writer.untilSaved()

      const reader = await open(kind, server, name, { token: READ_ONLY }).untilSynced()
      assert.equal(reader.provider.authorizedScope, 'readonly')
      // What a reader brings is known already: that is no refusal, and its program does not say "unsaved".
      await reader.untilSaved()
      const known = await open(kind, server, name, { token: READ_ONLY, doc: copyOf(writer.doc) }).untilSaved()

      reader.doc.getText('text').insert(0, 'x')
      await until('the edit is refused', () => reader.wire.received(SYNC_STATUS).some(frame => !frame.applied))
      assert.equal(reader.provider.hasUnsyncedChanges, true)
      assert.equal(reader.wire.received(SYNC_STATUS).filter(frame => !frame.applied).length, 1)
      for (const client of [writer, reader, known]) client.close()
    })
  }

  test('y-sweet is not told that a refused edit is saved', async () => {
    const reader = await open(Y_SWEET, server, 'y-sweet reads', { token: READ_ONLY }).untilSynced()
    await reader.untilSaved()
    reader.doc.getText('text').insert(0, 'x')
    await until('the edit is refused', () => isRefused(reader))
    assert.equal(reader.provider.hasLocalChanges, true)
    reader.close()
  })

  test('y-websocket 3 is told for good that it may not write', async () => {
    const reader = await open(Y_WEBSOCKET_3, server, 'y-websocket reads', { token: READ_ONLY }).untilSynced()
    const closed = []
    reader.provider.on('closed', close => closed.push(close.code))
    reader.doc.getText('text').insert(0, 'x')
    await until('it is told', () => closed.length > 0)
    assert.deepEqual(closed, [4403])
    assert.equal(reader.provider.shouldConnect, false)
    reader.close()
  })

  for (const kind of [PROVIDER_3, PROVIDER_4]) {
    test(`${kind.label} changes seats on an open connection by sending a new token`, async () => {
      const name = `new token for ${kind.label}`
      const ada = await open(kind, server, name, { token: () => token }).untilSaved()
      var token = READ_ONLY // eslint-disable-line no-var
      await ada.provider.sendToken()
      await until('the seat is read-only', () => ada.provider.authorizedScope === 'readonly')
      ada.doc.getText('text').insert(0, 'refused ')
      await until('the edit is refused', () => ada.wire.received(SYNC_STATUS).some(frame => !frame.applied))
      token = 'anybody'
      await ada.provider.sendToken()
      await until('the seat may write', () => ada.provider.authorizedScope === 'read-write')
      // The refused words are still here; asked for again, they are taken.
      ada.provider.forceSync()
      await until('the count is zero', () => ada.provider.unsyncedChanges === 0)
      const fresh = await open(PROVIDER_4, server, name).untilSynced()
      assert.equal(textOf(fresh), 'refused ')
      assert.equal(ada.wire.opened, 1)
      ada.close()
      fresh.close()
    })
  }

  test('tokens may come from an asynchronous function, and provider 2 may come without any', async () => {
    for (const kind of [PROVIDER_2, PROVIDER_3, PROVIDER_4]) {
      const ada = await open(kind, server, 'asynchronous token', { token: async () => READ_ONLY }).untilSynced()
      assert.equal(ada.provider.authorizedScope, 'readonly')
      ada.close()
      const ben = await open(kind, server, 'no token', { token: null }).untilSaved()
      ben.doc.getText('text').insert(0, 'hello ')
      await ben.untilSaved()
      ben.close()
    }
    for (const kind of Y_WEBSOCKET_KINDS) {
      const ada = await open(kind, server, 'no token').untilSynced()
      assert.equal(textOf(ada), 'hello hello hello ')
      ada.close()
    }
  })
})

function copyOf (doc) {
  const copy = new Y.Doc()
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc))
  return copy
}

/** A provider gets an answer to each edit; the other clients have nothing to hear it with, and are sent away. */
function isRefused (reader) {
  if (reader.kind.dialect === 'hocuspocus') return reader.wire.received(SYNC_STATUS).some(frame => !frame.applied)
  return reader.wire.closings.includes(4403)
}
