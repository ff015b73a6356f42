// How does a browser test run a Redis of its own, and make it hang?

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../clients/harness/server.js'
import { until } from '../../clients/harness/wait.js'

const running = new Set()
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')))

/** One redis-server that answers when it is on the disk. */
export class Redis {
  #child

  static async start () {
    const redis = new Redis()
    redis.port = await freePort()
    redis.folder = await mkdtemp(join(tmpdir(), 'commonplace-redis-'))
    redis.#child = spawn('redis-server', ['--port', `${redis.port}`, '--bind', '127.0.0.1', '--dir', redis.folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always'],
      { stdio: 'ignore' })
    running.add(redis.#child)
    await until(`redis-server answers on port ${redis.port}`, () => redis.#answers())
    return redis
  }

  get url () { return `redis://127.0.0.1:${this.port}` }

  /** It takes connections and answers nothing. */
  hang () { this.#child.kill('SIGSTOP') }

  goOn () { this.#child.kill('SIGCONT') }

  async close () {
    this.#child.kill('SIGKILL')
    running.delete(this.#child)
    await rm(this.folder, { recursive: true, force: true })
  }

  #answers () {
    return new Promise(resolve => {
      const socket = connect(this.port, '127.0.0.1')
      const done = answers => { socket.destroy(); resolve(answers) }
      socket.once('error', () => done(false)).once('data', data => done(String(data) === '+PONG\r\n')).once('connect', () => socket.write('PING\r\n'))
    })
  }
}
