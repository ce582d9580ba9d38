import assert from 'node:assert/strict'
import { contextOfFixture, ports } from '../../../../test/doubles/small-cluster.ts'
import { vmTable } from './vm.ts'

describe('the list of VMs', () => {
  it('has each pod once, however many interfaces it has, with a uid and without', () => {
    const [first] = ports
    const interfaces = (name: string, uid: string) =>
      ['eth0', 'eth1'].map((ifname) => ({ ...first!, uuid: `${name}-${ifname}`, ifname, pod: { name, uid } }))
    const all = [
      ...interfaces('a', 'c0ffee00-52f0-41ef-9a01-525400a1b2c3'),
      ...interfaces('b', ''),
      ...interfaces('c', ''),
    ]
    const { size } = vmTable(contextOfFixture({ ports: () => all }))
    assert.equal(size, 3)
  })
})
