// What do people do to a document?

import * as Y from 'yjs'

const WORDS = ['peer', 'support ', 'naïve', '🙂', '👩‍👩‍👧', ' ', '\n', 'x', 'Llanfair', '共同', 'a longer run of words, pasted. ']
const ATTRIBUTES = [{ bold: true }, { bold: null }, { italic: true }, { link: 'https://example.org/' }]

/** One random edit, in one transaction, anywhere in the four kinds of types. */
export function edit (doc, random) {
  const edits = random.chance(0.2) ? 1 + random.below(5) : 1
  doc.transact(() => { for (let done = 0; done < edits; done += 1) random.pick(EDITS)(doc, random) })
}

// Editors never put the caret inside an emoji; Yjs itself would replace both halves, and not on every replica.
const insideCharacter = (units, at) => /[\udc00-\udfff]/.test(units[at] ?? '') && /[\ud800-\udbff]/.test(units[at - 1] ?? '')

/** A random place in a text, and one at most `longest` units after it. */
function somewhere (text, random, longest = 0) {
  const units = text.toDelta().map(({ insert }) => typeof insert === 'string' ? insert : '\ufffc').join('')
  const from = random.below(units.length + 1)
  const to = Math.min(units.length, from + random.below(longest + 1))
  const [start, end] = [from, to].map(at => insideCharacter(units, at) ? at + 1 : at)
  return { at: start, length: end - start }
}

const EDITS = [
  (doc, random) => {
    const text = doc.getText('text')
    text.insert(somewhere(text, random).at, random.pick(WORDS), random.chance(0.2) ? { bold: true } : undefined)
  },
  (doc, random) => {
    const text = doc.getText('text')
    text.insert(text.length, random.pick(WORDS))
  },
  (doc, random) => {
    const text = doc.getText('text')
    const { at, length } = somewhere(text, random, 8)
    text.delete(at, length)
  },
  (doc, random) => {
    const text = doc.getText('text')
    const { at, length } = somewhere(text, random, 8)
    if (length > 0) text.format(at, length, random.pick(ATTRIBUTES))
  },
  (doc, random) => doc.getText('text').insertEmbed(0, { image: random.below(9) }),
  (doc, random) => doc.getMap('map').set(`key ${random.below(6)}`, random.pick([1, 'one', null, true, { deep: [1, 2] }, new Uint8Array([1, 2])])),
  (doc, random) => doc.getMap('map').delete(`key ${random.below(6)}`),
  (doc, random) => {
    const nested = new Y.Map()
    nested.set('text', new Y.Text('nested'))
    doc.getMap('map').set(`key ${random.below(6)}`, nested)
  },
  (doc, random) => {
    const list = doc.getArray('list')
    list.insert(random.below(list.length + 1), [random.below(100), random.pick(WORDS)])
  },
  (doc, random) => {
    const list = doc.getArray('list')
    if (list.length > 0) list.delete(random.below(list.length), 1)
  },
  (doc, random) => {
    const note = doc.getXmlFragment('default')
    const paragraph = new Y.XmlElement(random.pick(['paragraph', 'heading']))
    paragraph.setAttribute('level', String(random.below(4)))
    paragraph.insert(0, [new Y.XmlText(random.pick(WORDS))])
    note.insert(random.below(note.length + 1), [paragraph])
  },
  (doc, random) => {
    const note = doc.getXmlFragment('default')
    const paragraph = note.length > 0 && note.get(random.below(note.length))
    const text = paragraph && paragraph.length > 0 && paragraph.get(0)
    if (text) text.insert(somewhere(text, random).at, random.pick(WORDS))
  },
  (doc, random) => {
    const note = doc.getXmlFragment('default')
    if (note.length > 0 && random.chance(0.3)) note.delete(random.below(note.length), 1)
  }
]
