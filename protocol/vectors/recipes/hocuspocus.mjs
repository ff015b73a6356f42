// What do the providers really send, and what does the Hocuspocus server send them?

import * as Y from 'yjs'
import { Awareness } from 'y-protocols/awareness'
import { OutgoingMessage } from '@hocuspocus/server'
import * as provider2 from 'provider-2'
import * as provider3 from 'provider-3'
import * as provider4 from '@hocuspocus/provider'
import { explainHocuspocus } from './explain.mjs'
import { hex } from './hex.mjs'
import { fakeWebSocket, nextSocket, settle } from './socket.mjs'

export const providers = { '2.15.3': provider2, '3.4.4': provider3, '4.8.0': provider4 }

/** A provider of this version, attached to a script. */
export const openProvider = async ({ HocuspocusProvider, HocuspocusProviderWebsocket }, options = {}) => {
  const { WebSocket, opened } = fakeWebSocket()
  const document = new Y.Doc()
  document.clientID = 300
  const websocketProvider = new HocuspocusProviderWebsocket({ url: 'ws://127.0.0.1/sync', WebSocketPolyfill: WebSocket })
  // Session names are drawn from here.
  const random = Math.random
  Math.random = () => 0.5
  const provider = new HocuspocusProvider({ name: 'doc', document, websocketProvider, broadcast: false, token: 'tok', ...options })
  Math.random = random
  provider.attach?.()
  const socket = await nextSocket(opened)
  return { document, provider, websocketProvider, socket, opened }
}

const awareness = () => {
  const document = new Y.Doc()
  document.clientID = 1
  const made = new Awareness(document)
  clearInterval(made._checkInterval)
  made.setLocalState({ user: { name: 'Grace' } })
  return made
}

const updateOf = (text) => {
  const document = new Y.Doc()
  document.clientID = 1
  document.getText('t').insert(0, text)
  return Y.encodeStateAsUpdate(document)
}

/** What the server library writes, for an address. */
export const serverFrames = (address) => {
  const message = () => new OutgoingMessage(address)
  return {
    'Authenticated, to write': message().writeAuthenticated(false),
    'Awareness of one': message().createAwarenessUpdateMessage(awareness()),
    'SyncStep1 of an empty document': message().createSyncMessage().writeFirstSyncStepFor(new Y.Doc()),
    Update: message().createSyncMessage().writeUpdate(updateOf('hi')),
    'SyncStatus applied': message().writeSyncStatus(true),
    'SyncStatus refused': message().writeSyncStatus(false),
    'Stateless hi': message().writeStateless('hi'),
    QueryAwareness: message().writeQueryAwareness(),
    'Authenticated, to read': message().writeAuthenticated(true),
    'send your token again': message().writeTokenSyncRequest(),
    PermissionDenied: message().writePermissionDenied('permission-denied'),
    Close: message().writeCloseMessage('Reset Connection')
  }
}

export const hocuspocusVectors = async (version) => {
  const vectors = []
  const record = (from, frame, recipe) =>
    vectors.push({ name: `${recipe} (${vectors.length})`, recipe, from, hex: hex(frame), ...explainHocuspocus(frame, from) })
  const converse = async (who, options, address) => {
    const { document, provider, websocketProvider, socket } = await openProvider(providers[version], options)
    const step = async (recipe, act) => {
      act()
      await settle()
      for (const frame of socket.takeSent()) record('client', frame, `${who}: ${recipe}`)
    }
    await step('the socket opens', () => socket.accept())
    const frames = serverFrames(address(provider))
    // Providers of version 2 throw on what they do not know: see the test of the reactions.
    const known = Object.entries(frames).filter(([recipe]) => recipe !== 'PermissionDenied' && recipe !== 'Close')
    for (const [recipe, outgoing] of known) {
      const frame = outgoing.toUint8Array()
      record('server', frame, `${who}: server: ${recipe}`)
      await step(`the answer to ${recipe}`, () => socket.receive(frame))
    }
    if (version.startsWith('4')) await step('the answer to Ping', () => socket.receive([9]))
    await step('a local edit', () => document.getText('t').insert(0, 'hello'))
    await step('a local state', () => provider.setAwarenessField('user', { name: 'Ada' }))
    await step('a stateless message', () => provider.sendStateless('{"kind":"wave"}'))
    await step('a forced sync', () => provider.forceSync())
    for (const recipe of ['PermissionDenied', 'Close']) record('server', frames[recipe].toUint8Array(), `${who}: server: ${recipe}`)
    await step('destroyed', () => provider.destroy())
    websocketProvider.destroy()
  }
  await converse('with a token', {}, () => 'doc')
  await converse('without a token', { token: undefined }, () => 'doc')
  if (version.startsWith('4')) await converse('with a session', { sessionAwareness: true }, (provider) => provider.effectiveName)
  return vectors
}
