import assert from 'node:assert/strict'
import { Ids } from './ids.ts'
import { NexthopTable } from './nexthops.ts'
import type { Nexthop } from './tables.ts'

describe('composite nexthops', () => {
  const limits = { vrf: 10, nexthop: 100, label: 100, vif: 10, bridge: 10, service: 10 }
  const composite = (kind: 'l2-multicast' | 'l2-interface', ...members: number[]): Nexthop => ({
    ...{ type: 'composite', kind, vrf: 2 },
    members: members.map((nexthop) => ({ nexthop })),
  })

  for (const order of ['defined after its lists', 'defined before its lists'] as const) {
    it(`refer to their members, and those to theirs; one ${order}`, () => {
      const table = new NexthopTable(new Ids({ limits }))
      table.begin()
      const all = () => table.define('all', composite('l2-multicast', 10, 11), 0)!
      const first = order === 'defined before its lists' ? all() : undefined
      for (const list of ['a', 'b']) table.define(list, composite('l2-interface', 20), 0)
      table.define('unused', composite('l2-interface', 30), 0)
      const top = first ?? all()
      // As compute.ts counts: whoever is named may name others.
      const lists = [
        table.define('a', composite('l2-interface', 20), 0)!,
        table.define('b', composite('l2-interface', 20), 0)!,
      ]
      table.define('all', composite('l2-multicast', ...lists), 0)
      const references = new Map([[top, 1]])
      for (const members of table.composites(references))
        for (const { nexthop } of members) references.set(nexthop, (references.get(nexthop) ?? 0) + 1)
      assert.deepEqual(references, new Map([[top, 1], ...lists.map((id) => [id, 1] as const), [20, 2]]))
    })
  }
})
