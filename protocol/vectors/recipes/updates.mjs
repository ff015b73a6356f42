// What does Yjs write for each kind of edit?
//
// Client ids are fixed, so the bytes are the same on every run. Each vector says what is inside twice: as blocks and deletions (for a
// parser) and as the document it makes (for a merge).

import * as Y from 'yjs'
import * as Y14 from '@y/y'
import { hex } from './hex.mjs'

const doc = (client, options = {}) => {
  const made = new Y.Doc(options)
  made.clientID = client
  return made
}

const copyTo = (from, to) => Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)))

/** Remembers how a recipe reads, for the vector file. */
const named = (make, kind, ...steps) => Object.assign(make, { recipe: [kind, ...steps.map(oneLine)].join(' · ') })

const oneLine = (step) => (typeof step === 'function' ? String(step) : JSON.stringify(step)).replace(/\s*\n\s*/g, ' ')

/** One document, edited; the vector is its whole state. */
const edited = (edit, options = {}) => named(() => {
  const made = doc(1, options)
  edit(made)
  return Y.encodeStateAsUpdate(made)
}, 'whole state', edit, options)

/** The bytes of the last transaction only, as a client sends them. */
const lastEdit = (...edits) => named(() => {
  const made = doc(1)
  let last
  made.on('update', (update) => { last = update })
  for (const edit of edits) made.transact(() => edit(made))
  return last
}, 'last transaction', ...edits)

/** Two documents that each edit without having seen the other, merged. */
const concurrent = (base, left, right) => named(() => {
  const [a, b] = [doc(1), doc(2)]
  base(a)
  copyTo(a, b)
  left(a)
  right(b)
  copyTo(b, a)
  return Y.encodeStateAsUpdate(a)
}, 'base, left, right', base, left, right)

const paragraph = (text, marks = {}) => {
  const element = new Y.XmlElement('paragraph')
  const inner = new Y.XmlText()
  inner.insert(0, text, marks)
  element.insert(0, [inner])
  return element
}

const recipes = {
  'an empty document': edited(() => {}),
  'text: one insertion': edited((d) => d.getText('t').insert(0, 'hello')),
  'text: typed letter by letter': edited((d) => [...'typed'].forEach((letter, at) => d.getText('t').insert(at, letter))),
  'text: typed backwards': edited((d) => [...'typed'].forEach((letter) => d.getText('t').insert(0, letter))),
  'text: one letter more': lastEdit((d) => d.getText('t').insert(0, 'hell'), (d) => d.getText('t').insert(4, 'o')),
  'text: in the middle': lastEdit((d) => d.getText('t').insert(0, 'heo'), (d) => d.getText('t').insert(2, 'll')),
  'text: emoji outside the basic plane': edited((d) => d.getText('t').insert(0, 'a👩‍🚀b')),
  'text: half an emoji deleted': edited((d) => { d.getText('t').insert(0, 'a👋b'); d.getText('t').delete(1, 1) }),
  'text: a letter put inside an emoji': edited((d) => { d.getText('t').insert(0, '👋'); d.getText('t').insert(1, 'x') }),
  'text: other scripts': edited((d) => d.getText('t').insert(0, 'Grüße, 千里の道, שלום')),
  'text: a NUL and control characters': edited((d) => d.getText('t').insert(0, 'a\0\u0007\u2028b')),
  'text: long': edited((d) => d.getText('t').insert(0, 'commonplace '.repeat(300))),
  'text: bold': edited((d) => d.getText('t').insert(0, 'bold', { bold: true })),
  'text: formatted afterwards': edited((d) => { d.getText('t').insert(0, 'some bold text'); d.getText('t').format(5, 4, { bold: true }) }),
  'text: format taken away': edited((d) => { d.getText('t').insert(0, 'bold', { bold: true }); d.getText('t').format(1, 2, { bold: null }) }),
  'text: a link with attributes': edited((d) => d.getText('t').insert(0, 'here', { link: { href: 'https://example.org/?a=1&b=2', rel: null } })),
  'text: an embed': edited((d) => d.getText('t').insertEmbed(0, { image: 'cat.png', width: 320 })),
  'text: a delta': edited((d) => d.getText('t').applyDelta([{ insert: 'a' }, { insert: 'b', attributes: { i: true } }, { insert: { hr: 1 } }])),
  'text: an attribute of the type': edited((d) => { d.getText('t').insert(0, 'x'); d.getText('t').setAttribute('dir', 'rtl') }),
  'deletion: a word': edited((d) => { d.getText('t').insert(0, 'one two three'); d.getText('t').delete(4, 4) }),
  'deletion: everything': edited((d) => { d.getText('t').insert(0, 'gone'); d.getText('t').delete(0, 4) }),
  'deletion: only the deletion': lastEdit((d) => d.getText('t').insert(0, 'one two'), (d) => d.getText('t').delete(0, 4)),
  'deletion: many ranges': edited((d) => { d.getText('t').insert(0, 'abcdefghij'); for (let at = 0; at < 5; at++) d.getText('t').delete(at, 1) }),
  'deletion: not collected': edited((d) => { d.getText('t').insert(0, 'kept'); d.getText('t').delete(0, 4) }, { gc: false }),
  'deletion: a nested type, collected': edited((d) => {
    const inner = new Y.Map()
    d.getArray('a').insert(0, [inner])
    inner.set('k', 'v')
    inner.set('l', new Y.Text('words'))
    d.getArray('a').delete(0, 1)
  }),
  'deletion: a nested type, not collected': edited((d) => {
    const inner = new Y.Map()
    d.getArray('a').insert(0, [inner])
    inner.set('k', 'v')
    d.getArray('a').delete(0, 1)
  }, { gc: false }),
  'map: every kind of value': edited((d) => {
    const map = d.getMap('m')
    map.set('undefined', undefined)
    map.set('null', null)
    map.set('true', true)
    map.set('int', -70)
    map.set('big', 2 ** 40)
    map.set('float32', 1.5)
    map.set('float64', 0.1)
    map.set('bigint', 12345678901234567n)
    map.set('text', 'Grüße')
    map.set('object', { a: { b: [1, 2, { c: null }] } })
    map.set('bytes', new Uint8Array([1, 2, 255]))
  }),
  'map: overwritten': edited((d) => { d.getMap('m').set('k', 1); d.getMap('m').set('k', 2) }),
  'map: key deleted': edited((d) => { d.getMap('m').set('k', 1); d.getMap('m').delete('k') }),
  'map: an odd key': edited((d) => { d.getMap('m').set('', 'empty'); d.getMap('m').set('__proto__ ', 1) }),
  'map: nested types': edited((d) => {
    d.getMap('m').set('map', new Y.Map([['a', 1]]))
    d.getMap('m').set('array', Y.Array.from([1, 2]))
    d.getMap('m').set('text', new Y.Text('inner'))
  }),
  'array: values in one go': edited((d) => d.getArray('a').insert(0, [1, 'two', null, { three: 3 }, [4], true])),
  'array: values one by one': edited((d) => { for (let i = 0; i < 5; i++) d.getArray('a').push([i]) }),
  'array: bytes between values': edited((d) => d.getArray('a').insert(0, [1, new Uint8Array([9, 9]), 2])),
  'array: twelve deep': edited((d) => {
    let array = d.getArray('a')
    for (let i = 0; i < 12; i++) {
      const inner = new Y.Array()
      array.push([inner])
      array = inner
    }
  }),
  'xml: a note': edited((d) => d.getXmlFragment('prosemirror').insert(0, [paragraph('First'), paragraph('Second', { strong: {} })])),
  'xml: attributes': edited((d) => {
    const heading = new Y.XmlElement('heading')
    d.getXmlFragment('prosemirror').insert(0, [heading])
    heading.setAttribute('level', 2)
    heading.setAttribute('id', 'top')
    heading.removeAttribute('id')
  }),
  'xml: a hook': edited((d) => d.getXmlFragment('x').insert(0, [new Y.XmlHook('widget')])),
  'xml: a paragraph removed': edited((d) => {
    d.getXmlFragment('prosemirror').insert(0, [paragraph('stays'), paragraph('goes')])
    d.getXmlFragment('prosemirror').delete(1, 1)
  }),
  'subdocument': edited((d) => d.getMap('m').set('sub', new Y.Doc({ guid: 'a-fixed-guid', meta: { title: 'inside' }, autoLoad: true }))),
  'the old JSON content': edited((d) => d.transact((transaction) => {
    const id = Y.createID(1, 0)
    new Y.Item(id, null, null, null, null, d.getArray('a'), null, new Y.ContentJSON([1, undefined, { a: 'b' }])).integrate(transaction, 0)
  })),
  'concurrent: text at one place': concurrent(
    (d) => d.getText('t').insert(0, 'ac'), (d) => d.getText('t').insert(1, 'left'), (d) => d.getText('t').insert(1, 'right')),
  'concurrent: one map key': concurrent((d) => d.getMap('m').set('k', 0), (d) => d.getMap('m').set('k', 1), (d) => d.getMap('m').set('k', 2)),
  'concurrent: insertion into a deleted range': concurrent(
    (d) => d.getText('t').insert(0, 'abcdef'), (d) => d.getText('t').delete(1, 4), (d) => d.getText('t').insert(3, 'X')),
  'undo and redo': edited((d) => {
    const manager = new Y.UndoManager(d.getText('t'), { captureTimeout: 0 })
    d.getText('t').insert(0, 'once ')
    d.getText('t').insert(5, 'twice')
    manager.undo()
    manager.undo()
    manager.redo()
  }),
  'the largest client id': () => {
    const made = doc(Number.MAX_SAFE_INTEGER)
    made.getText('t').insert(0, 'x')
    return Y.encodeStateAsUpdate(made)
  },
  'forty clients': () => {
    const all = doc(1)
    for (let client = 2; client <= 41; client++) {
      const one = doc(client * 1000003)
      copyTo(all, one)
      one.getText('t').insert(one.getText('t').length, `${client} `)
      copyTo(one, all)
    }
    return Y.encodeStateAsUpdate(all)
  },
  'a difference to a state vector inside a block': () => {
    const made = doc(1)
    made.getText('t').insert(0, 'commonplace')
    return Y.encodeStateAsUpdate(made, Y.encodeStateVector(new Map([[1, 6]])))
  },
  'merged with a gap (a skip block)': () => {
    const made = doc(1)
    const updates = []
    made.on('update', (update) => updates.push(update))
    for (const word of ['one ', 'two ', 'three ']) made.getText('t').insert(made.getText('t').length, word)
    return Y.mergeUpdates([updates[0], updates[2]])
  },
  'merged without a gap': () => {
    const made = doc(1)
    const updates = []
    made.on('update', (update) => updates.push(update))
    for (const word of ['one ', 'two ', 'three ']) made.getText('t').insert(made.getText('t').length, word)
    return Y.mergeUpdates(updates)
  }
}

const content = (struct) => (struct instanceof Y.Item ? struct.content.constructor.name : struct.constructor.name)

/** What the update holds, block by block. */
export const inside = (update) => {
  const { structs, ds } = Y.decodeUpdate(update)
  return {
    blocks: structs.map((struct) => [struct.id.client, struct.id.clock, struct.length, content(struct)]),
    deletions: [...ds.clients].flatMap(([client, ranges]) => ranges.map((range) => [client, range.clock, range.len]))
  }
}

/** The document the update makes, in words. A gap keeps what is behind it out. */
export const documentOf = (update) => {
  const made = new Y.Doc()
  Y.applyUpdate(made, update)
  return { text: made.getText('t').toString(), stateVector: hex(Y.encodeStateVector(made)) }
}

export const updateVectors = () => vectorsOf(recipes)

const vectorsOf = (recipes) =>
  Object.entries(recipes).map(([name, make]) => {
    const update = make()
    return { name, recipe: make.recipe ?? oneLine(make), hex: hex(update), ...inside(update), ...documentOf(update) }
  })

const edited14 = (edit) => Object.assign(() => {
  const made = new Y14.Doc()
  made.clientID = 1
  edit(made.get('t'))
  return Y14.encodeStateAsUpdate(made)
}, { recipe: `whole state · ${oneLine(edit)}` })

const recipes14 = {
  'Yjs 14: text': edited14((t) => t.insert(0, 'hello')),
  'Yjs 14: bold': edited14((t) => { t.insert(0, 'hello'); t.format(1, 2, { bold: true }) }),
  'Yjs 14: an attribute': edited14((t) => t.setAttr('k', { deep: [1, null, 'x'] })),
  'Yjs 14: values': edited14((t) => t.insert(0, [1, 'two', { three: 3 }])),
  'Yjs 14: a nested type with a name': edited14((t) => {
    const inner = new Y14.Type('paragraph')
    t.insert(0, [inner])
    inner.insert(0, 'inside')
  }),
  'Yjs 14: a nested type without a name': edited14((t) => t.insert(0, [new Y14.Type()])),
  'Yjs 14: deleted': edited14((t) => { t.insert(0, 'hello'); t.delete(1, 3) })
}

/** What the coming Yjs writes, as the present one reads it. */
export const yjs14Vectors = () => vectorsOf(recipes14)

export const stateVectors = () =>
  [
    ['nothing', []],
    ['one client', [[1, 5]]],
    ['two clients', [[300, 1], [2, 70000]]],
    ['the largest client id', [[Number.MAX_SAFE_INTEGER, 2 ** 31 - 1]]]
  ].map(([name, clocks]) => ({
    name: `state vector: ${name}`,
    recipe: `Y.encodeStateVector(new Map(${JSON.stringify(clocks)}))`,
    hex: hex(Y.encodeStateVector(new Map(clocks))),
    clocks: [...Y.decodeStateVector(Y.encodeStateVector(new Map(clocks)))]
  }))
