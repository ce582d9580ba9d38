import assert from 'node:assert/strict'
import { builtInNetworks } from './built-in-networks.ts'

describe('built-in networks', () => {
  it('have SNAT as their namespace says, in each spelling', () => {
    const isolated = { 'vrouter.dev/isolation': 'true' }
    const snatOf = (name: string, annotations: Readonly<Record<string, string>>) => {
      const namespace = { name, labels: {}, annotations: { ...isolated, ...annotations } }
      return builtInNetworks('k8s', ['10.244.0.0/16'], [namespace]).find((vn) => vn.namespace === name)!.fabricSnat
    }
    for (const name of ['dev', 'default']) {
      assert.equal(snatOf(name, {}), undefined)
      assert.equal(snatOf(name, { 'vrouter.dev/snat': 'false' }), false)
      assert.equal(snatOf(name, { 'opencontrail.org/ip_fabric_snat': 'True' }), true)
      assert.equal(snatOf(name, { 'vrouter.dev/snat': 'false', 'opencontrail.org/ip_fabric_snat': 'true' }), false)
      assert.equal(snatOf(name, { 'core.juniper.net/forwarding-mode': 'fabric-snat' }), true)
      assert.equal(snatOf(name, { 'core.juniper.net/forwarding-mode': 'ip-fabric' }), undefined)
      // What can't be read was meant to close something: closed it is.
      assert.equal(snatOf(name, { 'vrouter.dev/snat': 'no' }), false)
      assert.equal(snatOf(name, { 'vrouter.dev/snat': '', 'opencontrail.org/ip_fabric_snat': 'true' }), false)
      assert.equal(snatOf(name, { 'vrouter.dev/snta': 'false' }), false)
      assert.equal(snatOf(name, { 'vrouter.dev/snta': 'true' }), undefined)
    }
  })
})
