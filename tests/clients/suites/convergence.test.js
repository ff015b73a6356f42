// Does everybody end with the same document, and with every promised word, whatever happens in between?
//
// Each seed is one story: clients of all kinds edit one document, lose their lines, work offline, leave, come back; the server is
// stopped, and killed. `SEED=7 npm test` tells one story again; `SEEDS=100` tells more of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { contentOf, converge } from '../harness/content.js'
import { deletionsIn, idsOf } from '../harness/echo.js'
import { edit } from '../harness/edits.js'
import { KINDS, PROVIDER_4, open } from '../harness/kinds.js'
import { randomFrom } from '../harness/random.js'
import { Server } from '../harness/server.js'
import { STEP_1, SYNC } from '../harness/wire.js'

const STEPS = 250
const PEOPLE = 6
const RESTARTS = 4
const FIRST_SEED = 1
const SEEDS = Number(process.env.SEEDS ?? 6)
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: SEEDS }, (_, at) => FIRST_SEED + at)

for (const seed of seeds) {
  test(`everybody agrees and nothing promised is lost (SEED=${seed})`, { timeout: 120_000 }, async () => {
    const story = new Story(seed)
    try {
      await story.begin()
      for (let step = 0; step < STEPS; step += 1) await story.step(step)
      await story.end()
    } finally {
      await story.server?.close()
    }
  })
}

class Story {
  /** All that anybody was told is kept: own edits that were acknowledged, and everything the server has shown to anybody. */
  promised = new Promises()
  people = []

  constructor (seed) {
    // No other story has a document of this name: a client that strays could not mix them.
    this.name = `story ${seed} of ${process.pid}`
    this.random = randomFrom(seed)
    this.restarts = new Set(Array.from({ length: RESTARTS }, () => 10 + this.random.below(STEPS - 20)))
  }

  async begin () {
    this.server = await Server.start()
    for (let at = 0; at < PEOPLE; at += 1) this.join()
    await Promise.all(this.people.map(person => person.untilSynced()))
  }

  join () {
    const person = open(this.random.pick(KINDS), this.server, this.name)
    // Seen implies saved: nobody is shown what could still be lost.
    person.wire.listeners.push(({ type, sub, payload }) => {
      if (type === SYNC && sub !== STEP_1) this.promised.addUpdate(payload)
    })
    this.people.push(person)
  }

  /** Whoever is told "saved" now may rely on it. */
  notePromises () {
    for (const person of this.people) {
      if (person.saved) this.promised.addDocument(person.doc)
    }
  }

  async step (step) {
    const { random } = this
    if (this.restarts.has(step)) return await this.restart()
    const person = random.pick(this.people)
    const dice = random.next()
    if (dice < 0.80) edit(person.doc, random)
    else if (dice < 0.84) person.wire.cut()
    else if (dice < 0.89) person.wire.goOffline()
    else if (dice < 0.95) person.wire.goOnline()
    else if (dice < 0.97) {
      // Somebody leaves for good, saved or not, and somebody new comes.
      this.notePromises()
      person.close()
      this.people.splice(this.people.indexOf(person), 1)
      this.join()
    } else if (person.wire.online) {
      await person.untilSaved()
    }
    // Let the network move: a little, so that edits overlap.
    for (let turns = random.below(4); turns > 0; turns -= 1) await new Promise(setImmediate)
    this.notePromises()
  }

  /** The server goes; what it had promised is read by a newcomer before anybody who knows it can hand it in again. */
  async restart () {
    const online = this.people.filter(person => person.wire.online)
    const gone = this.random.chance(0.7) ? this.server.kill() : this.server.stop()
    // A stopping server may still acknowledge; a killed one cannot.
    await gone
    this.notePromises()
    this.people.forEach(person => person.wire.goOffline())
    for (const person of this.people) edit(person.doc, this.random)
    await this.server.run()
    await this.assertPromisesKept()
    online.forEach(person => person.wire.goOnline())
  }

  async assertPromisesKept () {
    const newcomer = await open(PROVIDER_4, this.server, this.name).untilSynced()
    const missing = this.promised.missingIn(newcomer.doc)
    newcomer.close()
    assert.deepEqual(missing, { insertions: [], deletions: [] }, 'promised and not kept')
  }

  async end () {
    this.people.forEach(person => person.wire.goOnline())
    await Promise.all(this.people.map(person => person.untilSaved()))
    const newcomer = await open(PROVIDER_4, this.server, this.name).untilSynced()
    await converge([...this.people, newcomer], 30_000)
    this.notePromises()
    await this.assertPromisesKept()
    // And the file says the same after one more crash, with nobody there to remember.
    const before = contentOf(newcomer.doc)
    this.server.clients.forEach(client => client.close())
    await this.server.kill()
    await this.server.run()
    const last = await open(PROVIDER_4, this.server, this.name).untilSynced()
    assert.deepEqual(contentOf(last.doc), before)
    this.server.assertAlive()
  }
}

/** Insertions (a clock for each client) and deletions. Not a document: a document tidies its formatting by itself, and that is an edit. */
class Promises {
  #clocks = new Map()
  #deletions = new Set()

  #reach (client, clock) {
    if (clock > (this.#clocks.get(client) ?? 0)) this.#clocks.set(client, clock)
  }

  addUpdate (update) {
    for (const [client, clock] of Y.parseUpdateMeta(update).to) this.#reach(client, clock)
    for (const id of deletionsIn(update)) this.#deletions.add(id)
  }

  addDocument (doc) {
    const { sv, ds } = Y.snapshot(doc)
    for (const [client, clock] of sv) this.#reach(client, clock)
    for (const id of deletionsOf(ds)) this.#deletions.add(id)
  }

  missingIn (doc) {
    const { sv, ds } = Y.snapshot(doc)
    const deleted = new Set(deletionsOf(ds))
    return {
      insertions: [...this.#clocks].filter(([client, clock]) => clock > (sv.get(client) ?? 0)),
      deletions: [...this.#deletions].filter(id => !deleted.has(id))
    }
  }
}

function * deletionsOf (ds) {
  for (const [client, ranges] of ds.clients) {
    for (const { clock, len } of ranges) yield * idsOf(client, clock, len)
  }
}
