// Does everybody come back, with everything, after the server was restarted?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { converge } from '../harness/content.js'
import { KINDS, PROVIDER_4, open } from '../harness/kinds.js'
import { Server } from '../harness/server.js'
import { until } from '../harness/wait.js'

// Clients repeat their presence every 15 s by themselves; being seen must not take that long. Milliseconds.
const BEFORE_ANY_RENEWAL = 8_000

for (const [how, end] of [['stopped', server => server.stop()], ['killed', server => server.kill()]]) {
  describe(`the server is ${how} and started again`, { concurrency: KINDS.length }, () => {
    let server
    const couples = new Map()

    before(async () => {
      server = await Server.start()
      await Promise.all(KINDS.map(async kind => {
        const [ada, ben] = [open(kind, server, `restart of ${kind.label}`), open(kind, server, `restart of ${kind.label}`)]
        couples.set(kind, { ada, ben })
        ada.introduce('Ada')
        ben.introduce('Ben')
        ada.doc.getText('text').insert(0, 'before ')
        await Promise.all([ada.untilSaved(), ben.untilSynced()])
        await converge([ada, ben])
        await until('they see each other', () => ada.sees.includes('Ben') && ben.sees.includes('Ada'))
      }))
      await end(server)
      await Promise.all([...couples.values()].flatMap(({ ada, ben }) => [ada.untilLost(), ben.untilLost()]))
      // Both write while nobody serves them.
      for (const { ada, ben } of couples.values()) {
        ada.doc.getText('text').insert(7, 'during ')
        ben.doc.getMap('map').set('during', 'the restart')
        ben.doc.getText('text').delete(0, 1)
      }
      await server.run()
    })
    after(() => server.close())

    for (const kind of KINDS) {
      test(`${kind.label} comes back with what it wrote meanwhile`, async () => {
        const { ada, ben } = couples.get(kind)
        await Promise.all([ada.untilSaved(), ben.untilSaved()])
        await converge([ada, ben])
        const fresh = await open(PROVIDER_4, server, ada.name).untilSynced()
        await converge([ada, fresh])
        assert.equal(fresh.doc.getText('text').toString(), 'efore during ')
        assert.deepEqual(fresh.doc.getMap('map').toJSON(), { during: 'the restart' })
        // Nobody was told to come back again and again.
        assert.ok(ada.wire.opened <= 3, `${ada.wire.opened} sockets`)
      })

      test(`${kind.label} is seen again as soon as it is back`, async () => {
        const { ada, ben } = couples.get(kind)
        await until('they see each other again', () => ada.sees.includes('Ben') && ben.sees.includes('Ada'), BEFORE_ANY_RENEWAL)
      })
    }
  })
}
