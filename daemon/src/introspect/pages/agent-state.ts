/** AgentInitStateReq and VrouterInfoReq (introspect reference 2.10): single messages. */
import { request } from '../request.ts'
import { field, list, message, struct } from '../wire.ts'
import { vnIpamData } from './network.ts'

const agentInitState = struct('AgentInitState', [field(1, 'state', 'string')])

export const agentInitStateReq = request('AgentInitStateReq', {}, (_, context) => [
  message(agentInitState, { state: context.health().ready ? 'InitDone' : 'InProgress' }),
])

const vrouterInfoResp = struct('VrouterInfoResp', [
  field(1, 'name', 'string'),
  field(2, 'display_name', 'string'),
  field(3, 'subnet_list', list(vnIpamData)),
])

export const vrouterInfoReq = request('VrouterInfoReq', {}, (_, context) => {
  const { node } = context.facts()
  return [message(vrouterInfoResp, { name: node, display_name: node })]
})
