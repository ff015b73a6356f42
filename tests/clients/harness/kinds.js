// Which clients does the server promise to serve, and how does a test drive any of them?
//
// Every client is the published package with its documented options. Delays between retries are shortened; nothing else is touched.

import * as provider2 from 'provider-2'
import * as provider3 from 'provider-3'
import * as provider4 from 'provider-4'
import * as yWebsocket1 from 'y-websocket-1'
import * as yWebsocket2 from 'y-websocket-2'
import * as yWebsocket3 from 'y-websocket-3'
import { YSweetProvider } from '@y-sweet/client'
import * as Y from 'yjs'
import { Echo } from './echo.js'
import { STEP_1, STEP_2, SYNC, SYNC_STATUS, UPDATE, Wire } from './wire.js'
import { until } from './wait.js'

// The clients tell the console about every lost line and every retry, which here happens on purpose a thousand times.
console.warn = () => {}

/** The sandbox gives every token but this one a seat that may write. */
export const READ_ONLY = 'read-only'

// The first retry after a lost line, and the longest one. Milliseconds.
const RETRY = 20
const LONGEST_RETRY = 200

/** What all clients have in common. */
class Client {
  constructor (kind, name, doc) {
    this.kind = kind
    this.name = name
    this.doc = doc
    this.wire = new Wire(kind.dialect)
  }

  get awareness () { return this.provider.awareness }

  /** Has the first exchange with the server been completed on the present line? */
  get synced () { return this.provider.synced }

  /** Gives the client a name that the others can see. */
  introduce (name) {
    this.awareness.setLocalStateField('user', { name, color: '#0b6e4f' })
  }

  /** The names this client can see, its own left out. */
  get sees () {
    return [...this.awareness.getStates()].filter(([id]) => id !== this.doc.clientID)
      .map(([, state]) => state.user?.name).filter(Boolean).sort()
  }

  async untilSynced () {
    await until(`${this.kind.label} is synced`, () => this.synced)
    return this
  }

  async untilSaved () {
    await until(() => `${this.kind.label} is told that its edits are saved`, () => this.saved)
    return this
  }

  /** Some clients are back before anybody can look. */
  async untilLost () {
    await until(`${this.kind.label} notices that the line is gone`, () => !this.synced || (this.wire.lastCut > 0 && this.wire.opened > this.wire.lastCut))
  }

  close () {
    if (this.closed) return
    this.closed = true
    this.leave()
  }
}

class HocuspocusClient extends Client {
  constructor (kind, server, name, { doc = new Y.Doc(), token = 'anybody', socket, websocket = {}, ...options } = {}) {
    super(kind, name, doc)
    this.ownsSocket = !socket
    if (socket) this.wire = socket.wire
    this.socket = socket?.socket ?? new kind.module.HocuspocusProviderWebsocket({
      url: server.url,
      WebSocketPolyfill: this.wire.WebSocket,
      delay: RETRY,
      minDelay: RETRY,
      maxDelay: LONGEST_RETRY,
      quiet: true,
      ...websocket
    })
    // Noted before the provider hears of the edit, so that what it sends then is later.
    this.edited = -Infinity
    doc.on('update', (update, origin) => { if (origin !== this.provider) this.edited = performance.now() })
    this.events = []
    const note = event => detail => this.events.push({ event, ...detail })
    this.provider = new kind.module.HocuspocusProvider({
      websocketProvider: this.socket,
      name,
      document: doc,
      token,
      // Two clients in one process would find each other without the server.
      broadcast: false,
      preserveConnection: !this.ownsSocket,
      quiet: true,
      onSynced: note('synced'),
      onAuthenticated: note('authenticated'),
      onAuthenticationFailed: note('authenticationFailed'),
      onStateless: note('stateless'),
      onClose: note('close'),
      ...kind.options,
      ...options
    })
    // Version 2 attaches itself.
    this.provider.attach?.()
  }

  /**
   * What the provider itself says, `unsyncedChanges === 0`, and a count of its messages on the line. The provider's own count starts again at 1
   * when it reconnects, although it then also sends the edits that it kept in a queue or for a batch: it can reach 0 too early, and in
   * version 2 it falls below.
   */
  get saved () {
    return this.synced && this.provider.unsyncedChanges <= 0 && this.unacknowledged === 0
  }

  /**
   * Messages with edits of this document on the present line without an answer; the first exchange counts until it is over, and so does an
   * edit that has not gone out yet.
   */
  get unacknowledged () {
    const address = this.provider.effectiveName ?? this.name
    const frames = this.wire.frames.filter(frame => frame.line === this.wire.opened && frame.address === address)
    const edits = frames.filter(frame => !frame.incoming && frame.type === SYNC && frame.sub !== STEP_1)
    const answers = frames.filter(frame => frame.incoming && frame.type === SYNC_STATUS && frame.applied)
    const isAllSent = edits.some(frame => frame.sub === STEP_2) && edits.at(-1).at >= this.edited
    return isAllSent ? edits.length - answers.length : 1
  }

  /** Leaves this document; a shared socket stays. */
  leave () {
    this.provider.destroy()
    if (!this.ownsSocket) return
    // A provider that is destroyed between a lost line and its next try would try for ever.
    this.socket.connect = async () => {}
    this.socket.destroy()
  }
}

class YWebsocketClient extends Client {
  constructor (kind, server, name, { doc = new Y.Doc(), token, ...options } = {}) {
    super(kind, name, doc)
    const echo = new Echo(doc)
    this.echo = echo
    this.wire.listeners.push(frame => {
      if (frame.type !== SYNC) return
      if (frame.sub === STEP_1) echo.vector(frame.payload)
      if (frame.sub === STEP_2 || frame.sub === UPDATE) echo.received(frame.payload)
    })
    this.provider = new kind.module.WebsocketProvider(server.url, name, doc, {
      WebSocketPolyfill: this.wire.WebSocket,
      maxBackoffTime: LONGEST_RETRY,
      // Two clients in one process would find each other without the server.
      disableBc: true,
      params: token ? { token } : {},
      ...options
    })
    doc.on('update', (update, origin) => { if (origin !== this.provider) echo.sent(update) })
  }

  get saved () { return this.synced && this.echo.complete }

  leave () {
    this.provider.destroy()
    this.provider.awareness.destroy()
  }
}

class YSweetClient extends Client {
  constructor (kind, server, name, { doc = new Y.Doc(), token, ...options } = {}) {
    super(kind, name, doc)
    this.provider = new YSweetProvider(async () => ({ url: server.url, baseUrl: server.http, docId: name, token }), name, doc, {
      WebSocketPolyfill: this.wire.WebSocket,
      showDebuggerLink: false,
      ...options
    })
  }

  get synced () { return this.provider.status === 'connected' }

  get saved () { return this.synced && !this.provider.hasLocalChanges }

  /** `destroy()` of this client closes its socket and then connects again; a program that wants to leave has to take the socket away. */
  leave () {
    const { websocket } = this.provider
    for (const event of ['onopen', 'onmessage', 'onclose', 'onerror']) if (websocket) websocket[event] = null
    this.provider.clearHeartbeat()
    this.provider.clearConnectionTimeout()
    this.provider.connect = () => {}
    this.provider.attemptToConnect = async () => true
    this.provider.destroy()
    this.provider.awareness.destroy()
  }
}

const hocuspocus = (label, module, options = {}) => ({ label, module, options, dialect: 'hocuspocus', Client: HocuspocusClient })
const yWebsocket = (label, module) => ({ label, module, dialect: 'y-websocket', Client: YWebsocketClient })

export const PROVIDER_2 = hocuspocus('provider 2', provider2)
export const PROVIDER_3 = hocuspocus('provider 3', provider3)
export const PROVIDER_4 = hocuspocus('provider 4', provider4)
/** Edits travel in batches, one acknowledgement for each batch. */
export const PROVIDER_4_BATCHES = hocuspocus('provider 4 in batches', provider4, { flushDelay: 10 })
/** Each provider has a session in its address. */
export const PROVIDER_4_SESSION = hocuspocus('provider 4 with a session', provider4, { sessionAwareness: true })
export const Y_WEBSOCKET_1 = yWebsocket('y-websocket 1', yWebsocket1)
export const Y_WEBSOCKET_2 = yWebsocket('y-websocket 2', yWebsocket2)
export const Y_WEBSOCKET_3 = yWebsocket('y-websocket 3', yWebsocket3)
export const Y_SWEET = { label: 'y-sweet', dialect: 'y-websocket', Client: YSweetClient }

export const HOCUSPOCUS_KINDS = [PROVIDER_2, PROVIDER_3, PROVIDER_4, PROVIDER_4_BATCHES, PROVIDER_4_SESSION]
export const Y_WEBSOCKET_KINDS = [Y_WEBSOCKET_1, Y_WEBSOCKET_2, Y_WEBSOCKET_3]
export const KINDS = [...HOCUSPOCUS_KINDS, ...Y_WEBSOCKET_KINDS, Y_SWEET]

/** Opens a document with a client of some kind. */
export function open (kind, server, name, options) {
  const client = new kind.Client(kind, server, name, options)
  server.clients.add(client)
  return client
}

/** Every two kinds, a kind with itself included. */
export function * pairs (kinds = KINDS) {
  for (const [index, one] of kinds.entries()) {
    for (const other of kinds.slice(index)) yield [one, other]
  }
}
