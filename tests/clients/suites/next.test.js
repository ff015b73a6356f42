// What already works with the coming generation: @y/y 14 and y-websocket 4, both pre-releases?
//
// Written down as it is with the versions pinned in package.json, so that a change in either shows. Documents written by 13 and 14 are the
// same on the wire; only the programming interface differs.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as Y from 'yjs'
import * as Y14 from '@y/y'
import { WebsocketProvider } from '@y/websocket'
import { PROVIDER_4, READ_ONLY, Y_WEBSOCKET_3, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { STEP_1, STEP_2, SYNC, UPDATE, Wire } from '../harness/wire.js'
import { until } from '../harness/wait.js'

/** A client of the next generation. */
class NextClient {
  constructor (server, name, { doc = new Y14.Doc(), token } = {}) {
    this.doc = doc
    this.wire = new Wire('y-websocket')
    this.provider = new WebsocketProvider(server.url, encodeURIComponent(name), doc, {
      WebSocketPolyfill: this.wire.WebSocket, disableBc: true, maxBackoffTime: 200, params: token ? { token } : {}
    })
    server.clients.add(this)
  }

  async untilSynced () {
    await until('y-websocket 4 is synced', () => this.provider.synced)
    return this
  }

  close () {
    this.provider.destroy()
    this.provider.awareness.destroy()
  }
}

const text13 = client => client.doc.getText('text').toString()
const text14 = client => client.doc.get('text').toString()
const sameState = (one, other) => Buffer.from(Y.encodeStateVector(one.doc)).equals(Buffer.from(Y14.encodeStateVector(other.doc)))

describe('y-websocket 4 with @y/y 14', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  test('meets clients of today: every kind of content, both ways', async () => {
    const today = await open(PROVIDER_4, server, 'generations').untilSynced()
    const next = await new NextClient(server, 'generations').untilSynced()

    next.doc.get('text').insert(0, 'hello 🙂', { bold: true })
    next.doc.get('text').delete(0, 1)
    next.doc.get('map').setAttr('from', { fourteen: [1, 2.5, null, true] })
    next.doc.get('list').insert(0, ['fourteen', 14])
    const paragraph = new Y14.Type('paragraph')
    paragraph.insert(0, 'written by fourteen')
    paragraph.setAttr('level', '2')
    next.doc.get('default').insert(0, [paragraph])
    await until('today has it', () => sameState(today, next) && today.doc.getXmlFragment('default').length === 1)
    assert.deepEqual(today.doc.getText('text').toDelta(), [{ insert: 'ello 🙂', attributes: { bold: true } }])
    assert.deepEqual(today.doc.getMap('map').toJSON(), { from: { fourteen: [1, 2.5, null, true] } })
    assert.deepEqual(today.doc.getArray('list').toJSON(), ['fourteen', 14])
    assert.equal(today.doc.getXmlFragment('default').toString(), '<paragraph level="2">written by fourteen</paragraph>')

    today.doc.getText('text').insert(0, 'J')
    today.doc.getMap('map').set('nested', new Y.Map([['thirteen', 13]]))
    today.doc.getXmlFragment('default').push([new Y.XmlElement('divider')])
    await today.untilSaved()
    await until('next has it', () => sameState(today, next) && next.doc.get('default').length === 2)
    assert.equal(text14(next), 'Jello 🙂')
    assert.equal(next.doc.get('map').getAttr('nested').getAttr('thirteen'), 13)
    today.close()
    next.close()
  })

  test('sees and is seen', async () => {
    const today = await open(Y_WEBSOCKET_3, server, 'presence of generations').untilSynced()
    const next = await new NextClient(server, 'presence of generations').untilSynced()
    today.introduce('Today')
    next.provider.awareness.setLocalStateField('user', { name: 'Next' })
    await until('today sees next', () => today.sees.includes('Next'))
    await until('next sees today', () => [...next.provider.awareness.getStates().values()].some(state => state.user?.name === 'Today'))
    next.close()
    await until('today no longer sees next', () => today.sees.length === 0)
    today.close()
  })

  test('comes back with its offline edits after a kill, and merges with what others did', async () => {
    const own = await Server.start()
    try {
      const today = await open(PROVIDER_4, own, 'offline generations').untilSynced()
      const next = await new NextClient(own, 'offline generations').untilSynced()
      next.doc.get('text').insert(0, 'before ')
      await until('today has it', () => text13(today) === 'before ')
      await own.kill()
      await until('next notices', () => !next.provider.synced)
      next.doc.get('text').insert(7, 'next ')
      next.doc.get('text').delete(0, 1)
      today.doc.getText('text').insert(0, 'today ')
      await own.run()
      await today.untilSaved()
      await until('both have everything', () => text13(today) === 'today efore next ' && text14(next) === text13(today))
      const fresh = await new NextClient(own, 'offline generations').untilSynced()
      assert.equal(text14(fresh), 'today efore next ')
    } finally {
      await own.close()
    }
  })

  test('reads a document of many edits by many clients of today, and its answer adds nothing', async () => {
    const today = await open(PROVIDER_4, server, 'history').untilSynced()
    for (let author = 0; author < 20; author += 1) {
      const doc = new Y.Doc()
      Y.applyUpdate(doc, Y.encodeStateAsUpdate(today.doc))
      for (let edit = 0; edit < 20; edit += 1) {
        doc.getText('text').insert(doc.getText('text').length / 2 | 0, `${author}.${edit} `)
        doc.getText('text').delete(0, 2)
      }
      Y.applyUpdate(today.doc, Y.encodeStateAsUpdate(doc))
    }
    await today.untilSaved()
    const next = await new NextClient(server, 'history').untilSynced()
    assert.equal(text14(next), text13(today))
    assert.ok(sameState(today, next))
    // The client answers the server's question with what it has; the server already knew.
    next.doc.get('text').insert(0, 'one more ')
    await until('today has it', () => text13(today).startsWith('one more '))
    assert.equal(next.wire.opened, 1)
    today.close()
    next.close()
  })

  test('sees each of its own edits come back: what its coming sync status calls confirmed', async () => {
    // The released pre-release has no sync status yet; its rule is: an edit is confirmed when the server sends its ids to its author.
    const next = await new NextClient(server, 'confirmed').untilSynced()
    let unconfirmed = Y14.createContentIds()
    next.doc.on('update', (update, origin) => {
      if (origin !== next.provider) unconfirmed = Y14.mergeContentIds([unconfirmed, Y14.createContentIdsFromUpdate(update)])
    })
    next.wire.listeners.push(({ type, sub, payload }) => {
      if (type === SYNC && sub !== STEP_1) unconfirmed = Y14.excludeContentIds(unconfirmed, Y14.createContentIdsFromUpdate(payload))
    })
    const green = () => unconfirmed.inserts.isEmpty() && unconfirmed.deletes.isEmpty()
    assert.ok(green())
    const text = next.doc.get('text')
    for (let edit = 0; edit < 50; edit += 1) {
      text.insert(text.length, 'x')
      if (edit % 5 === 4) text.delete(0, 2)
      if (edit % 7 === 6) text.format(0, 2, { bold: true })
      next.doc.get('map').setAttr('key', edit)
    }
    assert.ok(!green())
    await until('everything is confirmed', green)

    // Deleted a second time by somebody who did not know: nothing new for the server, and still to be confirmed to its author.
    const doc = new Y14.Doc()
    Y14.applyUpdate(doc, Y14.encodeStateAsUpdate(next.doc))
    next.wire.goOffline()
    await until('next notices', () => !next.provider.synced)
    const other = await new NextClient(server, 'confirmed', { doc }).untilSynced()
    other.doc.get('text').delete(0, 3)
    other.doc.get('text').insert(0, 'y')
    await until('the other is saved', () => other.wire.received(SYNC, UPDATE).length > 0)
    next.doc.get('text').delete(0, 3)
    next.wire.goOnline()
    await until('everything is confirmed again', green)
    next.close()
    other.close()
  })

  test('with a read-only seat reads and changes nothing', async () => {
    const today = await open(PROVIDER_4, server, 'next reads').untilSynced()
    today.doc.getText('text').insert(0, 'fixed')
    await today.untilSaved()
    const next = await new NextClient(server, 'next reads', { token: READ_ONLY }).untilSynced()
    assert.equal(text14(next), 'fixed')
    today.doc.getText('text').insert(5, ' words')
    await until('the reader follows', () => text14(next) === 'fixed words')
    next.doc.get('text').insert(0, 'not ')
    await until('the edit is refused', () => next.wire.closings.includes(4403))
    const fresh = await open(Y_WEBSOCKET_3, server, encodeURIComponent('next reads')).untilSynced()
    assert.equal(text13(fresh), 'fixed words')
    for (const client of [today, next, fresh]) client.close()
  })

  test('never gets two messages in one frame, which it would answer with a malformed one', async () => {
    const doc = new Y14.Doc()
    doc.get('text').insert(0, 'brought along')
    const next = await new NextClient(server, 'one message a frame', { doc }).untilSynced()
    await until('it is asked and answers', () => next.wire.sent(SYNC, STEP_2).length > 0)
    for (const frame of next.wire.frames) {
      if (!frame.incoming || frame.type !== SYNC) continue
      const lengthOfLength = frame.payload.length < 128 ? 1 : frame.payload.length < 16384 ? 2 : 3
      assert.equal(frame.bytes.length, 2 + lengthOfLength + frame.payload.length)
    }
    next.close()
  })
})
