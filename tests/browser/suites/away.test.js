// What becomes of words when the line or the server goes away, and is the label honest about them?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PROVIDER_4, open } from '../../clients/harness/kinds.js'
import { Server } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'
import { readNote } from '../../clients/harness/note.js'
import { Person, launch } from '../harness/person.js'

describe('away', { concurrency: 2 }, () => {
  let browser
  before(async () => { browser = await launch() })
  after(() => browser?.close())

  test('somebody goes offline, writes on, and comes back', async () => {
    const server = await Server.start()
    try {
      const ada = await Person.arrive(browser, server, { name: 'Ada', path: '/n/train' })
      const ben = await Person.arrive(browser, server, { name: 'Ben', path: '/n/train' })
      await Promise.all([ada.untilReady(), ben.untilReady()])
      await ada.goToEnd()
      await ada.type('At the station. ')
      await ben.untilReads('At the station.')
      await ada.untilLabel('saved')

      ada.line.cut()
      await ada.untilLabel('on-device')
      assert.match(await ada.label(), /Saved on this device$/)
      await ada.type('In the tunnel. ')
      await ada.page.getByRole('main').getByText('Your words are saved on this device').waitFor()
      await until('the words are on the device', async () => await ada.state() === 'on-device')
      await ada.photograph('offline')
      await ben.goToEnd()
      await ben.press('Enter')
      await ben.type('Meanwhile, at the office. ')
      await ben.untilLabel('saved')
      assert.ok(!(await ben.text()).includes('tunnel'))
      assert.ok(!(await ada.text()).includes('office'))

      ada.line.mend()
      await ada.untilLabel('saved')
      await Promise.all([ben.untilReads('In the tunnel.'), ada.untilReads('at the office.')])
      assert.equal(await ada.text(), await ben.text())
      const reader = await open(PROVIDER_4, server, 'train').untilSynced()
      assert.equal(readNote(reader.doc), await ada.text())
      assert.deepEqual([...ada.complaints, ...ben.complaints], [])
      await Promise.all([ada.close(), ben.close()])
    } finally {
      await server.close()
    }
  })

  test('a page that is closed offline still has the words when it is opened again', async () => {
    const server = await Server.start()
    try {
      const ada = await Person.arrive(browser, server, { name: 'Ada', path: '/n/closed' })
      await ada.untilReady()
      await ada.goToEnd()
      await ada.type('Saved before. ')
      await ada.untilLabel('saved')
      ada.line.cut()
      await ada.untilLabel('on-device')
      await ada.type('Only here. ')
      await until('the words are on the device', async () => await ada.state() === 'on-device' && (await ada.text()).includes('Only here.'))
      await ada.page.close()
      ada.line.mend()
      // The same person on the same device; the server has never seen the last words.
      await ada.open('/n/closed')
      await ada.untilReads('Only here.')
      await ada.untilLabel('saved')
      const reader = await open(PROVIDER_4, server, 'closed').untilSynced()
      assert.equal(readNote(reader.doc).trim(), 'Saved before. Only here.')
      await ada.close()
    } finally {
      await server.close()
    }
  })

  test('the server is killed while two people type: no word the label called saved is lost', async () => {
    const server = await Server.start()
    try {
      const people = await Promise.all(['Ada', 'Ben'].map(name => Person.arrive(browser, server, { name, path: '/n/killed' })))
      await Promise.all(people.map(person => person.untilReady()))
      await people[0].goToEnd()
      await people[0].type('begin ')
      await people[1].untilReads('begin')
      // Each in a paragraph of their own, so that words stay words.
      await people[1].goToEnd()
      await people[1].press('Enter')
      for (let round = 1; round <= 3; round += 1) {
        let typing = true
        const typists = people.map(async person => {
          for (let word = 1; typing; word += 1) await person.type(`${person.name}${round}.${word} `)
        })
        try {
          await until('both were told that new words are saved', async () => {
            const promises = await Promise.all(people.map(person => person.promised()))
            return promises.every((promise, at) => promise.includes(`${people[at].name}${round}.3`))
          })
          await server.kill()
          people.forEach(person => person.line.cut())
        } finally {
          typing = false
          await Promise.allSettled(typists)
        }
        const promises = await Promise.all(people.map(person => person.promised()))
        // With nobody there who could hand anything in again.
        await server.run()
        const reader = await open(PROVIDER_4, server, 'killed').untilSynced()
        const kept = readNote(reader.doc)
        for (const promise of promises) {
          for (const word of promise.split(/\s+/).filter(Boolean)) assert.ok(kept.includes(word), `${word} was saved, and is not in: ${kept}`)
        }
        // Without a server nobody is told that anything is saved there.
        for (const person of people) assert.notEqual(await person.state(), 'saved')
        people.forEach(person => person.line.mend())
        await Promise.all(people.map(person => person.untilLabel('saved')))
        await until('all read the same', async () => {
          const texts = await Promise.all(people.map(person => person.text()))
          return texts[0] === texts[1] && texts[0] === readNote(reader.doc)
        })
        reader.close()
      }
      assert.deepEqual(people.flatMap(person => person.complaints), [])
      const states = new Set((await people[0].labels()).map(({ state }) => state))
      assert.ok(states.has('saving') && states.has('saved') && states.has('on-device'), [...states].join())
      await Promise.all(people.map(person => person.close()))
    } finally {
      await server.close()
    }
  })
})
