import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSettings } from '@kube-vrouter/linux/ethtool'
import { createNamed, deleteNamed, withNamespace } from '@kube-vrouter/linux/namespace'
import { describeKernel, randomName } from './lab.ts'

describeKernel('link settings', () => {
  it('are a veth’s 10 Gb/s, full duplex, and nothing where a device says nothing or is not there', () => {
    const name = randomName()
    using namespace = createNamed(name)
    try {
      execFileSync('ip', ['-n', name, 'link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right'])
      execFileSync('ip', ['-n', name, 'link', 'set', 'right', 'up'])
      execFileSync('ip', ['-n', name, 'link', 'set', 'left', 'up'])
      withNamespace(namespace, () => {
        assert.deepEqual(linkSettings('left'), { speed: 10000, duplex: 1 })
        assert.deepEqual(linkSettings('lo'), {})
        assert.deepEqual(linkSettings('no-such-device-here'), {})
      })
    } finally {
      deleteNamed(name)
    }
  })
})
