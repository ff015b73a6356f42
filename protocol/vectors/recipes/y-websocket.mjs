// What does each generation of y-websocket really send, when spoken to?

import * as encoding from 'lib0/encoding'
import * as auth from 'y-protocols/auth'
import * as Y from 'yjs'
import * as Y14 from '@y/y'
import * as v1 from 'y-websocket-1'
import * as v2 from 'y-websocket-2'
import * as v30 from 'y-websocket-3.0'
import * as v31 from 'y-websocket'
import * as v4 from '@y/websocket'
import { explainYWebsocket } from './explain.mjs'
import { hex, unhex } from './hex.mjs'
import { fakeWebSocket, nextSocket, settle } from './socket.mjs'

export const yWebsockets = {
  '1.5.4': { ...v1, Y },
  '2.1.0': { ...v2, Y },
  '3.0.0': { ...v30, Y },
  '3.1.0': { ...v31, Y },
  '4.0.0-3': { ...v4, Y: Y14 }
}

/** A provider of this version, connected to a script. */
export const openYWebsocket = async ({ WebsocketProvider, Y }, clientID = 300) => {
  const { WebSocket, opened } = fakeWebSocket()
  const doc = new Y.Doc()
  doc.clientID = clientID
  const provider = new WebsocketProvider('ws://127.0.0.1/sync', 'a note', doc, { WebSocketPolyfill: WebSocket, disableBc: true })
  const socket = await nextSocket(opened)
  return { doc, provider, socket, opened }
}

const fromServer = {
  'step 1 of an empty document': '00000100',
  'step 2 with an empty update': '0001020000',
  'an update by client 1': '00020c010101000401017402686900',
  'who are you': '03',
  'the keep-alive': '010100',
  'a refusal': hex(encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, 2)
    auth.writePermissionDenied(encoder, 'not yours')
  }))
}

export const yWebsocketVectors = async (version) => {
  const vectors = []
  const { doc, provider, socket } = await openYWebsocket(yWebsockets[version])
  const record = (from, frame, recipe) =>
    vectors.push({ name: `${recipe} (${vectors.length})`, recipe, from, hex: hex(frame), ...explainYWebsocket(frame) })
  const step = async (recipe, act) => {
    act()
    await settle()
    for (const frame of socket.takeSent()) record('client', frame, recipe)
  }
  const quiet = console.warn
  console.warn = () => {}
  await step('the socket opens', () => socket.accept())
  for (const [recipe, bytes] of Object.entries(fromServer)) {
    record('server', unhex(bytes), `server: ${recipe}`)
    await step(`the answer to ${recipe}`, () => socket.receive(unhex(bytes)))
  }
  console.warn = quiet
  await step('a local edit', () => (doc.getText ? doc.getText('t') : doc.get('t')).insert(0, 'hello'))
  await step('a local state', () => provider.awareness.setLocalStateField('user', { name: 'Ada' }))
  await step('destroyed', () => provider.destroy())
  return vectors
}
