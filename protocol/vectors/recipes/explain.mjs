// What does a frame say? Read with lib0 and the published message numbers, so that the vectors carry their meaning.

import * as decoding from 'lib0/decoding'
import { hex } from './hex.mjs'

const text = decoding.readVarString
const bytes = (decoder) => hex(decoding.readVarUint8Array(decoder))
const more = decoding.hasContent

const sync = (decoder) => {
  const kind = ['SyncStep1', 'SyncStep2', 'Update'][decoding.readVarUint(decoder)]
  return { kind, body: bytes(decoder) }
}

const yWebsocketTypes = {
  0: sync,
  1: (decoder) => ({ kind: 'Awareness', body: bytes(decoder) }),
  2: (decoder) => {
    if (decoding.readVarUint(decoder) !== 0) throw new Error('y-protocols knows one auth message')
    return { kind: 'PermissionDenied', reason: text(decoder) }
  },
  3: () => ({ kind: 'QueryAwareness' }),
  102: (decoder) => ({ kind: 'SyncStatus', body: bytes(decoder) })
}

const hocuspocusTypes = (from) => ({
  0: sync,
  1: (decoder) => ({ kind: 'Awareness', body: bytes(decoder) }),
  2: (decoder) => {
    const auth = decoding.readVarUint(decoder)
    if (from === 'client') return { kind: 'Token', token: text(decoder), version: more(decoder) ? text(decoder) : null }
    if (auth === 0) return { kind: 'TokenRequest' }
    return auth === 1 ? { kind: 'PermissionDenied', reason: text(decoder) } : { kind: 'Authenticated', scope: text(decoder) }
  },
  3: () => ({ kind: 'QueryAwareness' }),
  5: (decoder) => ({ kind: 'Stateless', text: text(decoder) }),
  7: (decoder) => ({ kind: 'Close', reason: more(decoder) ? text(decoder) : null }),
  8: (decoder) => ({ kind: 'SyncStatus', applied: decoding.readVarUint(decoder) === 1 })
})

const message = (decoder, types) => {
  const said = types[decoding.readVarUint(decoder)](decoder)
  if (more(decoder)) throw new Error(`bytes after the end of ${said.kind}`)
  return said
}

export const explainYWebsocket = (frame) => ({ message: message(decoding.createDecoder(frame), yWebsocketTypes) })

export const explainHocuspocus = (frame, from) => {
  if (frame.length === 1) return { message: { kind: frame[0] === 9 ? 'Ping' : 'Pong' } }
  const decoder = decoding.createDecoder(frame)
  const raw = decoding.readVarUint8Array(decoder)
  const [document, session = null] = Buffer.from(raw).toString().split('\0')
  return { address: { raw: hex(raw), document, session }, message: message(decoder, hocuspocusTypes(from)) }
}
