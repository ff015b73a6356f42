// Which bytes does lib0 write for numbers, text and values, and which bytes does it refuse to read?

import * as encoding from 'lib0/encoding'
import * as decoding from 'lib0/decoding'
import { hex } from './hex.mjs'

const encode = (write) => hex(encoding.encode(write))

const SAFE = Number.MAX_SAFE_INTEGER

const varUints = [0, 1, 127, 128, 255, 256, 300, 16383, 16384, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52, SAFE]

const varInts = [0, 1, -1, 63, 64, -63, -64, 8191, 8192, -8192, 2 ** 31 - 1, -(2 ** 31), 2 ** 40, -(2 ** 40), SAFE, -SAFE]

const texts = {
  empty: '',
  ascii: 'commonplace',
  'two bytes a letter': 'Grüße',
  'three bytes a letter': '千里の道も一歩から',
  'emoji outside the basic plane': '👩‍🚀🏳️‍🌈',
  'a NUL inside': 'a\0b',
  'longer than 127 bytes': 'x'.repeat(128)
}

const anys = {
  undefined: undefined,
  null: null,
  true: true,
  false: false,
  'integer 0': 0,
  'negative zero': -0,
  'integer 64': 64,
  'integer -1': -1,
  'largest 31 bit integer': 2 ** 31 - 1,
  'integer beyond 31 bits': 2 ** 31,
  'float32 0.5': 0.5,
  'float64 0.1': 0.1,
  NaN: NaN,
  Infinity: Infinity,
  'bigint 1': 1n,
  'bigint smallest': -(2n ** 63n),
  'empty text': '',
  text: 'Grüße 👋',
  'empty object': {},
  object: { a: 1, 'ключ': [null, { b: false }] },
  'empty array': [],
  array: [1, 'two', [3], undefined],
  bytes: new Uint8Array([0, 127, 128, 255]),
  'nested eight deep': [[[[[[[['deep']]]]]]]]
}

export const lib0Vectors = () => [
  ...varUints.map((value) => ({
    name: `varUint ${value}`,
    recipe: `encoding.writeVarUint(encoder, ${value})`,
    kind: 'varUint',
    hex: encode((encoder) => encoding.writeVarUint(encoder, value)),
    value
  })),
  ...varInts.map((value) => ({
    name: `varInt ${value}`,
    recipe: `encoding.writeVarInt(encoder, ${value})`,
    kind: 'varInt',
    hex: encode((encoder) => encoding.writeVarInt(encoder, value)),
    value
  })),
  {
    name: 'varInt negative zero',
    recipe: 'encoding.writeVarInt(encoder, -0)',
    kind: 'varInt',
    hex: encode((encoder) => encoding.writeVarInt(encoder, -0)),
    value: 0
  },
  ...Object.entries(texts).map(([name, value]) => ({
    name: `varString ${name}`,
    recipe: `encoding.writeVarString(encoder, ${JSON.stringify(value)})`,
    kind: 'varString',
    hex: encode((encoder) => encoding.writeVarString(encoder, value)),
    value
  })),
  ...[0, 3, 200].map((length) => ({
    name: `varUint8Array of ${length} bytes`,
    recipe: `encoding.writeVarUint8Array(encoder, new Uint8Array(${length}).fill(7))`,
    kind: 'varBytes',
    hex: encode((encoder) => encoding.writeVarUint8Array(encoder, new Uint8Array(length).fill(7))),
    value: hex(new Uint8Array(length).fill(7))
  })),
  ...Object.entries(anys).map(([name, value]) => ({
    name: `any ${name}`,
    recipe: `encoding.writeAny(encoder, <${name}>)`,
    kind: 'any',
    hex: encode((encoder) => encoding.writeAny(encoder, value))
  }))
]

/** Bytes lib0 itself will not read, so nobody has to. */
export const lib0Refusals = () =>
  [
    ['varUint', '', 'nothing at all'],
    ['varUint', '80', 'more is promised than follows'],
    ['varUint', 'ffffffffffffffff01', 'more than JavaScript can hold, and more to come'],
    ['varInt', 'c0', 'more is promised than follows']
  ].map(([kind, bytes, name]) => ({ name: `${kind}: ${name}`, recipe: 'by hand', kind, hex: bytes }))

export const read = {
  varUint: decoding.readVarUint,
  varInt: decoding.readVarInt,
  varString: decoding.readVarString,
  varBytes: (decoder) => hex(decoding.readVarUint8Array(decoder)),
  any: decoding.readAny
}
