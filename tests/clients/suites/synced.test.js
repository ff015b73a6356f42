// What does a client have when it is told that it is synced?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as Y from 'yjs'
import { converge, same } from '../harness/content.js'
import { KINDS, PROVIDER_3, PROVIDER_4, Y_SWEET, Y_WEBSOCKET_3, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { SYNC } from '../harness/wire.js'
import { until } from '../harness/wait.js'

// A chapter pasted a hundred times: far beyond what fits one message. UTF-16 units.
const CHAPTER = 30_000
const CHAPTERS = 100

/** Calls back whenever the client says `synced`, at that very moment. */
function onSynced (client, then) {
  if (client.kind.dialect === 'hocuspocus') {
    // Version 2 also tells when it is no longer synced.
    client.provider.on('synced', ({ state }) => { if (state) then() })
  } else {
    client.provider.on('sync', state => { if (state) then() })
  }
}

describe('synced', { concurrency: 2 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const kind of KINDS) {
    test(`${kind.label} says so once for each connection, even when there is nothing to sync`, async () => {
      const ada = open(kind, server, `nothing for ${kind.label}`)
      let times = 0
      onSynced(ada, () => { times += 1 })
      await ada.untilSaved()
      ada.doc.getText('text').insert(0, 'a')
      await ada.untilSaved()
      assert.equal(times, 1)
      ada.wire.cut()
      await ada.untilLost()
      await ada.untilSaved()
      assert.equal(times, 2)
      ada.close()
    })
  }

  describe('a document of three million characters', { concurrency: 1 }, () => {
    let author
    before(async () => {
      author = await open(PROVIDER_4, server, 'a thick book').untilSynced()
      const text = author.doc.getText('text')
      for (let chapter = 0; chapter < CHAPTERS; chapter += 1) {
        text.insert(text.length, String.fromCharCode(97 + chapter % 26).repeat(CHAPTER))
        // Something is deleted everywhere, so that the deletions have to arrive too.
        text.delete(chapter * (CHAPTER - 1), 1)
      }
      await author.untilSaved()
    })

    for (const kind of KINDS) {
      test(`is complete when ${kind.label} says synced`, async () => {
        const reader = open(kind, server, 'a thick book')
        let complete
        onSynced(reader, () => { complete ??= same(reader.doc, author.doc) })
        await reader.untilSynced()
        assert.equal(complete, true)
        await reader.untilSaved()
        assert.equal(reader.wire.opened, 1)
        // No single message is large enough to hold everything else up.
        const largest = Math.max(...reader.wire.frames.filter(frame => frame.incoming).map(frame => frame.bytes.length))
        assert.ok(largest <= 1024 * 1024 + 64, `largest message: ${largest} bytes`)
        reader.close()
      })
    }

    test('comes back as a difference to those who had it', async () => {
      for (const kind of [PROVIDER_4, Y_WEBSOCKET_3]) {
        const reader = await open(kind, server, 'a thick book').untilSaved()
        reader.wire.goOffline()
        await reader.untilLost()
        author.doc.getText('text').insert(0, 'One line more. ')
        await author.untilSaved()
        const already = reader.wire.frames.length
        reader.wire.goOnline()
        await reader.untilSaved()
        await converge([author, reader])
        const bytes = reader.wire.frames.slice(already).reduce((sum, frame) => sum + frame.bytes.length, 0)
        assert.ok(bytes < 10_000, `${bytes} bytes to learn of one line`)
        reader.close()
      }
    })
  })

  for (const kind of [PROVIDER_3, PROVIDER_4, Y_WEBSOCKET_3, Y_SWEET]) {
    test(`${kind.label} hands in a large document that it wrote offline, in one message`, async () => {
      const doc = new Y.Doc()
      for (let chapter = 0; chapter < CHAPTERS; chapter += 1) {
        doc.getText('text').insert(0, String.fromCharCode(97 + chapter % 26).repeat(CHAPTER))
      }
      const ada = await open(kind, server, `written offline with ${kind.label}`, { doc }).untilSaved()
      assert.ok(ada.wire.sent(SYNC).some(frame => frame.bytes.length > CHAPTER * CHAPTERS))
      const ben = await open(PROVIDER_4, server, ada.name).untilSynced()
      await converge([ada, ben])
      assert.equal(ada.wire.opened, 1)
      ada.close()
      ben.close()
    })
  }

  test('two people who join an unknown document at once get the same one', async () => {
    for (let again = 0; again < 10; again += 1) {
      const crowd = KINDS.map(kind => open(kind, server, `at once ${again}`))
      crowd.forEach((client, index) => client.doc.getArray('list').push([index]))
      await Promise.all(crowd.map(client => client.untilSaved()))
      await converge(crowd)
      assert.equal(crowd[0].doc.getArray('list').length, KINDS.length)
      crowd.forEach(client => client.close())
    }
  })

  test('a document is still there after everybody has left', async () => {
    const ada = await open(PROVIDER_4, server, 'left alone').untilSynced()
    ada.doc.getText('text').insert(0, 'still here')
    await ada.untilSaved()
    ada.close()
    await until('everybody is gone', () => ada.wire.sockets.size === 0)
    const ben = await open(Y_WEBSOCKET_3, server, 'left alone').untilSynced()
    assert.equal(ben.doc.getText('text').toString(), 'still here')
    ben.close()
  })
})
