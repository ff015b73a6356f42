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

/** Appends an element of any name, as only a program can. */
export function addNode (doc, name, attributes, words) {
  const node = new Y.XmlElement(name)
  doc.transact(() => {
    note(doc).push([node])
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
    if (words) node.insert(0, [new Y.XmlText(words)])
  })
}
