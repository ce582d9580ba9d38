/**
 * Every page of the fixture's node, byte for byte. `GOLDEN=write mocha daemon/src/introspect/golden.test.ts` writes the files
 * anew; look at the difference then.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { contextOfFixture } from '../../../test/doubles/small-cluster.ts'
import { parseArguments } from './arguments.ts'
import { moduleToXml } from './modules.ts'
import { argumentsOf, requestOf } from './requests.ts'
import { documentToXml } from './wire.ts'

const folder = join(import.meta.dirname, 'testdata')

const PAGES: Readonly<Record<string, string>> = {
  'vrf-list': 'VrfListReq',
  'vrf-list-blue': 'VrfListReq?name=blue',
  'itf-all': 'ItfReq',
  'itf-one': 'ItfReq?name=tap4b6d&type=vmi',
  'itf-none': 'ItfReq?uuid=ffffffff-0000-0000-0000-000000000000',
  'vn-list': 'VnListReq',
  'vm-list': 'VmListReq',
  'inet4-fabric': 'Inet4UcRouteReq?vrf_index=0',
  'inet4-red': 'Inet4UcRouteReq?x=2',
  'inet4-exact': 'Inet4UcRouteReq?vrf_index=2&src_ip=10.47.255.10&prefix_len=32',
  'inet6-red': 'Inet6UcRouteReq?x=2',
  'inet4-mpls': 'Inet4MplsUcRouteReq?x=2',
  multicast: 'Inet4McRouteReq?x=2',
  layer2: 'Layer2RouteReq?x=2',
  bridge: 'BridgeRouteReq?x=3&mac=02:5c',
  evpn: 'EvpnRouteReq?x=2',
  'unknown-vrf': 'Inet4UcRouteReq?x=99',
  'nh-list': 'NhListReq',
  'nh-tunnel': 'NhListReq?type=tunnel&policy_enabled=no',
  'nh-unresolved': 'UnresolvedNH',
  'route-unresolved': 'UnresolvedRoute',
  'mpls-list': 'MplsReq',
  'page-of-vm': 'PageReq?x=begin:1,end:1,table:db.vm.0,',
  'agent-init-state': 'AgentInitStateReq',
  'vrouter-info': 'VrouterInfoReq',
  'arp-cache': 'ShowArpCache',
  'all-info': 'ShowAllInfo',
  'agent-stats': 'AgentStatsReq',
  'sg-list': 'SgListReq?sg_uuid=5a5a0001-52f0-11ef-9a01-525400a1b2c3',
  'k-interface-dump': 'KInterfaceReq?if_id=',
  'k-interface-get': 'KInterfaceReq?if_id=3',
  'k-interface-unknown': 'KInterfaceReq?if_id=77',
  'k-route-dump': 'KRouteReq?vrf_id=2',
  'k-route-inet6': 'KRouteReq?vrf_id=2&family=inet6',
  'k-route-bridge': 'KRouteReq?vrf_id=2&family=bridge',
  'k-route-family': 'KRouteReq?vrf_id=2&family=mpls',
  'k-route-get': 'KRouteGetReq?vrf_id=2&prefix=10.47.255.70&prefix_len=32',
  'k-nh-dump': 'KNHReq',
  'k-nh-get': 'KNHReq?x=10',
  'k-mpls-dump': 'KMplsReq',
  'k-vrf-dump': 'KVrfReq',
  'k-vrf-stats': 'KVrfStatsReq?vrf_index=2',
  'k-drop-stats': 'KDropStatsReq',
  'service-list': 'ServiceListReq',
  'service-one': 'ServiceListReq?name=web&address=198.51.100.7',
  'load-balancer-list': 'LoadBalancerListReq',
  'load-balancer-one': 'LoadBalancerListReq?address=2001:db8::7',
  'k-service-dump': 'KServiceReq',
  'k-service-get': 'KServiceReq?service_id=5',
  'k-flow-dump': 'KFlowReq',
  'k-flow-get': 'KFlowReq?flow_idx=7',
  'flow-records': 'FetchAllFlowRecords',
  'flow-record': 'FetchFlowRecord?nh=10&sip=10.47.255.10&dip=10.47.255.70&src_port=41002&dst_port=80&protocol=6',
  'flow-record-unknown': 'FetchFlowRecord?nh=10&sip=10.47.255.10',
  'flow-table-info': 'SandeshFlowTableInfoRequest',
}

async function answer(page: string): Promise<string> {
  const [name, query = ''] = page.split('?') as [string, string?]
  const request = requestOf(name)!
  const { pieces } = await documentToXml(await request.answer(parseArguments(request.args, query), contextOfFixture()))
  return (await Array.fromAsync(pieces)).join('')
}

function check(file: string, xml: string): void {
  const path = join(folder, `${file}.xml`)
  if (process.env['GOLDEN'] === 'write') writeFileSync(path, xml)
  const golden = readFileSync(path, 'utf8')
  // Element by element first, so that a difference can be read.
  assert.deepEqual(xml.split('><'), golden.split('><'))
  assert.ok(xml === golden)
}

describe('introspect pages, byte for byte', () => {
  for (const [file, page] of Object.entries(PAGES)) {
    it(page, async () => check(file, await answer(page)))
  }
  it('kstate.xml', () => check('module-kstate', moduleToXml('kstate', argumentsOf)))
  it('kube_services.xml', () => check('module-kube-services', moduleToXml('kube_services', argumentsOf)))
  it('agent.xml', () => check('module-agent', moduleToXml('agent', argumentsOf)))
})
