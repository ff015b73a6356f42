// How is one browser's network cut, and mended, without touching anybody else's?

import { connect, createServer } from 'node:net'

/** A wire between a browser and the server, with a port of its own. */
export class Line {
  #sockets = new Set()
  #whole = true

  static async lay (server) {
    const line = new Line()
    line.server = server
    line.listener = createServer(near => line.#join(near))
    await new Promise((resolve, reject) => line.listener.once('error', reject).listen(0, '127.0.0.1', resolve))
    line.url = `http://127.0.0.1:${line.listener.address().port}`
    // A test that fails half-way leaves its lines behind, and they would keep the process alive.
    server.clients.add(line)
    return line
  }

  #join (near) {
    near.on('error', () => {})
    if (!this.#whole) return near.destroy()
    const far = connect(this.server.port, '127.0.0.1')
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => { this.#sockets.delete(one); other.destroy() })
      one.pipe(other)
    }
  }

  cut () {
    this.#whole = false
    this.#sockets.forEach(socket => socket.destroy())
  }

  mend () {
    this.#whole = true
  }

  close () {
    this.cut()
    this.listener.close()
  }
}
