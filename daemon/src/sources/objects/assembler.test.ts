/** A series of states: each is what its files say, and costs what is different in them. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { sliced, telling } from '../../../../test/doubles/counted-work.ts'
import { loadText } from '../directory/files.ts'
import { Assembler, assemble, EMPTY_STATE } from './assemble.ts'
import type { LoadedFile } from './collected.ts'
import type { Item } from './decode.ts'

const options = { cluster: 'k8s', defaultSubnets: ['10.244.0.0/16'] }
const api = 'apiVersion: vrouter.dev/v1alpha1'
const RED = 'default-domain:k8s-t0:net'

const namespace = (name: string, isolated = false) =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}${isolated ? ', annotations: {opencontrail.org/isolation: "true"}' : ''}}}\n`
const network = (at: number, cidr = '10.64.0.0/24') =>
  `{${api}, kind: VirtualNetwork, metadata: {name: net, namespace: t${at}}, spec: {subnets: [{cidr: ${cidr}}]}}\n`
const block = (cidr: string, node: string) =>
  `{${api}, kind: IPAMBlock, metadata: {name: b-${node}}, spec: {network: "${RED}", cidr: "${cidr}", node: ${node}}}\n`
const router = (name: string, label: number) =>
  `{${api}, kind: VirtualRouter, metadata: {name: ${name}}, spec: {address: 192.0.2.7, encapsulations: [MPLSoUDP], vrfLabels: {"${RED}": ${label}}, vhostLabel: 16}}\n`
const pod = (name: string, label: number) =>
  `{${api}, kind: VirtualMachineInterface, metadata: {name: ${name}, namespace: t0}, spec: {uuid: 00000000-0000-4000-8000-00000000000${name.length}, ` +
  `network: "${RED}", node: n1, pod: {name: ${name}, uid: u}, containerId: c, interface: eth0, mac: "02:00:00:00:00:01", addresses: [10.64.0.5], label: ${label}}}\n`

const load = (path: string, ...documents: string[]): LoadedFile => loadText(path, documents.join('---\n'), 'k8s')

describe('states of a folder, one after the other', () => {
  it('are those that their files make', () => {
    const contents = {
      'a.yaml': [namespace('t0'), namespace('t0', true), namespace('t1', true)],
      'b.yaml': [network(0), network(0, '10.65.0.0/24'), network(1), 'kind: Nothing'],
      'c.yaml': [network(0), network(1, '10.66.0.0/24')],
      'd.yaml': [block('10.64.0.0/26', 'n1'), block('10.64.0.64/26', 'n1')],
      'e.yaml': [block('10.64.0.0/25', 'n2')],
      'f.yaml': [router('n1', 20), router('n1', 21)],
      'g.yaml': [router('n2', 20)],
      'h.yaml': [pod('a', 30), pod('a', 31), pod('bb', 30)],
      'i.yaml': [pod('x', 32)],
    }
    const paths = Object.keys(contents) as (keyof typeof contents)[]
    const step = fc.record({ path: fc.constantFrom(...paths), at: fc.option(fc.nat(3), { nil: undefined }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 16 }), (steps) => {
        const assembler = new Assembler(options)
        const files = new Map<string, LoadedFile>()
        let [before, naive] = [EMPTY_STATE, EMPTY_STATE]
        for (const { path, at } of steps) {
          const text = at === undefined ? undefined : contents[path][at]
          if (text === undefined) files.delete(path)
          else files.set(path, load(path, text))
          const now = assembler.assemble([...files.values()], before)
          naive = assemble([...files.values()], options, naive)
          assert.deepEqual(now, naive)
          const again = assembler.assemble([...files.values()], now)
          for (const key of Object.keys(now) as (keyof typeof now)[]) assert.equal(again[key], now[key], key)
          before = now
        }
      }),
    )
  })

  it('cost as much for an interface or a router, however many networks there are', () => {
    const costs = (networks: number) => {
      const numbers = Array.from({ length: networks }, (_, at) => at)
      const loaded = load('all.yaml', ...numbers.flatMap((at) => [namespace(`t${at}`), network(at)]))
      const items = loaded.items.map((item) => ({ kind: item.kind, object: telling(item.object) }) as Item)
      const manifests: LoadedFile = { ...loaded, items }
      const assembler = new Assembler(options)
      let state = EMPTY_STATE
      const settle = (...files: readonly LoadedFile[]) => {
        const { value, total } = sliced(
          // biome-ignore lint/correctness/useYield: all of it is one piece
          (function* () {
            return assembler.assemble([manifests, ...files], state)
          })(),
        )
        state = value
        return total
      }
      const [first, second] = [load('r.yaml', router('n1', 20)), load('r.yaml', router('n1', 21))]
      const all = settle(first)
      settle(first)
      const one = load('p.yaml', pod('a', 30))
      return { all, parts: [settle(first, one), settle(first), settle(second), settle(second, one)] }
    }
    const [few, many] = [costs(5), costs(200)]
    assert.ok(many.all > 10 * few.all, 'what is counted is counted')
    assert.deepEqual(many.parts, few.parts)
  })
})
