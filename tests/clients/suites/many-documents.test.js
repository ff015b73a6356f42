// Do many documents live on one connection without touching each other?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { converge } from '../harness/content.js'
import { HOCUSPOCUS_KINDS, KINDS, PROVIDER_3, PROVIDER_4, PROVIDER_4_SESSION, Y_SWEET, Y_WEBSOCKET_3, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { until } from '../harness/wait.js'

const DOCUMENTS = 60

describe('one connection', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const kind of HOCUSPOCUS_KINDS) {
    test(`with ${kind.label} carries ${DOCUMENTS} documents`, async () => {
      const first = open(kind, server, `${kind.label} 0`)
      const clients = [first]
      for (let at = 1; at < DOCUMENTS; at += 1) clients.push(open(kind, server, `${kind.label} ${at}`, { socket: first }))
      await Promise.all(clients.map(client => client.untilSaved()))
      clients.forEach((client, at) => client.doc.getText('text').insert(0, `document ${at}`))
      await Promise.all(clients.map(client => client.untilSaved()))
      assert.equal(first.wire.opened, 1)

      // Each text is in its own document and nowhere else.
      const others = clients.map(client => open(Y_WEBSOCKET_3, server, client.name))
      await Promise.all(others.map(client => client.untilSynced()))
      others.forEach((client, at) => assert.equal(client.doc.getText('text').toString(), `document ${at}`))

      // After a lost line all of them come back on one new socket.
      first.wire.cut()
      await Promise.all(clients.map(client => client.untilLost()))
      others.forEach(client => client.doc.getText('text').insert(0, 'the same '))
      await Promise.all(clients.map(client => client.untilSaved()))
      for (const [at, client] of clients.entries()) await converge([client, others[at]])
      assert.equal(first.wire.opened, 2)
      others.forEach(client => client.close())
      clients.reverse().forEach(client => client.close())
    })

    test(`with ${kind.label}: one document is left and opened again, the others do not notice`, async () => {
      const stay = await open(kind, server, `stay with ${kind.label}`).untilSaved()
      const leave = await open(kind, server, `leave with ${kind.label}`, { socket: stay }).untilSaved()
      const witness = await open(PROVIDER_4, server, leave.name).untilSaved()
      leave.introduce('Leaver')
      await until('the witness sees the leaver', () => witness.sees.includes('Leaver'))
      leave.doc.getText('text').insert(0, 'last words')
      await leave.untilSaved()
      leave.close()
      await until('the witness no longer sees the leaver', () => witness.sees.length === 0)
      witness.doc.getText('text').insert(10, ', or not')
      stay.doc.getText('text').insert(0, 'all quiet')
      await Promise.all([witness.untilSaved(), stay.untilSaved()])

      const again = await open(kind, server, leave.name, { socket: stay }).untilSaved()
      assert.equal(again.doc.getText('text').toString(), 'last words, or not')
      assert.equal(stay.wire.opened, 1)
      for (const client of [again, witness, stay]) client.close()
    })
  }

  test('with sessions carries the same document twice', async () => {
    const ada = await open(PROVIDER_4_SESSION, server, 'in two panes').untilSaved()
    const ben = await open(PROVIDER_4_SESSION, server, 'in two panes', { socket: ada }).untilSaved()
    const witness = await open(PROVIDER_3, server, 'in two panes').untilSaved()
    ada.introduce('left pane')
    ben.introduce('right pane')
    await until('each pane sees the other', () => ada.sees.includes('right pane') && ben.sees.includes('left pane'))
    await until('the witness sees both', () => witness.sees.length === 2)
    ada.doc.getText('text').insert(0, 'left ')
    ben.doc.getText('text').insert(0, 'right ')
    await Promise.all([ada.untilSaved(), ben.untilSaved()])
    await converge([ada, ben, witness])
    // One pane closes; the other stays open, on the same document and the same socket.
    ben.close()
    await until('only one pane is seen', () => witness.sees.length === 1)
    ada.doc.getText('text').insert(0, 'alone ')
    await ada.untilSaved()
    await converge([ada, witness])
    assert.equal(ada.wire.opened, 1)
    ada.close()
    witness.close()
  })

  test('carries application messages without passing them to others', async () => {
    for (const kind of HOCUSPOCUS_KINDS) {
      const ada = await open(kind, server, 'with application messages').untilSaved()
      const ben = await open(kind, server, 'with application messages').untilSaved()
      ada.provider.sendStateless('to the server')
      ada.doc.getText('text').insert(0, 'after the message ')
      await ada.untilSaved()
      await converge([ada, ben])
      assert.deepEqual(ben.events.filter(({ event }) => event === 'stateless'), [])
      assert.deepEqual(ada.events.filter(({ event }) => event === 'close' || event === 'authenticationFailed'), [])
      assert.equal(ada.wire.opened, 1)
      ada.close()
      ben.close()
    }
  })
})

describe('names', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  const NAMES = [
    'a', '0', 'with spaces', 'a/b/c', 'note/0f8b', 'dots.and-dashes_', 'Grüße', '漢字 🙂', '100%', '100% sure', 'a%2Fb', 'a+b', 'a&b=c',
    'who?', 'part#2', '[x]', "it's", '"quoted"', 'back\\slash', 'semi;colon', 'x'.repeat(512)
  ]

  for (const name of NAMES) {
    test(`${JSON.stringify(name.slice(0, 20))} is the same document for every client`, async () => {
      const ada = await open(PROVIDER_4, server, name).untilSaved()
      ada.doc.getText('text').insert(0, name)
      await ada.untilSaved()
      for (const kind of KINDS) {
        // y-websocket and y-sweet put the name into the address as it is, so an application escapes it.
        const ben = await open(kind, server, kind.dialect === 'hocuspocus' ? name : encodeURIComponent(name)).untilSynced()
        assert.equal(ben.doc.getText('text').toString(), name, kind.label)
        ben.close()
      }
      ada.close()
    })
  }

  test('names that need no escaping may also go unescaped', async () => {
    for (const name of ['a/b/c', 'with spaces', 'Grüße', '漢字 🙂', 'a+b', "it's"]) {
      const ada = await open(PROVIDER_4, server, name).untilSynced()
      if (!ada.doc.getText('text').length) ada.doc.getText('text').insert(0, name)
      await ada.untilSaved()
      for (const kind of [Y_WEBSOCKET_3, Y_SWEET]) {
        const ben = await open(kind, server, name).untilSynced()
        assert.equal(ben.doc.getText('text').toString(), name, kind.label)
        ben.close()
      }
      ada.close()
    }
  })

  test('names that look alike are different documents', async () => {
    const names = ['Café', 'Cafe\u0301', 'café', 'x/y', 'x//y', 'x', 'X', ' x', 'x%20']
    const clients = names.map(name => open(PROVIDER_4, server, `alike ${name}`))
    await Promise.all(clients.map(client => client.untilSaved()))
    clients.forEach((client, at) => client.doc.getText('text').insert(0, String(at)))
    await Promise.all(clients.map(client => client.untilSaved()))
    const again = names.map(name => open(Y_WEBSOCKET_3, server, encodeURIComponent(`alike ${name}`)))
    await Promise.all(again.map(client => client.untilSynced()))
    again.forEach((client, at) => assert.equal(client.doc.getText('text').toString(), String(at)))
    for (const client of [...clients, ...again]) client.close()
  })

  test('a name that is too long is refused, and others can go on', async () => {
    const ada = await open(PROVIDER_4, server, 'short enough').untilSaved()
    const long = open(PROVIDER_4, server, 'x'.repeat(513))
    await until('the long name is refused', () => long.wire.closings.includes(1009))
    ada.doc.getText('text').insert(0, 'still here')
    await ada.untilSaved()
    assert.equal(ada.wire.opened, 1)
    assert.equal(long.synced, false)
    long.close()
    ada.close()
  })
})
