// Honest histories made by Yjs itself. `node histories.mjs <first seed> <count>` writes one JSON line for each:
// the updates in the order a server receives them (hex), and what the document says in the end.
//
// Several replicas edit at the same time; each sends on one ordered connection: single updates, merged ones, whole states,
// differences to what the server has. What a replica has been sent by the server reaches it in order, but late.
import * as Y from 'yjs'

const hex = bytes => Buffer.from(bytes).toString('hex')

// mulberry32: the same seed is the same history everywhere.
const random = seed => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const WORDS = ['a', 'note', ' ', 'é', '女', '😀', 'x😀y', '\n', 'longer words ']

class History {
  constructor (seed) {
    const next = random(seed)
    this.below = n => Math.floor(next() * n)
    this.chance = p => next() < p
    this.pick = list => list[this.below(list.length)]
    this.server = new Y.Doc()
    this.sent = []
    this.replicas = []
    // Yjs tidies up formats after it has received some, and tells so: the relay is one more participant then.
    this.server.on('update', (update, origin) => {
      if (origin === 'relay') return
      this.sent.push(hex(update))
      for (const replica of this.replicas) replica.in.push(update)
    })
    this.nextClient = 0
    for (let i = 0, n = 2 + this.below(3); i < n; i++) this.join()
  }

  join () {
    const doc = new Y.Doc({ gc: !this.chance(0.2) })
    doc.clientID = this.chance(0.1) ? 2 ** 53 - 1 - this.nextClient : this.below(2 ** 31) * 8 + this.nextClient
    this.nextClient++
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(this.server))
    const replica = { doc, out: [], in: [] }
    doc.on('update', (update, origin) => { if (origin !== 'server') replica.out.push(update) })
    if (this.chance(0.4)) {
      const roots = [doc.getText('t'), doc.getMap('m'), doc.getArray('a'), doc.getXmlFragment('x')]
      replica.undo = new Y.UndoManager(roots, { captureTimeout: this.pick([0, 1000000]) })
    }
    this.replicas.push(replica)
  }

  // The server takes an update and relays it.
  deliver (replica, update) {
    this.sent.push(hex(update))
    for (const other of this.replicas) if (other !== replica) other.in.push(update)
    Y.applyUpdate(this.server, update, 'relay')
  }

  flush (replica) {
    if (replica.out.length === 0) return
    switch (this.below(8)) {
      case 0: {
        this.deliver(replica, Y.encodeStateAsUpdate(replica.doc))
        replica.out = []
        break
      }
      case 1: {
        this.deliver(replica, Y.encodeStateAsUpdate(replica.doc, Y.encodeStateVector(this.server)))
        replica.out = []
        break
      }
      case 2:
      case 3: {
        const n = 1 + this.below(replica.out.length)
        this.deliver(replica, Y.mergeUpdates(replica.out.splice(0, n)))
        break
      }
      default: {
        for (let n = 1 + this.below(replica.out.length); n > 0; n--) this.deliver(replica, replica.out.shift())
      }
    }
  }

  receive (replica, all) {
    for (let n = all ? replica.in.length : this.below(replica.in.length + 1); n > 0; n--) {
      Y.applyUpdate(replica.doc, replica.in.shift(), 'server')
    }
  }

  // A connection is lost and comes back: both sides tell what they have.
  reconnect (replica) {
    replica.in = []
    const missing = Y.encodeStateAsUpdate(this.server, Y.encodeStateVector(replica.doc))
    const own = Y.encodeStateAsUpdate(replica.doc, Y.encodeStateVector(this.server))
    replica.out = []
    this.deliver(replica, own)
    Y.applyUpdate(replica.doc, missing, 'server')
  }

  step () {
    const replica = this.pick(this.replicas)
    switch (this.below(20)) {
      case 0: case 1: case 2: case 3: this.flush(replica); break
      case 4: case 5: case 6: this.receive(replica, false); break
      case 7: if (this.chance(0.3)) this.reconnect(replica); break
      case 8: if (this.chance(0.2) && this.nextClient < 8) this.join(); break
      default:
        if (this.chance(0.2)) replica.doc.transact(() => { for (let i = 0; i < 4; i++) this.edit(replica) })
        else this.edit(replica)
    }
  }

  edit (replica) {
    const doc = replica.doc
    switch (this.below(14)) {
      case 0: case 1: case 2: return this.text(doc.getText('t'))
      case 3: return this.rich(doc.getText('e'))
      case 4: case 5: return this.map(doc.getMap('m'), 0)
      case 6: case 7: return this.array(doc.getArray('a'), 0)
      case 8: case 9: case 10: return this.xml(doc.getXmlFragment('x'), 0)
      case 11: {
        const b = doc.getMap('b')
        return b.set(this.pick(['x', 'y']), this.pick([new Uint8Array([1, 2, 3]), 12345678901n, undefined, { u: undefined, f: 1e300, n: -0 }]))
      }
      default:
        if (replica.undo) this.chance(0.6) ? replica.undo.undo() : replica.undo.redo()
    }
  }

  // A place between two characters, never inside one.
  between (string, index) {
    const low = string.charCodeAt(index)
    return low >= 0xdc00 && low <= 0xdfff ? index - 1 : index
  }

  range (text) {
    const string = plain(text)
    const from = this.between(string, this.below(text.length))
    const to = this.between(string, Math.min(text.length, from + 1 + this.below(5)))
    return [from, Math.max(0, to - from)]
  }

  text (text) {
    const choice = text.length > 120 ? 1 : this.below(4)
    if (text.length === 0 || choice === 0 || choice === 2) {
      const string = plain(text)
      const index = this.chance(0.4) ? text.length : this.between(string, this.below(text.length + 1))
      text.insert(index, this.pick(WORDS), this.chance(0.2) ? { bold: true } : undefined)
    } else if (choice === 1) {
      const [from, length] = this.range(text)
      if (length > 0) text.delete(from, length)
    } else {
      const [from, length] = this.range(text)
      if (length > 0) text.format(from, length, this.pick([{ bold: true }, { bold: null }, { link: { href: 'x', w: 33.3 } }, { em: {} }]))
    }
  }

  rich (text) {
    if (text.length < 3 || this.chance(0.6)) {
      if (this.chance(0.3)) text.insertEmbed(this.below(text.length + 1), { image: 'i', w: 1.1 })
      else text.insert(this.below(text.length + 1), this.pick(['q', 'words']))
    } else if (this.chance(0.5)) text.delete(this.below(text.length - 1), 1)
    else text.format(this.below(text.length - 1), 1, { b: this.chance(0.5) ? 1 : null })
  }

  value () {
    return this.pick([1, -1.5, 'text', true, null, [1, [2, 'x']], { k: 1, l: { m: [] } }, 2 ** 31, 1e21, ''])
  }

  made (depth) {
    const kind = this.below(depth > 4 ? 1 : 4)
    if (kind === 1) return new Y.Text('inner')
    if (kind === 2) { const m = new Y.Map(); m.set('k', 1); return m }
    if (kind === 3) { const a = new Y.Array(); a.insert(0, [1, 'two']); return a }
    return this.value()
  }

  inside (type, depth) {
    if (type instanceof Y.Text) this.text(type)
    else if (type instanceof Y.Map) this.map(type, depth + 1)
    else if (type instanceof Y.Array) this.array(type, depth + 1)
  }

  map (map, depth) {
    const key = this.pick(['k', 'l', 'key three'])
    const there = map.get(key)
    if (there instanceof Y.AbstractType && this.chance(0.5)) this.inside(there, depth)
    else if (this.chance(0.25)) map.delete(key)
    else map.set(key, this.made(depth))
  }

  array (array, depth) {
    const index = this.below(array.length + 1)
    const there = index < array.length ? array.get(index) : null
    if (there instanceof Y.AbstractType && this.chance(0.5)) this.inside(there, depth)
    else if (array.length > 12 || (array.length > 1 && this.chance(0.35))) {
      const from = this.below(array.length - 1)
      array.delete(from, 1 + this.below(Math.min(3, array.length - from)))
    } else array.insert(index, this.chance(0.5) ? [this.value(), this.value()] : [this.made(depth)])
  }

  paragraph () {
    const element = new Y.XmlElement(this.pick(['paragraph', 'heading', 'list_item']))
    if (this.chance(0.5)) element.setAttribute('level', this.pick(['1', '2']))
    element.insert(0, [new Y.XmlText(this.pick(WORDS))])
    return element
  }

  // As y-prosemirror does: blocks with one text each, attributes, marks, blocks replaced as a whole.
  xml (parent, depth) {
    const children = parent.toArray()
    const index = this.below(children.length + 1)
    const there = children[index]
    if (there instanceof Y.XmlText) {
      this.text(there)
    } else if (there instanceof Y.XmlElement && this.chance(0.6)) {
      if (this.chance(0.25)) there.setAttribute(this.pick(['level', 'align']), this.pick(['1', '2', 'left']))
      else if (this.chance(0.1)) there.removeAttribute('level')
      else this.xml(there, depth + 1)
    } else if (children.length > 0 && (children.length > 5 || this.chance(0.25))) {
      const from = this.below(children.length)
      parent.delete(from, 1)
      if (this.chance(0.4)) parent.insert(from, [this.paragraph()])
    } else if (depth === 0 || this.chance(0.3)) {
      const block = this.paragraph()
      if (this.chance(0.2) && depth < 4) { const list = new Y.XmlElement('list'); list.insert(0, [block]); parent.insert(index, [list]) } else parent.insert(index, [block])
    } else parent.insert(index, [new Y.XmlText('tail')])
  }

  finish () {
    while (this.replicas.some(({ out, in: waiting }) => out.length + waiting.length > 0)) {
      for (const replica of this.replicas) {
        while (replica.out.length > 0) this.flush(replica)
        this.receive(replica, true)
      }
    }
    for (const replica of this.replicas) {
      if (JSON.stringify(dump(replica.doc)) !== JSON.stringify(dump(this.server))) throw new Error('Yjs replicas differ')
    }
    return { updates: this.sent, state: hex(Y.encodeStateAsUpdate(this.server)), says: dump(this.server) }
  }
}

// Without marks and markup, one unit for each position.
const plain = text => text.toDelta().map(op => typeof op.insert === 'string' ? op.insert : '\ufffc').join('')

const node = type => {
  if (type instanceof Y.XmlText) return type.toDelta().map(op => typeof op.insert === 'string' ? op.insert : '').join('')
  const attributes = type instanceof Y.XmlElement ? type.getAttributes() : {}
  return {
    name: type instanceof Y.XmlElement ? type.nodeName : '',
    attributes: Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => a < b ? -1 : 1)),
    children: type.toArray().map(node)
  }
}

const sorted = value => {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])]))
}

const dump = doc => ({
  t: doc.getText('t').toString(),
  e: doc.getText('e').toString(),
  m: sorted(doc.getMap('m').toJSON()),
  a: sorted(doc.getArray('a').toJSON()),
  x: node(doc.getXmlFragment('x'))
})

const [first, count] = process.argv.slice(2).map(Number)
// UndoManager looks at the clock: let it stand still.
Date.now = () => 0
for (let seed = first; seed < first + count; seed++) {
  const history = new History(seed)
  for (let i = 0, n = 20 + history.below(150); i < n; i++) history.step()
  const line = JSON.stringify({ seed, ...history.finish() }) + '\n'
  if (!process.stdout.write(line)) await new Promise(resolve => process.stdout.once('drain', resolve))
}
