// Do the libraries of today still write, and still understand, the bytes in the vector files?
//
// `protocol/tests/vectors.rs` asks the same of the server.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import * as decoding from 'lib0/decoding'
import * as Y from 'yjs'
import * as awareness from 'y-protocols/awareness'
import { makeAll } from './make.mjs'
import { unhex } from './recipes/hex.mjs'
import { openProvider, providers, serverFrames } from './recipes/hocuspocus.mjs'
import { read } from './recipes/lib0.mjs'
import { settle } from './recipes/socket.mjs'
import { documentOf, inside } from './recipes/updates.mjs'
import { openYWebsocket, yWebsockets } from './recipes/y-websocket.mjs'

// Keep-alives: `yws::KEEP_ALIVE`, `hocuspocus::KEEP_ALIVE`.
const Y_WEBSOCKET_KEEP_ALIVE = [1, 1, 0]
const HOCUSPOCUS_KEEP_ALIVE = [1, 0]

const file = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8'))

// Providers keep timers of their own, even after they are destroyed.
after(() => setImmediate(() => process.exit()))

const made = await makeAll()

for (const [name, content] of Object.entries(made)) {
  test(`${name} comes out the same`, () => {
    assert.deepEqual(JSON.parse(JSON.stringify(content)), file(name))
  })
}

test('lib0 reads what it wrote', () => {
  const { vectors, refusals } = file('lib0-0.2.119')
  for (const { name, kind, hex, value } of vectors) {
    const decoder = decoding.createDecoder(unhex(hex))
    const found = read[kind](decoder)
    // JSON has neither negative zero nor most of `any`.
    if (kind !== 'any') assert.equal(found === 0 ? 0 : found, value, name)
    assert.equal(decoding.hasContent(decoder), false, name)
  }
  for (const { name, kind, hex } of refusals) {
    assert.throws(() => read[kind](decoding.createDecoder(unhex(hex))), name)
  }
})

test('Yjs makes the documents the vectors promise', () => {
  for (const { name, hex, blocks, deletions, text, stateVector } of [...file('yjs-13.6.33').vectors, ...file('y-14.0.0-rc.7').vectors]) {
    const update = unhex(hex)
    assert.deepEqual(inside(update), { blocks, deletions }, name)
    assert.deepEqual(documentOf(update), { text, stateVector }, name)
  }
})

test('y-protocols hears the awareness vectors', () => {
  for (const { name, hex, entries } of file('y-protocols-1.0.7').vectors) {
    const listener = new awareness.Awareness(new Y.Doc())
    awareness.applyAwarenessUpdate(listener, unhex(hex), 'test')
    for (const { client, clock, state } of entries) {
      // Clock 0 is older than nothing: everybody ignores it.
      const heard = clock === 0 || state === null ? undefined : JSON.parse(state)
      assert.deepEqual(listener.states.get(client), heard, name)
    }
    listener.destroy()
  }
})

for (const [version, library] of Object.entries(yWebsockets)) {
  test(`P61: y-websocket ${version} takes the keep-alive and says nothing`, async () => {
    const { provider, socket } = await openYWebsocket(library)
    socket.accept()
    await settle()
    socket.takeSent()
    provider.wsLastMessageReceived = 0
    socket.receive(Y_WEBSOCKET_KEEP_ALIVE)
    await settle()
    assert.deepEqual(socket.takeSent(), [])
    assert.ok(provider.wsLastMessageReceived > 0, 'the watchdog was fed')
    provider.destroy()
  })
}

for (const [version, library] of Object.entries(providers)) {
  const live = async () => {
    const opened = await openProvider(library)
    opened.socket.accept()
    await settle()
    opened.socket.receive(frames['Authenticated, to write'].toUint8Array())
    await settle()
    opened.socket.takeSent()
    return opened
  }
  const frames = serverFrames('doc')
  const done = ({ provider, websocketProvider }) => {
    provider.destroy()
    websocketProvider.destroy()
  }

  test(`P60: provider ${version} takes the keep-alive and says nothing`, async () => {
    const client = await live()
    client.websocketProvider.lastMessageReceived = 1
    client.socket.receive(HOCUSPOCUS_KEEP_ALIVE)
    await settle()
    assert.deepEqual(client.socket.takeSent(), [])
    assert.ok(client.websocketProvider.lastMessageReceived > 1, 'the watchdog was fed')
    done(client)
  })

  test(`P62: provider ${version} ${version.startsWith('4') ? 'answers a ping' : 'throws on a ping'}`, async () => {
    const client = await live()
    if (version.startsWith('4')) {
      client.socket.receive([9])
      assert.deepEqual(client.socket.takeSent(), [new Uint8Array([10])])
    } else {
      assert.throws(() => client.socket.receive([9]))
    }
    done(client)
  })

  test(`P50: provider ${version} counts one status for each update`, async () => {
    const client = await live()
    const applied = frames['SyncStatus applied'].toUint8Array()
    client.socket.receive(applied)
    client.document.getText('t').insert(0, 'a')
    client.document.getText('t').insert(1, 'b')
    assert.equal(client.provider.unsyncedChanges, 2)
    client.socket.receive(frames['SyncStatus refused'].toUint8Array())
    assert.equal(client.provider.unsyncedChanges, 2, 'a refusal leaves the change unsaved')
    client.socket.receive(applied)
    assert.equal(client.provider.unsyncedChanges, 1)
    client.socket.receive(applied)
    assert.equal(client.provider.unsyncedChanges, 0)
    done(client)
  })

  test(`P83: provider ${version} ${version.startsWith('2') ? 'throws when' : 'leaves the document when'} it is sent away`, async () => {
    const client = await live()
    const close = frames.Close.toUint8Array()
    if (version.startsWith('2')) {
      assert.throws(() => client.socket.receive(close))
    } else {
      const reasons = []
      client.provider.on('close', ({ event }) => reasons.push(event.reason))
      client.socket.receive(close)
      assert.deepEqual(reasons, ['Reset Connection'])
      assert.equal(client.provider.isAuthenticated, false)
    }
    done(client)
  })
}
