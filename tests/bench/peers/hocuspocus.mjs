// What does @hocuspocus/server do with the same work? As its documentation starts it, with a database in memory.
import { Database } from '@hocuspocus/extension-database'
import { Server } from '@hocuspocus/server'

const documents = new Map()

const server = new Server({
  address: process.env.HOST,
  port: Number(process.env.PORT),
  quiet: true,
  extensions: [
    new Database({
      fetch: async ({ documentName }) => documents.get(documentName) ?? null,
      store: async ({ documentName, state }) => { documents.set(documentName, state) }
    })
  ]
})

await server.listen()
