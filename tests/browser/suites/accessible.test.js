// Can everybody use it: with the keyboard alone, zoomed in, on a phone, in the dark?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { Y_WEBSOCKET_3, open } from '../../clients/harness/kinds.js'
import { addParagraph } from '../../clients/harness/note.js'
import { Server } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'
import { Person, launch } from '../harness/person.js'

// A page zoomed to 200 % in a window of 1280 px has 640 px to lay itself out in, drawn twice as large.
const SCREENS = {
  'a wide window': { viewport: { width: 1280, height: 800 } },
  'a phone': { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
  '200 % zoom': { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 }
}

/** No rule of axe's is broken, and nothing has to be scrolled sideways. */
async function assertAccessible (person, where) {
  const { violations } = await new AxeBuilder({ page: person.page }).analyze()
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`), [], where)
  const [content, window] = await person.page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  assert.ok(content <= window, `${where}: ${content} px of content in ${window} px`)
}

describe('everybody', { concurrency: 2 }, () => {
  let server
  let browser
  before(async () => {
    [server, browser] = await Promise.all([Server.start(), launch()])
    const app = await open(Y_WEBSOCKET_3, server, 'a-rich-note').untilSynced()
    app.introduce('Somebody else')
    addParagraph(app.doc, 'A paragraph by an app, with a link', { link: { href: 'https://example.org/' } })
    addParagraph(app.doc, `A long word: ${'Llanfairpwllgwyngyll'.repeat(8)}`)
    await app.untilSaved()
  })
  after(async () => { await browser?.close(); await server?.close() })

  for (const [screen, context] of Object.entries(SCREENS)) {
    for (const colorScheme of ['light', 'dark']) {
      test(`on ${screen}, ${colorScheme}`, async () => {
        const ada = await Person.arrive(browser, server, { name: 'Ada', colorScheme, ...context })
        await ada.page.getByRole('heading', { name: 'Recent notes' }).waitFor()
        await ada.page.getByRole('link', { name: /a-rich-note/ }).waitFor()
        await assertAccessible(ada, 'the front page')
        await ada.photograph(`home ${screen} ${colorScheme}`)

        await ada.page.goto(`${ada.line.url}/n/a-rich-note`)
        await ada.untilReady()
        await ada.untilSees('Somebody else')
        await ada.untilReads('A long word')
        await assertAccessible(ada, 'a note')
        await ada.photograph(`note ${screen} ${colorScheme}`)

        await ada.page.getByRole('button', { name: /Change your name/ }).click()
        await ada.page.getByRole('dialog').waitFor()
        await assertAccessible(ada, 'the dialog for the name')
        await ada.page.keyboard.press('Escape')

        ada.line.cut()
        await ada.untilLabel('on-device')
        await assertAccessible(ada, 'a note without a connection')
        await ada.photograph(`away ${screen} ${colorScheme}`)
        ada.line.mend()
        await ada.untilLabel('saved')
        assert.deepEqual(ada.complaints, [])
        await ada.close()
      })
    }
  }

  test('with the keyboard alone, from the front page to a formatted, linked and signed note', async () => {
    const ada = await Person.arrive(browser, server, { name: 'Ada' })
    const { page } = ada
    const { keyboard } = page
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent?.trim() ?? '')
    const tabTo = async (what, isThere) => {
      for (let stop = 0; stop < 30; stop += 1) {
        if (await isThere()) return
        await ada.press('Tab')
      }
      assert.fail(`Tab never reaches ${what}; it stands at: ${await focused()}`)
    }
    const isFocused = locator => locator.evaluate(element => element === document.activeElement).catch(() => false)

    await page.getByRole('heading', { name: 'Recent notes' }).waitFor()
    await ada.press('Tab')
    assert.match(await focused(), /Skip to the main part/)
    await tabTo('the name', () => isFocused(page.getByLabel('Name of the note')))
    await keyboard.type('By keyboard')
    await keyboard.press('Enter')
    await page.waitForURL('**/n/*')
    await ada.untilReady()

    await tabTo('the text', () => isFocused(ada.editor))
    await keyboard.type('plain ')
    await ada.press('Control+b')
    await keyboard.type('bold')
    await ada.press('Control+b')
    await keyboard.type(' ')
    await ada.press('Enter')
    await ada.press('Control+Shift+8')
    await keyboard.type('an item')
    await ada.press('Enter')
    await ada.press('Enter')
    // The toolbar is one stop, with arrow keys within, and Escape leads back.
    await keyboard.type('quoted')
    await ada.press('Alt+F10')
    assert.match(await focused(), /Text style/)
    await ada.press('ArrowRight')
    assert.equal(await focused(), 'Bold')
    await ada.press('ArrowLeft')
    await ada.press('Enter')
    await page.getByRole('menu').waitFor()
    await assertAccessible(ada, 'the menu of styles')
    await ada.press('End')
    await ada.press('Escape')
    await ada.press('Escape')
    assert.ok(await isFocused(ada.editor))
    // A link.
    await ada.press('Control+End')
    await keyboard.type(' ')
    await ada.press('Control+k')
    await page.getByRole('dialog', { name: 'Link' }).waitFor()
    await assertAccessible(ada, 'the dialog for a link')
    await page.getByLabel('Address').waitFor()
    await tabTo('the address', () => isFocused(page.getByLabel('Address')))
    await keyboard.type('example.org')
    await tabTo('the words', () => isFocused(page.getByLabel('Words to show')))
    await keyboard.type('an example')
    await keyboard.press('Enter')
    await until('the link is there', () => page.locator('.note-text a[href^="https://example.org"]').count().then(count => count === 1))
    // Out of the text, and on.
    await ada.press('Escape')
    await ada.press('Tab')
    assert.ok(!await isFocused(ada.editor), 'Tab leaves the text')
    // One's name.
    await page.locator('body').press('Shift+Tab')
    const change = page.getByRole('button', { name: /Change your name/ })
    for (let stop = 0; stop < 10 && !await isFocused(change); stop += 1) await ada.press('Shift+Tab')
    assert.ok(await isFocused(change), `Shift+Tab never reaches one's name; it stands at: ${await focused()}`)
    await keyboard.press('Enter')
    await tabTo('the field', () => isFocused(page.getByLabel('Your name')))
    await ada.press('Control+a')
    await keyboard.type('Ada by keyboard')
    await keyboard.press('Enter')
    await ada.untilSees('Ada by keyboard')
    await ada.untilLabel('saved')
    assert.equal(await page.locator('.note-text strong').innerText(), 'bold')
    assert.equal(await page.locator('.note-text ul li').first().innerText(), 'an item')
    await ada.photograph('by keyboard')
    assert.deepEqual(ada.complaints, [])
    await ada.close()
  })
})
