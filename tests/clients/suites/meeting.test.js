// Do two people meet in a document whatever clients they use?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { contentOf, converge } from '../harness/content.js'
import { KINDS, open, pairs } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { until } from '../harness/wait.js'

// Clients repeat their presence every 15 s by themselves; being seen must not take that long. Milliseconds.
const BEFORE_ANY_RENEWAL = 8_000

describe('any two clients', { concurrency: 4 }, () => {
  let server
  before(async () => { server = await Server.start() })
  after(() => server.close())

  for (const [one, other] of pairs()) {
    test(`${one.label} and ${other.label} see each other and each other's words`, async () => {
      const name = `${one.label} meets ${other.label}`
      const ada = await open(one, server, name).untilSynced()
      ada.introduce('Ada')
      ada.doc.getText('text').insert(0, 'Good ')
      await ada.untilSaved()

      // What was there before is there at `synced`, and so is who was there before, without anybody typing.
      const ben = await open(other, server, name).untilSynced()
      assert.equal(ben.doc.getText('text').toString(), 'Good ')
      await until('Ben sees Ada', () => ben.sees.includes('Ada'))
      ben.introduce('Ben')
      await until('Ada sees Ben', () => ada.sees.includes('Ben'))

      // Both write at once, into every kind of type.
      ada.doc.getText('text').insert(5, 'morning', { bold: true })
      ada.doc.getMap('map').set('by', 'Ada')
      ben.doc.getText('text').insert(0, '🙂 ')
      ben.doc.getArray('list').push([1, 'two', null, { three: 3.5 }])
      ben.doc.getText('text').delete(0, 1)
      await Promise.all([ada.untilSaved(), ben.untilSaved()])
      await converge([ada, ben])
      assert.deepEqual(contentOf(ada.doc).list, [1, 'two', null, { three: 3.5 }])
      assert.deepEqual(contentOf(ben.doc).map, { by: 'Ada' })

      // Nobody stays on the list after leaving.
      ben.close()
      await until('Ada no longer sees Ben', () => ada.sees.length === 0)
      ada.close()
    })
  }

  for (const kind of KINDS) {
    test(`${kind.label}, cut off without a goodbye, disappears and comes back at once`, async () => {
      const name = `${kind.label} is cut off`
      const ada = await open(kind, server, name).untilSynced()
      const ben = await open(kind, server, name).untilSynced()
      ada.introduce('Ada')
      ben.introduce('Ben')
      await until('Ada sees Ben', () => ada.sees.includes('Ben'))
      ben.wire.goOffline()
      await until('Ada no longer sees Ben', () => ada.sees.length === 0)
      // Ben's client comes back with the clock it had, which others have already seen: it must not wait for a renewal.
      ben.wire.goOnline()
      await until('Ada sees Ben again', () => ada.sees.includes('Ben'), BEFORE_ANY_RENEWAL)
      // Ben's client remembers the clock of the Ada it lost, and would ignore her at that clock.
      await until('Ben sees Ada again', () => ben.sees.includes('Ada'), BEFORE_ANY_RENEWAL)
      ada.close()
      ben.close()
    })
  }
})
