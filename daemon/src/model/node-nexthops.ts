/** Nexthops that every node has, whatever it is for. */
import { VIF_ID_AGENT, VIF_ID_FABRIC, VIF_ID_VHOST } from '../maps/constants.ts'
import * as keys from './keys.ts'
import { AGENT_MAC, ROUTER_MAC } from './names.ts'
import type { NexthopTable } from './nexthops.ts'
import { FABRIC_VRF_ID } from './vrfs.ts'

export interface NodeNexthops {
  readonly receive: number
  readonly receiveBroadcast: number
  readonly resolve: number
  readonly agent: number
  readonly l2Receive: number
}

/** These are the first of a fresh table: no limit is so low that they don't fit. */
export function nodeNexthops(nexthops: NexthopTable, now: number): NodeNexthops {
  const receive = { type: 'receive', vif: VIF_ID_VHOST, vrf: FABRIC_VRF_ID } as const
  const keep = (...[key, nexthop]: [string, Parameters<NexthopTable['keep']>[1]]) => {
    const id = nexthops.keep(key, nexthop, now)
    if (id === undefined) throw new RangeError(`no nexthop number is left for ${key}`)
    return id
  }
  return {
    receive: keep(keys.RECEIVE_POLICY, { ...receive, policy: true }),
    receiveBroadcast: keep(keys.RECEIVE, { ...receive, policy: false }),
    resolve: keep(keys.RESOLVE, { type: 'resolve', vif: VIF_ID_FABRIC }),
    agent: keep(keys.AGENT, {
      type: 'encap',
      family: 'inet',
      vif: VIF_ID_AGENT,
      vrf: FABRIC_VRF_ID,
      dstMac: AGENT_MAC,
      srcMac: ROUTER_MAC,
      policy: true,
      role: 'interface',
    }),
    l2Receive: keep(keys.L2_RECEIVE, { type: 'l2-receive' }),
  }
}
