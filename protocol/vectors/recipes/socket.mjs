// How can a real client be spoken to without a network? A WebSocket whose other end is a script.

/** A fresh WebSocket class; every socket a client opens with it is in `opened`. */
export const fakeWebSocket = () => {
  const opened = []
  class FakeWebSocket {
    static CONNECTING = 0
    static OPEN = 1
    static CLOSING = 2
    static CLOSED = 3
    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3

    constructor (url) {
      this.url = url
      this.readyState = 0
      this.sent = []
      this.listeners = { open: new Set(), message: new Set(), close: new Set(), error: new Set() }
      opened.push(this)
    }

    addEventListener (name, listener) { this.listeners[name].add(listener) }
    removeEventListener (name, listener) { this.listeners[name].delete(listener) }
    send (bytes) { this.sent.push(new Uint8Array(bytes)) }
    close () { this.readyState = 3 }

    /** The script's side: tells the client that something happened. */
    fire (name, event) {
      this[`on${name}`]?.(event)
      for (const listener of [...this.listeners[name]]) listener(event)
    }

    accept () {
      this.readyState = 1
      this.fire('open', { type: 'open' })
    }

    receive (bytes) {
      this.fire('message', { data: new Uint8Array(bytes).buffer })
    }

    cut (code, reason = '') {
      this.readyState = 3
      this.fire('close', { type: 'close', code, reason })
    }

    /** What the client has sent since the last question. */
    takeSent () {
      return this.sent.splice(0)
    }
  }
  return { WebSocket: FakeWebSocket, opened }
}

const turn = setImmediate

/** Lets promises and immediates run. Nothing in the clients is slower than this, except their timers. */
export const settle = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => turn(resolve))
}

/** Waits until the client opens a socket. */
export const nextSocket = async (opened, count = 1) => {
  for (let i = 0; i < 10000 && opened.length < count; i++) await new Promise((resolve) => turn(resolve))
  if (opened.length < count) throw new Error('the client opened no socket')
  return opened[count - 1]
}
