// What do other programs do to a note, that know nothing of this web client and share only the document?

import * as Y from 'yjs'

/** The part of the document that holds a note's text, by TipTap's name for it. */
const note = doc => doc.getXmlFragment('default')

/** Appends a paragraph and returns its text. */
export function addParagraph (doc, words, marks) {
  const text = new Y.XmlText()
  const paragraph = new Y.XmlElement('paragraph')
  doc.transact(() => {
    paragraph.insert(0, [text])
    note(doc).push([paragraph])
    text.insert(0, words, marks)
  })
  return text
}

/** The note as a person reads it, a line for each block. */
export function readNote (doc) {
  const textOf = node => node instanceof Y.XmlText ? node.toDelta().map(({ insert }) => typeof insert === 'string' ? insert : '').join('') : node.toArray().map(textOf).join('')
  return note(doc).toArray().map(textOf).join('\n')
}
