import assert from 'node:assert/strict'
import type { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { Pace } from '../ground/pace.ts'
import { createLog } from '../log.ts'
import type { Vif } from '../model/tables.ts'
import { Attachments, type LinksUsed } from './attachments.ts'
import { type Attachment, linkName } from './links.ts'

describe('Attachments', () => {
  /** Links whose every look waits for the kernel's lock. */
  class SlowLinks implements LinksUsed {
    readonly calls: string[] = []
    readonly names: string[] = []
    lockMs = 0
    nowMs = 0
    attach(attachment: Attachment) {
      this.nowMs += this.lockMs
      this.calls.push(linkName(attachment))
      return 'kept' as const
    }
    attachQuickly(attachment: Attachment) {
      this.calls.push(`new ${linkName(attachment)}`)
      return 'attached' as const
    }
    detach() {}
    ifindexOf() {
      return undefined
    }
  }

  const vif = (id: number): Vif => ({
    ...{ id, type: 'host', name: `v${id}`, ifindex: 100 + id, vrf: 0, flowNexthop: 0 },
    ...{ mtu: 1500, flags: 0, maxFlows: 0, mac: '02:00:00:00:00:01' },
  })
  const vifs = Array.from({ length: 10 }, (_, id) => vif(id))
  const names = (...ids: number[]) => ids.map((id) => `vhost-${id}`)
  const route = { links: () => [], link: () => undefined } as unknown as RouteSocket

  async function adopted() {
    const links = new SlowLinks()
    const attachments = new Attachments(route, links, createLog('error'), true, () => links.nowMs)
    await attachments.attach(vifs, new Pace(), { isFirst: true })
    assert.deepEqual(links.calls, names(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
    links.calls.length = 0
    links.lockMs = 20
    return { links, attachments }
  }

  it('looks at those that are there only when asked, as many at a time as the time allows, and at all of them in the end', async () => {
    const { links, attachments } = await adopted()
    await attachments.attach(vifs, new Pace(), { checkMs: 30 })
    assert.deepEqual(links.calls, [])
    attachments.checkAll()
    assert.equal(attachments.unchecked, 10)
    await attachments.attach(vifs, new Pace(), { checkMs: 30 })
    assert.deepEqual(links.calls, names(0, 1))
    assert.equal(attachments.unchecked, 8)
    for (let i = 0; i < 5; i++) await attachments.attach(vifs, new Pace(), { checkMs: 30 })
    assert.deepEqual(links.calls, names(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
    assert.equal(attachments.unchecked, 0)
  })

  it('puts programs on new devices before it looks at others', async () => {
    const { links, attachments } = await adopted()
    attachments.checkAll()
    await attachments.attach([...vifs, vif(10)], new Pace(), { checkMs: 10 })
    assert.deepEqual(links.calls, names(10, 0))
  })

  it('looks at none that is wanted no more', async () => {
    const { links, attachments } = await adopted()
    attachments.checkAll()
    await attachments.attach(vifs.slice(8), new Pace(), { checkMs: 100 })
    assert.deepEqual(links.calls, names(8, 9))
    assert.equal(attachments.unchecked, 0)
  })
})
