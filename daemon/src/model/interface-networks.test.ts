import assert from 'node:assert/strict'
import { parseInterfaceNetworks } from './interface-networks.ts'

function read(text: string): string {
  const read = parseInterfaceNetworks(text)
  return read.ok ? read.interfaces.map(({ ifname, network }) => `${ifname}=${network}`).join(' ') : read.message
}

describe('the networks of interfaces', () => {
  it('are a list of network@interface, or the JSON of meta plugins', () => {
    assert.equal(read('blue@eth1'), 'eth1=blue')
    assert.equal(read(' blue@eth1,\n shop/green@net-2 '), 'eth1=blue net-2=shop/green')
    assert.equal(read('default-domain:k8s-shop:green@eth1'), 'eth1=default-domain:k8s-shop:green')
    const json = [
      { name: 'blue', interface: 'eth1' },
      { name: 'green', namespace: 'shop', interface: 'eth2' },
    ]
    assert.equal(read(JSON.stringify(json)), 'eth1=blue eth2=shop/green')
  })

  for (const [text, message] of [
    ['blue', 'has the entry "blue", which names no interface: write blue@eth1'],
    ['blue@eth1,', 'has the entry "", which is empty'],
    ['@eth1', 'has the entry "@eth1", which names no network'],
    ['blue@', 'has the entry "blue@": "" can\'t name an interface'],
    ['blue@eth1 green@eth2', 'has the entry "blue@eth1 green@eth2", which names no network'],
    [
      'blue@averylonginterface',
      'has the entry "blue@averylonginterface": "averylonginterface" can\'t name an interface',
    ],
    ['blue@..', 'has the entry "blue@..": ".." can\'t name an interface'],
    ['blue@eth1,green@eth1', 'names interface eth1 twice'],
    ['[', 'is no JSON: ['],
    ['["blue"]', '[0] is "blue"; wanted {"name", "namespace", "interface"}'],
    ['[{"interface":"eth1"}]', '[0].name names no network'],
    ['[{"name":"blue"}]', '[0].interface is missing; wanted a name such as eth1'],
    ['[{"name":"blue","namespace":7,"interface":"eth1"}]', '[0].namespace is 7; wanted a namespace'],
    [
      '[{"name":"blue","interface":"eth1","ips":["10.1.0.9"]}]',
      '[0].ips is not read; known are name, namespace, interface',
    ],
  ] as const)
    it(`are not ${text}`, () => assert.equal(read(text), message))
})
