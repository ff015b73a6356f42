// Where does chance come from, so that it can be repeated?

/** A stream of numbers in [0, 1) that depends on nothing but the seed (mulberry32). */
export function randomFrom (seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = limit => Math.floor(next() * limit)
  return { next, below, pick: list => list[below(list.length)], chance: probability => next() < probability }
}
