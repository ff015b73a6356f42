// How does a test say to the server what no client would say?

import WebSocket from 'ws'
import { createEncoder, toUint8Array, writeUint8Array, writeVarString, writeVarUint, writeVarUint8Array } from 'lib0/encoding'
import { AUTH, STEP_1, STEP_2, SYNC, readFrame } from './wire.js'
import { until } from './wait.js'

/** Concatenates numbers (varUint), strings (varString), byte arrays (with their length) and `{ raw }` bytes. */
export function bytes (...parts) {
  const encoder = createEncoder()
  for (const part of parts) {
    if (typeof part === 'number') writeVarUint(encoder, part)
    else if (typeof part === 'string') writeVarString(encoder, part)
    else if (part.raw) writeUint8Array(encoder, part.raw)
    else writeVarUint8Array(encoder, part)
  }
  return toUint8Array(encoder)
}

/** A socket without a client behind it. */
export class Raw {
  frames = []

  constructor (dialect, server, name) {
    this.dialect = dialect
    this.name = name
    this.socket = new WebSocket(dialect === 'hocuspocus' ? server.url : `${server.url}/${encodeURIComponent(name)}`)
    this.socket.binaryType = 'arraybuffer'
    this.socket.on('error', () => {})
    this.socket.on('message', (data, isBinary) => {
      this.frames.push(isBinary ? readFrame(dialect, new Uint8Array(data)) : { text: data.toString() })
    })
    this.socket.on('close', (code, reason) => { this.closed = { code, reason: reason.toString() } })
    server.clients.add(this)
  }

  async untilOpen () {
    await until('the socket opens', () => this.socket.readyState === WebSocket.OPEN)
    return this
  }

  /** Sends one message of this dialect: the address is put in front where there is one. */
  send (...parts) {
    this.socket.send(this.dialect === 'hocuspocus' ? bytes(this.name, ...parts) : bytes(...parts))
  }

  /** Sends these bytes and nothing else. */
  sendBytes (data) {
    this.socket.send(data)
  }

  /** Joins like a client with an empty document. */
  async join (token = '') {
    await this.untilOpen()
    if (this.dialect === 'hocuspocus') this.send(AUTH, 0, token)
    this.send(SYNC, STEP_1, new Uint8Array([0]))
    await until('the server answers and asks', () => this.received(SYNC, STEP_2).length > 0 && this.received(SYNC, STEP_1).length > 0)
    // Nothing inserted, nothing deleted.
    this.send(SYNC, STEP_2, new Uint8Array([0, 0]))
    return this
  }

  received (type, sub) {
    return this.frames.filter(frame => frame.type === type && (sub === undefined || frame.sub === sub))
  }

  close () {
    this.socket.terminate()
  }
}
