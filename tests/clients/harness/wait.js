// How does a test wait? For something to be true, with a deadline and a name for what did not happen; never for time to pass.

import { setTimeout as pause } from 'node:timers/promises'

// Long enough for a slow, busy machine; a passing test never gets near it. Milliseconds.
export const DEADLINE = 15_000

// How often a condition is looked at again. Milliseconds.
const LOOK_AGAIN = 3

/** Resolves with the first truthy value of `holds`; fails with `what` after the deadline. */
export async function until (what, holds, deadline = DEADLINE) {
  const end = performance.now() + deadline
  for (;;) {
    const value = await holds()
    if (value) return value
    if (performance.now() > end) {
      throw new Error(`after ${deadline} ms it is still not so that ${typeof what === 'function' ? what() : what}`)
    }
    await pause(LOOK_AGAIN)
  }
}
