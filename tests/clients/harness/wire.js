// What passes between one client and the server, and how does a test cut the line?
//
// Clients take a WebSocket class as an option; each test client gets one of its own, which remembers every frame and can be cut.

import WebSocket from 'ws'
import { createDecoder, hasContent, readVarInt, readVarString, readVarUint, readVarUint8Array } from 'lib0/decoding'

export const SYNC = 0
export const AWARENESS = 1
export const AUTH = 2
export const QUERY_AWARENESS = 3
export const STATELESS = 5
export const CLOSE = 7
export const SYNC_STATUS = 8
export const PING = 9
export const Y_SWEET_SYNC_STATUS = 102

export const STEP_1 = 0
export const STEP_2 = 1
export const UPDATE = 2

/** The answer to a token that is good. */
export const ADMITTED = 2

// Nobody listens on port 1 of the loopback: a client that connects there is refused at once, like one without a network.
const NOWHERE = 'ws://127.0.0.1:1'

/** Reads one frame of a dialect ('hocuspocus' or 'y-websocket') into plain fields. */
export function readFrame (dialect, bytes) {
  if (dialect === 'hocuspocus' && bytes.length === 1) return { type: bytes[0] }
  const decoder = createDecoder(bytes)
  const frame = dialect === 'hocuspocus' ? { address: readVarString(decoder) } : {}
  // A name nobody has joined is how any provider can be fed a sign of life: there may be nothing after it.
  if (!hasContent(decoder)) return frame
  frame.type = readVarUint(decoder)
  if (frame.type === SYNC) {
    frame.sub = readVarUint(decoder)
    frame.payload = readVarUint8Array(decoder)
  } else if (frame.type === SYNC_STATUS) {
    frame.applied = readVarInt(decoder) === 1
  } else if (frame.type === Y_SWEET_SYNC_STATUS) {
    frame.payload = readVarUint8Array(decoder)
  } else if (frame.type === AUTH) {
    frame.sub = readVarUint(decoder)
    frame.text = hasContent(decoder) ? readVarString(decoder) : undefined
  }
  return frame
}

/** One client's line to the server. */
export class Wire {
  online = true
  /** Every frame of the client's whole life, oldest first: `{ at, line, incoming, bytes, type, sub, … }`; `line` counts its sockets. */
  frames = []
  sockets = new Set()
  opened = 0
  /** The close codes of the lines that have ended. */
  closings = []
  /** The number of the line that was cut last. */
  lastCut = 0
  /** Called with each frame that arrives, before the client sees it. */
  listeners = []

  constructor (dialect) {
    const wire = this
    this.dialect = dialect
    this.WebSocket = class extends WebSocket {
      constructor (url, protocols) {
        super(wire.online ? url : NOWHERE, protocols)
        // Clients drop their error listeners before they close a socket that is still connecting; `ws` then reports to nobody.
        this.on('error', () => {})
        wire.sockets.add(this)
        this.on('open', () => { wire.opened += 1 })
        this.on('close', code => { wire.sockets.delete(this); wire.closings.push(code) })
        this.prependListener('message', data => wire.#note(true, new Uint8Array(data)))
      }

      send (data, ...rest) {
        wire.#note(false, new Uint8Array(data))
        super.send(data, ...rest)
      }
    }
  }

  #note (incoming, bytes) {
    const frame = { at: performance.now(), line: this.opened, incoming, bytes, ...readFrame(this.dialect, bytes) }
    this.frames.push(frame)
    if (incoming) this.listeners.forEach(listener => listener(frame))
  }

  /** The frames that came in, of one type (and sub-type). */
  received (type, sub) {
    return this.frames.filter(frame => frame.incoming && frame.type === type && (sub === undefined || frame.sub === sub))
  }

  /** The frames that went out, of one type (and sub-type). */
  sent (type, sub) {
    return this.frames.filter(frame => !frame.incoming && frame.type === type && (sub === undefined || frame.sub === sub))
  }

  /** The line breaks without a goodbye; the client may try again at once. */
  cut () {
    this.lastCut = this.opened
    this.sockets.forEach(socket => socket.terminate())
  }

  goOffline () {
    this.online = false
    this.cut()
  }

  goOnline () {
    this.online = true
  }
}
