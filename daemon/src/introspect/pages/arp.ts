/** ShowArpCache (introspect reference 2.15): underlay neighbours whose MAC the kernel knows. */
import { FABRIC_VRF } from '../../model/names.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { field, struct } from '../wire.ts'

const arpSandeshData = struct('ArpSandeshData', [
  field(1, 'ip', 'string'),
  field(2, 'vrf', 'string'),
  field(3, 'mac', 'string'),
  field(4, 'state', 'string'),
  field(5, 'interface_name', 'string'),
])

const response = listResponse('ArpCacheResp', 'arp_list', arpSandeshData)

export const showArpCache = request('ShowArpCache', {}, (_, context) => {
  const { neighbours, underlay } = context.facts()
  return [
    response(
      [...neighbours].map(([ip, mac]) => ({
        ip,
        vrf: FABRIC_VRF,
        mac,
        state: 'active',
        interface_name: underlay.name,
      })),
    ),
  ]
})
