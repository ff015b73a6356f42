// Which close code makes which client stop for good, and which one is followed by another attempt?

import { mock } from 'node:test'
import { openProvider, providers, serverFrames } from './hocuspocus.mjs'
import { settle } from './socket.mjs'
import { openYWebsocket, yWebsockets } from './y-websocket.mjs'
import { unhex } from './hex.mjs'

const codes = [1000, 1001, 1002, 1003, 1006, 1008, 1009, 1011, 1012, 1013, 4205, 4401, 4403, 4408, 4422, 4423, 4499, 4500, 4503, 4504]

/** Longer than every back-off of every client. */
const PATIENCE_MS = 60_000

/** Closes a live client's socket and watches whether it opens another. */
const reaction = async (open, greet, code) => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const quiet = [console.warn, console.error]
  console.warn = console.error = () => {}
  try {
    const opening = open()
    // The first attempt may itself wait for a timer of zero.
    for (let i = 0; i < 5; i++) { await settle(); mock.timers.tick(0) }
    const { provider, websocketProvider, socket, opened } = await opening
    socket.accept()
    await settle()
    greet(socket)
    await settle()
    socket.cut(code, 'a reason')
    for (let waited = 0; waited < PATIENCE_MS && opened.length === 1; waited += 500) {
      mock.timers.tick(500)
      await settle()
    }
    const reconnects = opened.length > 1
    provider.destroy()
    websocketProvider?.destroy()
    return reconnects ? 'retries' : 'stops'
  } finally {
    mock.timers.reset()
    ;[console.warn, console.error] = quiet
  }
}

export const closeReactions = async () => {
  const vectors = []
  const note = (client, of) => {
    const that = (reacts) => [...of].filter(([, reaction]) => reaction === reacts).map(([code]) => code)
    vectors.push({ client, stops: that('stops'), retries: that('retries') })
  }
  for (const [version, library] of Object.entries(yWebsockets)) {
    const of = new Map()
    for (const code of codes) of.set(code, await reaction(() => openYWebsocket(library), (socket) => socket.receive(unhex('0001020000')), code))
    note(`y-websocket ${version}`, of)
  }
  for (const [version, library] of Object.entries(providers)) {
    const of = new Map()
    const greet = (socket) => socket.receive(serverFrames('doc')['Authenticated, to write'].toUint8Array())
    for (const code of codes) of.set(code, await reaction(() => openProvider(library), greet, code))
    note(`provider ${version}`, of)
  }
  return { recipe: 'a live client, its socket closed with the code, then a minute of its timers', vectors }
}
