import assert from 'node:assert/strict'
import { idOf } from '../objects/decode.ts'
import { failedFile, loadText } from './files.ts'

const namespace = (name: string, more = '') => `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}${more}}}\n`
const load = (text: string, before?: ReturnType<typeof loadText>) => loadText('a.yaml', text, 'k8s', before)
const ids = (file: ReturnType<typeof loadText>) => file.items.map(idOf)

describe('a file', () => {
  it('with one bad document gives the others', () => {
    const file = load(`${namespace('a')}---\n${namespace('b', ', colour: red')}---\n${namespace('c')}`)
    assert.deepEqual(ids(file), ['Namespace a', 'Namespace c'])
    assert.deepEqual(file.rejections, [
      {
        object: 'Namespace b',
        file: 'a.yaml',
        field: 'metadata.colour',
        value: '"red"',
        message: file.rejections[0]!.message,
      },
    ])
    assert.match(file.rejections[0]!.message, /^unknown field; known are name, labels/)
  })

  it('keeps an object that was good and isn’t any more, and says so', () => {
    const good = load(`${namespace('a')}---\n${namespace('b')}`)
    const bad = load(`${namespace('a', ', x: 1')}---\n${namespace('b')}`, good)
    assert.deepEqual(new Set(bad.items), new Set(good.items))
    assert.match(bad.rejections[0]!.message, /^unknown field/)
    assert.match(bad.rejections[1]!.message, /^stays as it was last read, until this file is in order: Namespace a$/)
    assert.deepEqual(load(namespace('b'), bad).items, [good.items[1]])
  })

  it('keeps what it said while it is cut off, empty, or can’t be read', () => {
    const good = load(`${namespace('a')}---\n${namespace('b')}`)
    for (const text of [
      '',
      '  \n',
      'kind: Names',
      `${namespace('a')}---\nkind: Namespace\nmetadata:\n  nam`,
      `${namespace('a')}---\n{apiVersion: v1, kind: Name`,
    ]) {
      const cut = load(text, good)
      assert.deepEqual(ids(cut).sort(), ['Namespace a', 'Namespace b'], JSON.stringify(text))
      assert.ok(cut.rejections.length > 0)
    }
    assert.deepEqual(failedFile('a.yaml', 'cannot be read: EACCES', good).items, good.items)
  })

  it('survives being cut at every byte, and is whole again afterwards', () => {
    const text = `${namespace('a')}---\n${namespace('b', ', labels: {x: y}')}`
    const whole = load(text)
    let file = whole
    for (let length = 0; length <= text.length; length++) {
      file = load(text.slice(0, length), file)
      // A cut between two documents can't be told from an edit.
      if (file.rejections.length > 0) assert.ok(ids(file).includes('Namespace a'), text.slice(0, length))
    }
    assert.deepEqual(file, whole)
  })

  it('that is empty from the start is no mistake', () => {
    assert.deepEqual(load('\n# only a remark\n'), { path: 'a.yaml', items: [], rejections: [] })
  })

  it('gives the same object for the same text', () => {
    const before = load(namespace('a'))
    const after = load(`# a remark\n${namespace('a')}`, before)
    assert.equal(after.items[0], before.items[0])
  })

  it('in order that says the same is the same file; one with a mistake, or that had one, is not', () => {
    const [good, more] = [namespace('a'), `${namespace('a')}---\n${namespace('b')}`]
    const file = load(good)
    assert.equal(load(good, file), file)
    assert.notEqual(load(more, file), file)
    const bad = load(`${good}---\n${namespace('b', ', x: 1')}`, file)
    assert.notEqual(bad, file)
    assert.notEqual(load(good, bad), bad)
    assert.deepEqual(load(good, bad), file)
  })

  it('with one object twice takes the first', () => {
    const file = load(`${namespace('a', ', labels: {n: "1"}')}---\n${namespace('a', ', labels: {n: "2"}')}`)
    assert.equal(file.items.length, 1)
    assert.ok(file.items[0]!.kind === 'Namespace' && file.items[0]!.object.labels['n'] === '1')
    assert.match(file.rejections[0]!.message, /occurs twice/)
  })
})
