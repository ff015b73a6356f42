// Do people on two servers with one Redis write together, and is the label honest when that Redis is gone?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import AxeBuilder from '@axe-core/playwright'
import { Server } from '../../clients/harness/server.js'
import { Person, launch } from '../harness/person.js'
import { Redis } from '../harness/redis.js'

// Longer than a server goes on without its storage (10 s), and than a page waits before it tries again.
const AWAY = 30_000

describe('instances', () => {
  let browser
  before(async () => { browser = await launch() })
  after(() => browser?.close())

  test('two people on two servers see each other, and learn why nothing is saved while the storage hangs', async () => {
    const redis = await Redis.start()
    const servers = [await Server.start('--redis', redis.url), await Server.start('--redis', redis.url)]
    try {
      const ada = await Person.arrive(browser, servers[0], { name: 'Ada', path: '/n/shared' })
      const ben = await Person.arrive(browser, servers[1], { name: 'Ben', path: '/n/shared' })
      await Promise.all([ada.untilReady(), ben.untilReady()])
      await Promise.all([ada.untilSees('Ben'), ben.untilSees('Ada')])
      await ada.goToEnd()
      await ada.type('Before. ')
      await ben.untilReads('Before.')
      await ada.untilLabel('saved')

      redis.hang()
      await ada.type('Meanwhile. ')
      await ada.untilLabel('not-saving')
      await ada.page.getByRole('main').getByText('The server cannot reach the place where it keeps notes').waitFor()
      await ada.photograph('storage-away')
      const { violations } = await new AxeBuilder({ page: ada.page }).analyze()
      assert.deepEqual(violations.map(({ id }) => id), [])
      assert.ok(!(await ben.text()).includes('Meanwhile'), 'nothing that is not saved is shown to anybody')

      redis.goOn()
      await ada.untilLabel('saved', AWAY)
      await ben.untilReads('Meanwhile.')
      await ben.untilLabel('saved', AWAY)
      await Promise.all([ada.untilSees('Ben'), ben.untilSees('Ada')])
      assert.equal(await ada.text(), await ben.text())
      assert.deepEqual([...ada.complaints, ...ben.complaints], [])
      await Promise.all([ada.close(), ben.close()])
    } finally {
      redis.goOn()
      for (const server of servers) await server.close()
      await redis.close()
    }
  })
})
