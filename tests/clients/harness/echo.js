// Which of its own edits has a y-websocket client seen come back?
//
// The protocol has no acknowledgement, so an edit is known to be kept when the server sends it, or a state vector that covers it.

import * as Y from 'yjs'

/** The insertions (as a clock) and the deletions of one document's own edits, and what the server has shown of them. */
export class Echo {
  #doc
  #seenClock = 0
  #deletions = new Set()

  constructor (doc) {
    this.#doc = doc
  }

  /** A local update goes out. */
  sent (update) {
    for (const id of deletionsIn(update)) this.#deletions.add(id)
  }

  /** A document message came in: an update of the server's. */
  received (update) {
    const clock = Y.parseUpdateMeta(update).to.get(this.#doc.clientID)
    if (clock > this.#seenClock) this.#seenClock = clock
    for (const id of deletionsIn(update)) this.#deletions.delete(id)
  }

  /** The server's state vector: it has applied everything below. */
  vector (bytes) {
    const clock = Y.decodeStateVector(bytes).get(this.#doc.clientID) ?? 0
    if (clock > this.#seenClock) this.#seenClock = clock
  }

  /** Own insertions below this clock are kept. */
  get clock () { return this.#seenClock }

  get complete () {
    return this.#deletions.size === 0 && this.#seenClock >= Y.getState(this.#doc.store, this.#doc.clientID)
  }
}

/** What an update deletes: by its list of deletions, or because it brings only the place where something was. */
export function * deletionsIn (update) {
  const { structs, ds } = Y.decodeUpdate(update)
  for (const struct of structs) {
    if (struct instanceof Y.GC || struct.content instanceof Y.ContentDeleted) yield * idsOf(struct.id.client, struct.id.clock, struct.length)
  }
  for (const [client, ranges] of ds.clients) {
    for (const { clock, len } of ranges) yield * idsOf(client, clock, len)
  }
}

/** `client@clock` for every unit of a run. */
export function * idsOf (client, clock, length) {
  for (let at = clock; at < clock + length; at += 1) yield `${client}@${at}`
}
