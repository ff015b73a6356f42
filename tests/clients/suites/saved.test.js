// When a client is told that its words are saved, are they?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as Y from 'yjs'
import { HOCUSPOCUS_KINDS, KINDS, PROVIDER_3, PROVIDER_4, Y_SWEET, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { ADMITTED, AUTH, STEP_1, STEP_2, SYNC, SYNC_STATUS, UPDATE } from '../harness/wire.js'
import { until } from '../harness/wait.js'

const textOf = client => client.doc.getText('text').toString()

/** What somebody reads who was never there before. */
async function readAnew (server, name) {
  const reader = await open(PROVIDER_4, server, name).untilSynced()
  const text = textOf(reader)
  reader.close()
  return text
}

describe('acknowledgements', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const kind of HOCUSPOCUS_KINDS) {
    test(`${kind.label} gets exactly one acknowledgement for each message with edits`, async () => {
      const counts = []
      const ada = open(kind, server, `burst of ${kind.label}`)
      ada.provider.on('unsyncedChanges', change => counts.push(typeof change === 'number' ? change : change.number))
      await ada.untilSaved()
      // Bursts, single edits, an edit that changes nothing new, and a sync that the application asks for.
      for (let edit = 0; edit < 200; edit += 1) ada.doc.getText('text').insert(edit, 'x')
      await ada.untilSaved()
      ada.doc.getText('text').delete(0, 5)
      await ada.untilSaved()
      ada.provider.forceSync()
      assert.equal(ada.provider.unsyncedChanges, 1)
      await ada.untilSaved()
      const sent = ada.wire.sent(SYNC, STEP_2).length + ada.wire.sent(SYNC, UPDATE).length
      // The answer to a second request stands behind every acknowledgement of what went before.
      const answers = ada.wire.received(SYNC, STEP_2).length
      ada.provider.forceSync()
      await until('the server answers the second sync', () => ada.wire.received(SYNC, STEP_2).length > answers)
      await ada.untilSaved()
      const acknowledged = ada.wire.received(SYNC_STATUS)
      assert.equal(acknowledged.length, sent + 1)
      assert.ok(acknowledged.every(frame => frame.applied))
      assert.equal(ada.provider.unsyncedChanges, 0)
      assert.ok(Math.min(...counts) === 0, `the count never falls below 0: ${Math.min(...counts)}`)
      assert.equal(ada.wire.opened, 1)
      ada.close()
    })

    test(`${kind.label}: every sync that is asked for is answered in full`, async () => {
      const ada = await open(kind, server, `forced sync of ${kind.label}`, { forceSyncInterval: 15 }).untilSaved()
      ada.doc.getText('text').insert(0, 'words')
      await until('five syncs are answered', () => ada.wire.received(SYNC, STEP_2).length >= 5 && ada.saved)
      assert.equal(ada.wire.opened, 1)
      ada.close()
    })
  }

  test('a Hocuspocus join is admitted first, and acknowledged only when it has the content', async () => {
    for (const kind of [PROVIDER_3, PROVIDER_4]) {
      const doc = new Y.Doc()
      doc.getText('text').insert(0, 'brought along')
      const ada = await open(kind, server, `order of ${kind.label}`, { doc, awareness: null }).untilSaved()
      const [first, ...rest] = ada.wire.frames.filter(frame => frame.incoming)
      assert.deepEqual([first.type, first.sub, first.text], [AUTH, ADMITTED, 'read-write'], kind.label)
      const place = (type, sub) => rest.findIndex(frame => frame.type === type && frame.sub === sub)
      assert.ok(place(SYNC_STATUS) > place(SYNC, STEP_1) && place(SYNC, STEP_1) >= 0, kind.label)
      assert.ok(place(SYNC_STATUS) > place(SYNC, STEP_2) && place(SYNC, STEP_2) >= 0, kind.label)
      ada.close()
    }
  })

  for (const kind of KINDS) {
    test(`${kind.label}: at the moment it says saved, words written offline are saved`, async () => {
      const name = `offline words of ${kind.label}`
      const ada = await open(kind, server, name).untilSaved()
      ada.wire.goOffline()
      await ada.untilLost()
      ada.doc.getText('text').insert(0, 'written on the train')
      ada.doc.getText('text').delete(0, 8)
      ada.wire.goOnline()
      await until(`${kind.label} says saved`, () => ada.saved)
      // Whatever is still on its way to the server never arrives.
      ada.wire.goOffline()
      assert.equal(await readAnew(server, name), 'on the train')
      ada.close()
    })
  }

  test('y-sweet is not told "saved" before the words it brings from offline have been asked for and kept', async () => {
    const name = 'the status of y-sweet'
    const ada = await open(Y_SWEET, server, name).untilSaved()
    ada.wire.goOffline()
    await ada.untilLost()
    ada.doc.getText('text').insert(0, 'from offline')
    assert.equal(ada.provider.hasLocalChanges, true)
    let atSaved
    ada.provider.on('local-changes', changed => {
      if (!changed) atSaved = ada.wire.frames.filter(frame => !frame.incoming && frame.at > back).map(frame => `${frame.type}.${frame.sub}`)
    })
    const back = performance.now()
    ada.wire.goOnline()
    await until('y-sweet says saved', () => atSaved)
    assert.ok(atSaved.includes(`${SYNC}.${STEP_2}`), `sent before "saved": ${atSaved}`)
    assert.equal(await readAnew(server, name), 'from offline')
    ada.close()
  })
})

describe('kill -9 while everybody types', () => {
  // How many of its edits, in the order they were made, has this client been told are kept?
  const acknowledged = client => {
    if (client.provider.ackedVersion !== undefined) return client.provider.ackedVersion
    if (client.echo) return client.echo.clock / EDIT.length
    return client.wire.received(SYNC_STATUS).length - client.acknowledgedBefore
  }
  const EDIT = 'word '

  for (let round = 1; round <= 4; round += 1) {
    test(`no acknowledged word is lost (round ${round})`, async () => {
      const server = await Server.start()
      try {
        const kinds = KINDS.filter(kind => kind.label !== 'provider 4 in batches')
        const writers = await Promise.all(kinds.map(kind => open(kind, server, `typing ${kind.label}`).untilSaved()))
        for (const writer of writers) writer.acknowledgedBefore = writer.wire.received(SYNC_STATUS).length
        let typing = true
        const typists = writers.map(async writer => {
          while (typing) {
            const text = writer.doc.getText('text')
            text.insert(text.length, EDIT)
            await new Promise(setImmediate)
          }
        })
        await until('everybody has been told of some kept words', () => writers.every(writer => acknowledged(writer) >= 20 * round))
        // The kill lands between an edit and its acknowledgement for somebody, whichever moment it is.
        const killed = server.kill()
        writers.forEach(writer => writer.wire.goOffline())
        typing = false
        await Promise.all([killed, ...typists])
        const promised = writers.map(acknowledged)
        const restart = performance.now()
        await server.run()
        const took = performance.now() - restart
        assert.ok(took < 2000, `the server is back within two seconds: ${took} ms`)
        for (const [index, writer] of writers.entries()) {
          const kept = (await readAnew(server, writer.name)).length / EDIT.length
          assert.ok(kept >= promised[index], `${writer.kind.label} was told of ${promised[index]} words, ${kept} are left`)
        }
        // And what was not acknowledged is still with its author, who now hands it in.
        writers.forEach(writer => writer.wire.goOnline())
        for (const writer of writers) {
          await writer.untilSaved()
          assert.equal(await readAnew(server, writer.name), textOf(writer), writer.kind.label)
        }
      } finally {
        await server.close()
      }
    })
  }
})
