// How are bytes written in the vector files?

export const hex = (bytes) => Buffer.from(bytes).toString('hex')

export const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'))
