// Can somebody with a program of their own harm the people in the browsers?

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PROVIDER_4, open } from '../../clients/harness/kinds.js'
import { addNode, addParagraph } from '../../clients/harness/note.js'
import { Server } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'
import { Person, launch } from '../harness/person.js'

const SCRIPT = 'window.harmed = true'

const NAMES = [
  `<img src=x onerror="${SCRIPT}">`,
  `"><script>${SCRIPT}</script>`,
  `'; ${SCRIPT}; '`,
  `javascript:${SCRIPT}`,
  '</span></li></ul><h1>Taken over</h1>',
  '\u202Egnp.exe\u2066 Ada',
  'A\u0000B\nC',
  'x'.repeat(2000),
  '{{constructor.constructor("' + SCRIPT + '")()}}'
]

const COLOURS = [
  'red; background: url(https://evil.example/c)',
  '#fff;}body{display:none}',
  'url(javascript:alert(1))',
  'expression(alert(1))',
  '"><b>',
  { toString: 'x' },
  42
]

const ADDRESSES = [
  `javascript:${SCRIPT}`,
  `JaVaScRiPt:${SCRIPT}`,
  `  javascript:${SCRIPT}`,
  `java\nscript:${SCRIPT}`,
  `\u0001javascript:${SCRIPT}`,
  `data:text/html,<script>${SCRIPT}</script>`,
  `vbscript:${SCRIPT}`,
  'file:///etc/passwd',
  `view-source:javascript:${SCRIPT}`,
  `https://example.org" onmouseover="${SCRIPT}`,
  { toString: () => `javascript:${SCRIPT}` },
  null
]

describe('a hostile program', () => {
  let server
  let browser
  before(async () => { [server, browser] = await Promise.all([Server.start(), launch()]) })
  after(async () => { await browser?.close(); await server?.close() })

  /** Ada's page, which notes every request and every new window. */
  async function arrive (path) {
    const ada = await Person.arrive(browser, server, { name: 'Ada', path: '/' })
    ada.requests = []
    ada.context.on('request', request => ada.requests.push(request.url()))
    ada.windows = 0
    ada.context.on('page', () => { ada.windows += 1 })
    await ada.page.goto(ada.line.url + path)
    await ada.untilReady()
    return ada
  }

  async function assertUnharmed (ada) {
    assert.equal(await ada.page.evaluate(() => window.harmed), undefined)
    const elsewhere = ada.requests.filter(url => !url.startsWith(ada.line.url) && !url.startsWith('data:') && !url.startsWith('blob:'))
    assert.deepEqual(elsewhere, [])
    assert.equal(ada.windows, 0)
    const bad = await ada.page.evaluate(() => [...document.querySelectorAll('#main *')].flatMap(element => [
      ...(/^(script|iframe|object|embed|form|link|style|base|meta)$/i.test(element.tagName) && !element.closest('dialog') ? [element.outerHTML] : []),
      ...[...element.attributes].filter(({ name, value }) => /^on/i.test(name) || (/^(href|src|action|formaction|xlink:href)$/i.test(name) && !/^(https?:|mailto:|\/|#)/.test(value)))
        .map(({ name, value }) => `${element.tagName} ${name}=${value}`)
    ]))
    assert.deepEqual(bad, [])
    // The security policy had nothing to stop: nothing was tried.
    assert.deepEqual(ada.complaints, [])
  }

  test('with markup for a name and style sheets for a colour only has a strange name', async () => {
    const ada = await arrive('/n/hostile-names')
    const crowd = []
    for (const name of NAMES) {
      const eve = await open(PROVIDER_4, server, 'hostile-names').untilSynced()
      eve.awareness.setLocalState({ user: { name, color: COLOURS[crowd.length % COLOURS.length], avatar: 'https://evil.example/a.png' }, cursor: { anchor: { bad: 1 }, head: '<b>' } })
      crowd.push(eve)
    }
    // Fields that are no names at all.
    for (const user of [null, 42, [], 'Eve', { name: { a: 1 } }, { name: ['x'] }, { name: '' }, { name: '\u200b\u202e' }]) {
      const eve = await open(PROVIDER_4, server, 'hostile-names').untilSynced()
      eve.awareness.setLocalState({ user, cursor: 7 })
      crowd.push(eve)
    }
    // Somebody honest comes last; whoever came before has been shown by then.
    const ben = await open(PROVIDER_4, server, 'hostile-names').untilSynced()
    ben.introduce('Ben, who is honest')
    await until('the crowd is counted', async () => /more/.test((await ada.page.getByRole('list', { name: 'Who is here' }).innerText())))
    // One at a time now, so that each name is really on the page.
    for (const eve of crowd.splice(NAMES.length)) eve.close()
    for (const [at, eve] of crowd.entries()) {
      if (at >= 6) eve.awareness.setLocalStateField('cursor', null)
    }
    await until('the names are shown as they are', async () => (await ada.names()).some(name => name.includes('<img src=x')))
    const shown = await ada.names()
    assert.ok(shown.every(name => [...name].length <= 60), 'names are cut')
    assert.ok(!shown.some(name => /[\u202a-\u202e\u2066-\u2069\u0000]/.test(name)), 'nothing turns the text around')
    await ada.photograph('hostile names')
    await assertUnharmed(ada)
    // And she can still write.
    await ada.goToEnd()
    await ada.type('still here')
    await ada.untilLabel('saved')
    for (const eve of [...crowd, ben]) eve.close()
    await ada.close()
  })

  test('with scripts for addresses makes no link that leads there', async () => {
    const ada = await arrive('/n/hostile-links')
    const eve = await open(PROVIDER_4, server, 'hostile-links').untilSynced()
    for (const [at, href] of ADDRESSES.entries()) addParagraph(eve.doc, `lure ${at}.`, { link: { href, target: '_self', onclick: SCRIPT } })
    addParagraph(eve.doc, 'the end of the lures')
    await eve.untilSaved()
    await until('the lures are on the page', async () => (await ada.page.locator('main').innerText()).includes('the end of the lures'))
    await assertUnharmed(ada)
    for (let at = 0; at < ADDRESSES.length; at += 1) {
      const lure = ada.page.getByText(`lure ${at}.`)
      const href = await lure.evaluate(element => element.closest('a')?.href ?? null)
      if (href !== null) assert.match(href, /^(https?|mailto):/)
      else {
        await lure.click()
        await lure.click({ modifiers: ['Control'] })
      }
    }
    assert.equal(new URL(ada.page.url()).pathname, '/n/hostile-links')
    await ada.photograph('hostile links')
    await assertUnharmed(ada)
    eve.close()
    await ada.close()
  })

  test('with elements that a note cannot hold runs nothing, loads nothing and deletes nothing', async () => {
    const nodes = [
      ['script', { src: 'https://evil.example/s.js' }, SCRIPT],
      ['iframe', { src: `javascript:${SCRIPT}`, srcdoc: `<script>${SCRIPT}</script>` }, 'framed'],
      ['img', { src: 'x', onerror: SCRIPT }, ''],
      ['image', { src: 'https://evil.example/i.png', onload: SCRIPT }, ''],
      ['svg', { onload: SCRIPT }, '<script>'],
      ['style', {}, 'body { display: none }'],
      ['paragraph', { style: 'position: fixed; inset: 0', onclick: SCRIPT, class: 'notice' }, 'styled'],
      ['heading', { level: '1 onclick=x', id: '"><script>' }, 'heading'],
      ['codeBlock', { language: `"><img src=x onerror="${SCRIPT}">` }, 'code'],
      ['__proto__', { constructor: 'x' }, 'proto'],
      ['a b', { '<': '>' }, 'odd']
    ]
    for (const [at, [name, attributes, words]] of nodes.entries()) {
      const note = `hostile-element-${at}`
      const eve = await open(PROVIDER_4, server, note).untilSynced()
      addParagraph(eve.doc, 'before')
      addNode(eve.doc, name, attributes, words)
      addParagraph(eve.doc, '<b onmouseover="window.harmed = true">after</b>')
      await eve.untilSaved()
      const before = eve.doc.getXmlFragment('default').toString()
      const ada = await Person.arrive(browser, server, { name: 'Ada', path: '/' })
      ada.requests = []
      ada.windows = 0
      ada.context.on('request', request => ada.requests.push(request.url()))
      ada.context.on('page', () => { ada.windows += 1 })
      await ada.page.goto(`${ada.line.url}/n/${note}`)
      await until(`${name}: the note is shown`, async () => /after<\/b>/.test(await ada.page.locator('main').innerText()))
      await ada.untilLabel('saved')
      await assertUnharmed(ada)
      assert.equal(eve.doc.getXmlFragment('default').toString(), before, `${name}: opening the note changes nothing`)
      eve.close()
      await ada.close()
    }
  })
})
