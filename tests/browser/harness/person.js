// How does a test see and do what a person in a browser sees and does?

import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { until } from '../../clients/harness/wait.js'
import { Line } from './line.js'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const ARTEFACTS = fileURLToPath(new URL('../artefacts/', import.meta.url))

/** The browser of the distribution, which must not talk to anybody but us. */
export function launch () {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync'
    ]
  })
}

/** One person: a browser profile of their own, on a network of their own. */
export class Person {
  /** What the browser complained of: errors, and what the page's security policy blocked. */
  complaints = []

  static async arrive (browser, server, { name, path = '/', ...context } = {}) {
    const person = new Person()
    person.name = name
    person.line = await Line.lay(server)
    person.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...context })
    if (name) {
      await person.context.addInitScript(name => { localStorage.setItem('commonplace.me', JSON.stringify({ name, ink: 1 })) }, name)
    }
    // Every change of the label, with the text that stood there at that moment.
    await person.context.addInitScript(watchLabel)
    await person.open(path)
    return person
  }

  async open (path) {
    this.page = await this.context.newPage()
    this.page.on('pageerror', error => this.complaints.push(String(error)))
    this.page.on('console', message => {
      const text = message.text()
      // A lost line is not a fault of the page; browsers report it all the same.
      if (message.type() === 'error' && !/ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET|WebSocket connection/.test(text)) this.complaints.push(text)
    })
    await this.page.goto(this.line.url + path)
  }

  get editor () { return this.page.locator('.note-text[role=textbox]') }

  async untilReady () {
    await this.editor.waitFor()
    await this.untilLabel('saved')
    return this
  }

  /** The label's words, as they stand. */
  label () {
    return this.page.getByTestId('save-label').innerText().then(text => text.replace(/\s+/g, ' ').trim())
  }

  state () {
    return this.page.getByTestId('save-label').getAttribute('data-state')
  }

  async untilLabel (state, deadline) {
    await until(`${this.name} is told: ${state}`, async () => await this.state() === state, deadline)
  }

  /** `[{ state, text }]` since the page was opened, oldest first. */
  labels () {
    return this.page.evaluate(() => window.labels)
  }

  /** The last text of which the label said that it is saved. */
  async promised () {
    return (await this.labels()).findLast(({ state }) => state === 'saved')?.text ?? ''
  }

  text () {
    return this.page.evaluate(() => window.noteText())
  }

  async untilReads (words) {
    await until(`${this.name} reads ${JSON.stringify(words)}`, async () => (await this.text()).includes(words))
  }

  /** Places the caret at the end of the note, the way a person does, and looks whether it is there. */
  async goToEnd () {
    await this.editor.click()
    // Just after it was given the focus the editor puts the caret where it had it; no person is quick enough to see that.
    await until(`${this.name}'s caret is at the end`, async () => {
      await this.press('Control+End')
      return await this.page.evaluate(() => window.caretIsAtEnd())
    })
  }

  /** Presses a key, and lets the browser tell the editor about it before anything else is pressed. */
  async press (key) {
    await this.page.keyboard.press(key)
    await this.page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  }

  type (words) {
    return this.page.keyboard.type(words)
  }

  /** The names in the list of people, oneself included. */
  async names () {
    const items = await this.page.getByRole('list', { name: 'Who is here' }).getByRole('listitem').allInnerTexts()
    return items.map(item => item.replace(/^\S{1,2}\n/, '').replace(/\s*\(you\).*$/s, '').trim()).sort()
  }

  async untilSees (name) {
    await until(`${this.name} sees ${name}`, async () => (await this.names()).some(item => item.includes(name)))
  }

  async photograph (name) {
    mkdirSync(ARTEFACTS, { recursive: true })
    await this.page.screenshot({ path: `${ARTEFACTS}${name}.png` })
  }

  async close () {
    await this.context.close()
    this.line.close()
  }
}

/** Runs in the page, before anything of the page's own. */
function watchLabel () {
  window.labels = []
  // Other people's carets stand in the text, with their names.
  window.noteText = () => {
    const text = document.querySelector('.note-text')?.cloneNode(true)
    text?.querySelectorAll('.caret').forEach(caret => caret.remove())
    return [...text?.children ?? []].map(block => block.textContent).join('\n')
  }
  window.caretIsAtEnd = () => {
    const selection = document.getSelection()
    const text = document.querySelector('.note-text')
    if (!selection.isCollapsed || !text.contains(selection.focusNode)) return false
    const rest = document.createRange()
    rest.selectNodeContents(text)
    rest.setStart(selection.focusNode, selection.focusOffset)
    const after = rest.cloneContents()
    after.querySelectorAll('.caret').forEach(caret => caret.remove())
    return after.textContent === ''
  }
  const look = () => {
    const state = document.querySelector('[data-testid=save-label]')?.getAttribute('data-state')
    if (state && window.labels.at(-1)?.state !== state) window.labels.push({ state, text: window.noteText() })
  }
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] })
}
