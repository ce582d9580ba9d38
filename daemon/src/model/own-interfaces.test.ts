import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { VirtualMachineInterface } from './objects.ts'
import { OwnInterfaces } from './own-interfaces.ts'
import type { ChangeTold } from './remote-pods.ts'

type Interfaces = Map<string, VirtualMachineInterface>

/** Tells what is different from one earlier state. */
class Told extends Map<string, VirtualMachineInterface> implements ChangeTold<string> {
  readonly #earlier: Interfaces | undefined
  readonly #changed: readonly string[]

  constructor(now: Interfaces, earlier: Interfaces | undefined, changed: readonly string[]) {
    super(now)
    this.#earlier = earlier
    this.#changed = changed
  }

  changedSince(earlier: unknown): readonly string[] | undefined {
    return earlier !== undefined && earlier === this.#earlier ? this.#changed : undefined
  }
}

function one(uuid: string, node: string): VirtualMachineInterface {
  const object = { name: uuid, namespace: 'default', uuid, vn: 'red', node, pod: { name: uuid, uid: uuid } }
  return { ...object, containerId: uuid, ifname: 'eth0', mac: '02:00:00:00:00:01', addresses: [], label: 20 }
}

describe('interfaces of this node', () => {
  it('are found among all, whether or not it is told what changed', () => {
    const step = fc.record({
      uuid: fc.constantFrom('a', 'b', 'c'),
      node: fc.constantFrom('here', 'there', undefined),
      isTold: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const own = new OwnInterfaces('here')
        let before: Interfaces | undefined
        for (const { uuid, node, isTold } of steps) {
          const next: Interfaces = new Map(before)
          if (node === undefined) next.delete(uuid)
          else next.set(uuid, one(uuid, node))
          const source = isTold ? new Told(next, before, [uuid]) : next
          const expected = [...next.values()].filter((object) => object.node === 'here')
          assert.deepEqual(new Set(own.of(source)), new Set(expected))
          before = source
        }
      }),
    )
  })

  it('are looked for among all once only, where it is told what changed', () => {
    const own = new OwnInterfaces('here')
    const first = new Told(new Map([['a', one('a', 'here')]]), undefined, [])
    assert.equal([...own.of(first)].length, 1)
    const second = new Told(first, first, ['b'])
    second[Symbol.iterator] = () => assert.fail('all are looked at')
    assert.equal([...own.of(second)].length, 1)
  })
})
