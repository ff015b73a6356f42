// Do people in browsers, an unmodified y-websocket app and an unmodified Hocuspocus app share one note, through a kill of the server in
// the middle of a sentence?

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROVIDER_3, PROVIDER_4, Y_WEBSOCKET_2, open } from '../../clients/harness/kinds.js'
import { addParagraph, readNote } from '../../clients/harness/note.js'
import { Server } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'
import { Person, launch } from '../harness/person.js'

const KILLS = 3

/** A program that writes words into a paragraph of its own, and remembers how far it was told that they are kept. */
class App {
  written = ''
  promised = ''

  constructor (name, client) {
    this.name = name
    this.client = client
  }

  begin () {
    this.paragraph = addParagraph(this.client.doc, `${this.name}: `)
    return this.client.untilSaved()
  }

  write (word) {
    this.paragraph.insert(this.paragraph.length, word)
    this.written += word
  }

  note () {
    if (this.client.saved) this.promised = this.written
  }
}

test('two browsers, a y-websocket app and a Hocuspocus app write one note while the server is killed three times', { timeout: 120_000 }, async () => {
  const [server, browser] = await Promise.all([Server.start(), launch()])
  try {
    const name = 'one note for all'
    const path = `/n/${encodeURIComponent(name)}`
    const people = await Promise.all(['Ada', 'Ben'].map(person => Person.arrive(browser, server, { name: person, path })))
    const apps = [
      new App('Yaw', await open(Y_WEBSOCKET_2, server, encodeURIComponent(name)).untilSynced()),
      new App('Hop', await open(PROVIDER_3, server, name).untilSynced())
    ]
    const [yaw, hop] = apps
    yaw.client.introduce('A y-websocket app')
    hop.client.introduce('A Hocuspocus app')

    // Everybody sees everybody.
    await Promise.all(people.map(person => person.untilReady()))
    await Promise.all(people.map(async person => {
      await person.untilSees('A y-websocket app')
      await person.untilSees('A Hocuspocus app')
    }))
    await until('the apps see all others', () => apps.every(app => app.client.sees.length === 3))

    // Everybody has a paragraph of their own, so that words stay words.
    await people[0].goToEnd()
    await people[0].type('Ada: ')
    await people[1].untilReads('Ada:')
    await people[1].goToEnd()
    await people[1].press('Enter')
    await people[1].type('Ben: ')
    await people[0].untilReads('Ben:')
    for (const app of apps) await app.begin()
    await Promise.all(people.map(person => person.untilReads('Hop: ')))

    for (let round = 1; round <= KILLS; round += 1) {
      let writing = true
      const writers = [
        ...people.map(async person => { for (let word = 1; writing; word += 1) await person.type(`${person.name}${round}.${word} `) }),
        // The apps keep pace with the people: a word whenever somebody in a browser has typed something.
        ...apps.map(async app => {
          let seen = ''
          for (let word = 1; writing; word += 1) {
            app.write(`${app.name}${round}.${word} `)
            await until('somebody types', () => {
              app.note()
              const now = readNote(app.client.doc).split('\n').filter(line => /^(Ada|Ben)/.test(line)).join()
              const moved = now !== seen
              seen = now
              return moved || !writing
            })
          }
        })
      ]
      let killed
      let promises = []
      try {
        await until(() => `everybody was told that some words of this round are saved:\n${promises.join('\n---\n')}`, async () => {
          promises = [...await Promise.all(people.map(person => person.promised())), ...apps.map(app => app.promised)]
          return [...people, ...apps].every((writer, at) => promises[at].includes(`${writer.name}${round}.3 `))
        })
        killed = server.kill()
        people.forEach(person => person.line.cut())
        apps.forEach(app => app.client.wire.goOffline())
      } finally {
        writing = false
        await Promise.allSettled([killed, ...writers])
      }
      const promised = [...await Promise.all(people.map(person => person.promised())), ...apps.map(app => app.promised)].join(' ')

      // What the server kept is read before anybody can hand it in again.
      await server.run()
      const reader = await open(PROVIDER_4, server, name).untilSynced()
      const kept = new Set(readNote(reader.doc).split(/\s+/))
      const lost = [...new Set(promised.split(/\s+/))].filter(word => /^(Ada|Ben|Yaw|Hop)\d+\.\d+$/.test(word) && !kept.has(word))
      // The last word of a promise may have been cut short in the middle of typing it; then its beginning is what was promised.
      assert.deepEqual(lost.filter(word => ![...kept].some(other => other.startsWith(word))), [])
      if (round === 1) await people[0].photograph('server away')

      people.forEach(person => person.line.mend())
      apps.forEach(app => app.client.wire.goOnline())
      await Promise.all([...people.map(person => person.untilLabel('saved', 30_000)), ...apps.map(app => app.client.untilSaved())])
      let texts = []
      await until(() => `everybody reads the same:\n${texts.join('\n---\n')}`, async () => {
        texts = [...await Promise.all(people.map(person => person.text())), ...apps.map(app => readNote(app.client.doc)), readNote(reader.doc)]
        return texts.every(text => text.trimEnd() === texts[0].trimEnd())
      })
      // Nobody's words are lost or doubled, acknowledged or not.
      for (const app of apps) assert.ok(texts[0].includes(`${app.name}: ${app.written}`.trimEnd()), app.name)
      for (const person of people) {
        const words = texts[0].split(/\s+/).filter(word => word.startsWith(`${person.name}${round}.`))
        assert.deepEqual(words, words.map((_, at) => `${person.name}${round}.${at + 1}`))
      }
      reader.close()
    }
    await people[0].photograph('four kinds of clients')
    assert.deepEqual(people.flatMap(person => person.complaints), [])
    await Promise.all(people.map(person => person.close()))
  } finally {
    await browser.close()
    await server.close()
  }
})
