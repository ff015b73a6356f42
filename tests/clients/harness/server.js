// How do the tests start, kill and restart the server that is being tested?

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './wait.js'

const BINARY = process.env.COMMONPLACE_BIN ??
  fileURLToPath(new URL('../../../target/debug/commonplace', import.meta.url))

// How long the server may take to say goodbye to everybody when it is asked to stop. Milliseconds.
const LONGEST_STOP = 30_000

// Servers that are still running when a test file ends badly; they must not outlive it.
const running = new Set()
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')))

// A restarted server must come back where its clients look for it, so port 0 will not do, and while it is down nobody else may take its
// place: not the local end of some connection (those are given out from 32768), and not a server of another test process.
const FIRST_PORT = 10_000
const PORTS = 20_000
const PORTS_OF_A_PROCESS = 32
let portsTaken = 0

/** A port that nobody uses now, and nobody else will ask for soon. */
export async function freePort () {
  for (;;) {
    const port = FIRST_PORT + (process.pid * PORTS_OF_A_PROCESS + portsTaken) % PORTS
    portsTaken += 1
    const probe = createServer()
    const isFree = await new Promise(resolve => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
    if (!isFree) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}

/** One server on a port and a data directory of its own, in the sandbox mode: no sign-in, any document name. */
export class Server {
  #child
  #log = ''
  /** Who is open on this server; a test that fails half-way leaves clients behind, and those would keep the process alive. */
  clients = new Set()

  /** With these words on the command line besides the test's own. */
  static async start (...words) {
    const server = new Server()
    server.words = words
    server.port = await freePort()
    server.data = await mkdtemp(join(tmpdir(), 'commonplace-clients-'))
    await server.run()
    return server
  }

  /** Where Hocuspocus providers connect; y-websocket clients add a slash and the document's name. */
  get url () { return `ws://127.0.0.1:${this.port}/sync` }

  get http () { return `http://127.0.0.1:${this.port}` }

  /** Starts the process and waits until it says that it is ready. */
  async run () {
    const child = spawn(BINARY, ['serve', '--open', '--listen', `127.0.0.1:${this.port}`, '--data', this.data, ...this.words],
      { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    running.add(child)
    child.ended = new Promise(resolve => {
      child.once('error', error => resolve({ error }))
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
    child.ended.then(end => { running.delete(child); child.end = end })
    for (const stream of [child.stdout, child.stderr]) {
      // Only the tail is kept: it goes into the message when the server does not start or ends by itself.
      stream.setEncoding('utf8').on('data', text => { this.#log = (this.#log + text).slice(-8192) })
    }
    await until(() => `${BINARY} answers at ${this.http}/readyz (${JSON.stringify(child.end)})\n${this.#log}`, async () => {
      if (child.end) throw new Error(`${BINARY} ended: ${JSON.stringify(child.end)}\n${this.#log}`)
      return await fetch(`${this.http}/readyz`).then(answer => answer.status === 200, () => false)
    })
  }

  /** The machine loses power, as far as the process can tell. */
  async kill () {
    this.#child.kill('SIGKILL')
    await this.#child.ended
  }

  /** An operator's restart: the process is asked to stop, and says that it did so properly. */
  async stop () {
    this.#child.kill('SIGTERM')
    const end = await until(() => `the server ends when it is asked to\n${this.#log}`, () => this.#child.end, LONGEST_STOP)
    if (end.code !== 0) throw new Error(`asked to stop, the server ended with ${JSON.stringify(end)}\n${this.#log}`)
  }

  /** Fails when the process has ended by itself. */
  assertAlive () {
    if (this.#child.end) throw new Error(`the server ended by itself: ${JSON.stringify(this.#child.end)}\n${this.#log}`)
  }

  /** Ends the process and its clients and removes its data. */
  async close () {
    this.clients.forEach(client => client.close())
    await this.kill()
    await rm(this.data, { recursive: true, force: true })
  }
}
