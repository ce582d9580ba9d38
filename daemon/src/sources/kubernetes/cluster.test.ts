import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rejection } from '../../model/objects.ts'
import { Cluster } from './cluster.ts'

describe('The state of a cluster', () => {
  it('is put together once, where somebody needs it before its time', async () => {
    const cluster = new Cluster({
      cluster: 'k8s',
      defaultSubnets: [],
      node: 'node-1',
      accepted: new Map(),
      onChange: () => {},
    })
    try {
      cluster.open()
      let read = 0
      const rejections: Rejection[] = []
      rejections[Symbol.iterator] = () => {
        read++
        return Array.prototype[Symbol.iterator].call(rejections)
      }
      cluster.setExtra([{ object: 'x', message: 'y' }])
      cluster.setExtra(rejections)
      read = 0
      cluster.settle()
      assert.equal(read, 1)
      await sleep(50) // ten times as long as changes are gathered
      assert.equal(read, 1)
    } finally {
      cluster[Symbol.dispose]()
    }
  })
})
