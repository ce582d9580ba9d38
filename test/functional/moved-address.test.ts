/**
 * An address that goes to another pod, on this node or another one: its neighbours reach the new owner at once. They are told, and what
 * they still send to the MAC of a pod that is gone is routed, with a dead daemon, too.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROUTER_MAC } from '@kube-vrouter/daemon/model/names'
import { labPaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const ADDRESSES = ['10.1.200.7', 'fd01::c807'] as const

describe('an address that moves', function () {
  this.timeout(120_000)
  let lab: Lab
  let neighbour: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(2)
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    neighbour = lab.addPod('neighbour', 1, 'red')
  })
  after(() => lab?.close())

  const addOwner = (name: string, node: number) =>
    lab.addPod(name, node, 'red', '--annotation', `vrouter.dev/addresses=${ADDRESSES.join(',')}`)
  /** Node 1 keeps a block for a while that nobody uses any more: here another node gets it at once. */
  const freeBlock = (): void => {
    const folder = join(labPaths(lab.name).store, 'published')
    for (const name of readdirSync(folder).filter((file) => file.startsWith('IPAMBlock-')))
      if (/10\.1\.200\.|fd01::c8/.test(readFileSync(join(folder, name), 'utf8'))) rmSync(join(folder, name))
  }
  const inNeighbour = (...command: string[]): string => {
    const { status, stdout, stderr } = lab.inPod(neighbour, command)
    assert.equal(status, 0, `${command.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }
  const macOf = (pod: TestPod) => /link\/ether (\S+)/.exec(lab.inPod(pod, ['ip', 'link', 'show', 'eth0']).stdout)![1]!
  /** What the neighbour has in its table; it sends nothing meanwhile. */
  const known = () =>
    ADDRESSES.map((address) => /lladdr (\S+)/.exec(inNeighbour('ip', 'neigh', 'show', address))?.[1] ?? 'nothing')
  const ping = (address: string) => lab.ping(neighbour, address, '-c', '1', '-W', '2').status === 0
  const reach = () => ADDRESSES.map((address) => ping(address))

  it('to a pod of the same node: neighbours are told, before they send anything', async () => {
    const first = addOwner('first', 1)
    await eventually(() => reach().every(Boolean))
    assert.deepEqual(known(), [macOf(first), macOf(first)])
    lab.run(['pod', 'del', 'first'])
    const second = addOwner('second', 1)
    await eventually(() => {
      assert.deepEqual(known(), [macOf(second), macOf(second)])
      return true
    })
    assert.deepEqual(reach(), [true, true])
  })

  it('to a pod of another node, and back', async () => {
    lab.run(['pod', 'del', 'second'])
    freeBlock()
    addOwner('third', 2)
    await eventually(() => {
      assert.deepEqual(known(), [ROUTER_MAC, ROUTER_MAC])
      return true
    }, 20_000)
    assert.deepEqual(reach(), [true, true])
    lab.run(['pod', 'del', 'third'])
    freeBlock()
    addOwner('fourth', 1)
    assert.deepEqual(reach(), [true, true])
  })

  it('reaches its owner by the MAC of one that is gone, on this node and on another, with a dead daemon', async () => {
    for (const address of ADDRESSES)
      inNeighbour('ip', 'neigh', 'replace', address, 'lladdr', '02:99:00:00:00:01', 'dev', 'eth0', 'nud', 'permanent')
    assert.deepEqual(reach(), [true, true])
    lab.run(['pod', 'del', 'fourth'])
    freeBlock()
    addOwner('fifth', 2)
    await eventually(() => reach().every(Boolean), 20_000)
    lab.run(['daemon', '1', 'kill'])
    assert.deepEqual(reach(), [true, true])
    assert.deepEqual(known(), ['02:99:00:00:00:01', '02:99:00:00:00:01'])
    lab.run(['daemon', '1', 'start'])
    assert.deepEqual(reach(), [true, true])
  })
})
