// Writes protocol/vectors/updates.json: updates made by Yjs 13.6.33. `node vectors.mjs > ../../protocol/vectors/updates.json`
import * as Y from 'yjs'

const hex = bytes => Buffer.from(bytes).toString('hex')
const vectors = []
let clientID = 0
const doc = (options = {}) => { const d = new Y.Doc(options); d.clientID = ++clientID; return d }

const history = (name, recipe, options) => {
  const d = doc(options)
  const updates = []
  d.on('update', u => updates.push(hex(u)))
  recipe(d)
  vectors.push({ name, updates, state: hex(Y.encodeStateAsUpdate(d)), vector: hex(Y.encodeStateVector(d)), merged: hex(Y.mergeUpdates(updates.map(u => Buffer.from(u, 'hex')))) })
  return d
}

history('typing', d => { const t = d.getText('t'); for (const c of 'hello') t.insert(t.length, c); t.insert(2, '😀é'); t.delete(1, 1) })
history('formats', d => { const t = d.getText('t'); t.insert(0, 'rich text'); t.format(0, 4, { bold: true }); t.format(2, 6, { link: { href: 'https://example.org', n: 1.5 } }); t.insertEmbed(3, { image: 'x' }); t.format(0, 2, { bold: null }) })
history('maps', d => { const m = d.getMap('m'); m.set('a', 1); m.set('a', 'two'); m.set('b', [1, null, { x: undefined, y: -0.5, z: 12345678901n }]); m.set('c', new Uint8Array([1, 2, 3])); m.delete('b'); const n = new Y.Map(); m.set('n', n); n.set('k', true); m.set('n', 3) })
history('arrays', d => { const a = d.getArray('a'); a.insert(0, [1, 2, 3, 4.25, 'five']); a.delete(1, 2); a.insert(1, [new Y.Text('inner'), new Y.Array()]); a.delete(1, 1) })
history('xml', d => { const f = d.getXmlFragment('prosemirror'); const p = new Y.XmlElement('paragraph'); f.insert(0, [p]); p.setAttribute('align', 'left'); const t = new Y.XmlText(); p.insert(0, [t]); t.insert(0, 'body'); t.format(0, 2, { em: {} }); p.setAttribute('align', 'right'); f.delete(0, 1) })
history('kept', d => { const t = d.getText('t'); t.insert(0, 'kept by a document without collection'); t.delete(4, 10) }, { gc: false })

{
  const a = doc(); const b = doc(); const all = []
  for (const d of [a, b]) d.on('update', (u, origin) => { if (origin !== 'sync') all.push(hex(u)) })
  const sync = () => { Y.applyUpdate(a, Y.encodeStateAsUpdate(b, Y.encodeStateVector(a)), 'sync'); Y.applyUpdate(b, Y.encodeStateAsUpdate(a, Y.encodeStateVector(b)), 'sync') }
  a.getText('t').insert(0, 'shared '); sync()
  for (let i = 0; i < 6; i++) { a.getText('t').insert(i, 'a' + i); b.getText('t').insert(2, 'b' + i); if (i % 2) sync(); b.getText('t').delete(0, 1) }
  sync()
  vectors.push({ name: 'two replicas', updates: all, state: hex(Y.encodeStateAsUpdate(a)), vector: hex(Y.encodeStateVector(a)), merged: hex(Y.mergeUpdates(all.map(u => Buffer.from(u, 'hex')))) })
}

console.log(JSON.stringify({ source: 'yjs 13.6.33, tests/gate-yjs/vectors.mjs', vectors }, null, 1))
