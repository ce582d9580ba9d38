import assert from 'node:assert/strict'
import { join } from 'node:path'
import { breachesOf, circlesOf, hasRule, specifiersOf, treeOf } from './layers.ts'

describe('dependency rule', () => {
  const rules = (file: string, ...specifiers: string[]) =>
    breachesOf(file, specifiers.map((specifier) => `import { x } from '${specifier}'`).join('\n')).map(
      (breach) => breach.rule,
    )

  it('sees imports and re-exports of code and types, on one line or several, but no comments', () => {
    const source = `
import a from './a.ts'
import type { B,
  C } from "./b.ts"
export * from './c.ts'
import './d.ts'
const e = await import('./e.ts')
let f: import('./f.ts').F
// import g from './g.ts'
/* import h from './h.ts' */
`
    assert.deepEqual(specifiersOf(source), ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts'])
  })

  it('keeps the model to itself', () => {
    const file = 'daemon/src/model/routes.ts'
    assert.deepEqual(rules(file, './labels.ts', '../model/vrf.ts'), [])
    assert.deepEqual(rules(file, '../maps/routes.ts'), ['model may import suggestion, numbers, address, not maps'])
    assert.deepEqual(rules(file, '@kube-vrouter/linux/errors'), [
      'model may import suggestion, numbers, address, not linux',
    ])
    assert.deepEqual(rules(file, 'pino'), ['model may use no packages, not pino'])
  })

  it('keeps the parts of the daemon from each other', () => {
    for (const part of ['sources', 'dataplane', 'packet', 'introspect', 'port-api']) {
      for (const other of ['sources', 'dataplane', 'packet', 'introspect', 'port-api']) {
        const found = rules(`daemon/src/${part}/deep/a.ts`, `../../${other}/b.ts`)
        assert.equal(found.length, part === other ? 0 : 1, `${part} -> ${other}`)
      }
      assert.deepEqual(rules(`daemon/src/${part}/a.ts`, '../model/b.ts', '../maps/c.ts', '@kube-vrouter/linux/d'), [])
    }
  })

  it('lets maps know linux, and linux nothing of ours', () => {
    assert.deepEqual(rules('daemon/src/maps/open.ts', '@kube-vrouter/linux/bpf/map', './vifs.ts'), [])
    assert.equal(rules('daemon/src/maps/open.ts', '../model/tables.ts').length, 1)
    assert.equal(rules('linux/src/tap.ts', '@kube-vrouter/daemon/maps/open').length, 1)
    assert.equal(rules('linux/src/deep/tap.ts', '../../../daemon/src/model/tables.ts').length, 1)
  })

  it('shows the CNI plugin only the messages of the port API', () => {
    const file = 'cni-plugin/src/add.ts'
    assert.deepEqual(
      rules(file, '@kube-vrouter/daemon/port-api/messages', '@kube-vrouter/linux/errors', 'node:net'),
      [],
    )
    assert.deepEqual(rules(file, '@kube-vrouter/daemon/port-api/server'), [
      'cni-plugin may import linux, address, port-api messages, not port-api',
    ])
  })

  it('lets main.ts compose, and nothing import it', () => {
    assert.deepEqual(rules('daemon/src/main.ts', './dataplane/a.ts', './introspect/b.ts', 'express'), [])
    assert.deepEqual(rules('daemon/src/dataplane/a.ts', '../main.ts'), ['nothing imports a main.ts'])
  })

  it('names file, import and rule', () => {
    const [breach] = breachesOf('daemon/src/model/a.ts', "import { x } from '../maps/b.ts'")
    assert.deepEqual(breach, {
      file: 'daemon/src/model/a.ts',
      specifier: '../maps/b.ts',
      rule: 'model may import suggestion, numbers, address, not maps',
    })
  })

  it('lets any test use doubles and patience, and no other file', () => {
    const imports = ['../../../test/doubles/memory-source.ts', '../../../test/patience.ts']
    assert.deepEqual(rules('daemon/src/ports/ports.test.ts', ...imports), [])
    assert.equal(rules('daemon/src/ports/ports.ts', ...imports).length, 2)
  })

  it('has a rule for every file', () => {
    assert.deepEqual(
      [...treeOf(join(import.meta.dirname, '..')).keys()].filter((file) => !hasRule(file)),
      [],
    )
    assert.equal(hasRule('daemon/src/anything.ts'), false)
    assert.equal(hasRule('daemon/src/new-room/a.ts'), false)
    assert.equal(hasRule('daemon/src/ports/a.ts'), true)
  })
})

describe('circles', () => {
  it('are found once each, over several files and folders, with imports of types too', () => {
    const tree = new Map([
      ['daemon/src/a/one.ts', "import { two } from '../b/two.ts'"],
      ['daemon/src/b/two.ts', "import type { Three } from './three.ts'"],
      ['daemon/src/b/three.ts', "import { one } from '@kube-vrouter/daemon/a/one'"],
      ['daemon/src/c.ts', "import { one } from './a/one.ts'"],
      ['daemon/src/d.ts', "import { e } from './e.ts'"],
      ['daemon/src/e.ts', "export * from './d.ts'"],
    ])
    assert.deepEqual(circlesOf(tree), [
      ['daemon/src/a/one.ts', 'daemon/src/b/three.ts', 'daemon/src/b/two.ts'],
      ['daemon/src/d.ts', 'daemon/src/e.ts'],
    ])
  })

  it('are nowhere in this tree', () => {
    assert.deepEqual(circlesOf(treeOf(join(import.meta.dirname, '..'))), [])
  })
})
