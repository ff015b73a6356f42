// Do two people write together in their browsers, and see who is there?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PROVIDER_4, open } from '../../clients/harness/kinds.js'
import { Server } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'
import { readNote } from '../../clients/harness/note.js'
import { Person, launch } from '../harness/person.js'

describe('two people', () => {
  let server
  let browser
  before(async () => { [server, browser] = await Promise.all([Server.start(), launch()]) })
  after(async () => { await browser?.close(); await server?.close() })

  test('start a note on the front page, find each other in it and write together', async () => {
    const ada = await Person.arrive(browser, server, { name: 'Ada Lovelace' })
    await ada.photograph('home')
    await ada.page.getByLabel('Name of the note').fill('What we heard')
    await ada.page.keyboard.press('Enter')
    await ada.page.waitForURL('**/n/*')
    await ada.untilReady()
    const path = new URL(ada.page.url()).pathname
    const ben = await Person.arrive(browser, server, { name: 'Ben Okri', path })
    await ben.untilReady()
    await Promise.all([ada.untilSees('Ben Okri'), ben.untilSees('Ada Lovelace')])

    await ada.goToEnd()
    await ada.type('Good morning from Ada.')
    await ben.untilReads('Good morning from Ada.')
    await ben.goToEnd()
    await ben.press('Enter')
    // Both at once, each in a paragraph of their own.
    await Promise.all([ada.type(' And more from her.'), ben.type('And Ben answers.')])
    let texts = []
    await until(() => `both read the same: ${texts}`, async () => {
      const [a, b] = texts = await Promise.all([ada.text(), ben.text()])
      return a === b && a === 'Good morning from Ada. And more from her.\nAnd Ben answers.'
    })
    await Promise.all([ada.untilLabel('saved'), ben.untilLabel('saved')])

    // Each sees the other's caret, with the name the other chose.
    await ada.page.locator('.caret-name', { hasText: 'Ben Okri' }).waitFor({ state: 'attached' })
    await ben.page.locator('.caret-name', { hasText: 'Ada Lovelace' }).waitFor({ state: 'attached' })
    await ada.photograph('two people')

    // What they see is what is kept.
    const reader = await open(PROVIDER_4, server, decodeURIComponent(path.slice('/n/'.length))).untilSynced()
    assert.equal(readNote(reader.doc), await ada.text())

    // A new name is shown to the other; somebody who leaves is gone.
    await ben.page.getByRole('button', { name: /Change your name/ }).click()
    await ben.page.getByLabel('Your name').fill('Benjamin')
    await ben.page.getByRole('button', { name: 'Use this' }).click()
    await ada.untilSees('Benjamin')
    await ben.close()
    await until('Ada is alone', async () => (await ada.names()).length === 1)
    assert.deepEqual(ada.complaints, [])
    assert.deepEqual(ben.complaints, [])

    // And the front page lists the note.
    await ada.page.goto(ada.line.url)
    await ada.page.getByRole('link', { name: /what-we-heard/i }).waitFor()
    await ada.close()
  })

  test('a reload shows the note at once, and the caret of the other stays where it was', async () => {
    const ada = await Person.arrive(browser, server, { name: 'Ada', path: '/n/reload' })
    await ada.untilReady()
    await ada.goToEnd()
    await ada.type('one two three')
    await ada.untilLabel('saved')
    const ben = await Person.arrive(browser, server, { name: 'Ben', path: '/n/reload' })
    await ben.untilReady()
    assert.equal(await ben.text(), 'one two three')
    await ben.page.reload()
    await ben.untilReady()
    assert.equal(await ben.text(), 'one two three')
    await ada.untilSees('Ben')
    await Promise.all([ada.close(), ben.close()])
  })
})
