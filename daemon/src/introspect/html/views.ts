/**
 * Which columns the table of a struct has. Everything else of a row is behind its opener. Structs without a view show the
 * fields that say something.
 */
import type { AnyValue } from '../wire.ts'
import { badge, objectLink } from './cells.ts'
import {
  bytes,
  type Column,
  count,
  endpoint,
  label,
  linked,
  listOf,
  mono,
  numberOf,
  plain,
  protocolName,
  textOf,
  vn,
  vnName,
  vrf,
} from './columns.ts'
import { byteCount, grouped, type Html, html } from './markup.ts'
import { SERVICE_VIEWS } from './service-views.ts'

/** `Active` or why not. */
function activity(text: string): Html {
  return text.includes('Inactive') ? badge(text, 'bad') : badge(text, 'good')
}

/** A nexthop in a few words, with a way to its page. */
function nexthop(nh: AnyValue): Html {
  const type = textOf(nh, 'type')
  if (type === '') return html`<span class="soft">through another route</span>`
  const id = html`<a href="/Snh_NhListReq?nh_index=${numberOf(nh, 'nh_index')}">#${numberOf(nh, 'nh_index')}</a>`
  const where = textOf(nh, 'dip')
    ? html`to <span class="mono">${textOf(nh, 'dip')}</span>`
    : nh['itf']
      ? html`on ${objectLink('ItfReq', textOf(nh, 'itf'))}`
      : nh['vrf']
        ? html`in ${objectLink('VrfListReq', textOf(nh, 'vrf'))}`
        : html``
  const invalid = textOf(nh, 'valid') === 'false' ? badge('not resolved', 'bad') : undefined
  return html`${id} ${type} ${where} ${invalid}`
}

const best = (row: AnyValue) => listOf(row, 'path_list')[0] ?? {}

const pathColumns: readonly Column[] = [
  { title: 'Nexthop', cell: (row) => nexthop((best(row)['nh'] ?? {}) as AnyValue) },
  {
    title: 'Label',
    isNumber: true,
    cell: (row) => (numberOf(best(row), 'label') > 0 ? textOf(best(row), 'label') : ''),
  },
  { title: 'Tunnel', cell: (row) => textOf((best(row)['nh'] ?? {}) as AnyValue, 'tunnel_type') },
  {
    title: 'From',
    cell: (row) =>
      html`${listOf(row, 'path_list').map((path, index) => html`${index === 0 ? '' : ', '}${textOf(path, 'peer')}`)}`,
  },
  {
    title: 'Preference',
    isNumber: true,
    cell: (row) => textOf((best(row)['path_preference_data'] ?? {}) as AnyValue, 'preference'),
  },
]

const endpoints = (title: string, address: string, port: string): Column => ({
  title,
  cell: (row) => html`<span class="mono">${endpoint(textOf(row, address), numberOf(row, port))}</span>`,
})

const byte2 = (row: AnyValue, names: readonly [packets: string, bytes: string]) =>
  html`${grouped((row[names[0]] ?? 0) as bigint)}<span class="under">${byteCount((row[names[1]] ?? 0) as bigint)}</span>`

const TABLES_OF_VRF: readonly (readonly [string, string])[] = [
  ['IPv4', 'Inet4UcRouteReq'],
  ['IPv6', 'Inet6UcRouteReq'],
  ['bridge', 'BridgeRouteReq'],
  ['EVPN', 'EvpnRouteReq'],
  ['multicast', 'Inet4McRouteReq'],
  ['kernel', 'KRouteReq'],
]

/** By struct name. */
export const VIEWS: Readonly<Record<string, readonly Column[]>> = {
  ...SERVICE_VIEWS,
  VrfSandeshData: [
    { title: 'Id', isNumber: true, cell: (row) => textOf(row, 'ucindex') },
    {
      title: 'VRF',
      cell: (row) =>
        html`${vnName(textOf(row, 'name'), 'VrfListReq')}<span class="under mono">${textOf(row, 'name')}</span>`,
    },
    label('table_label'),
    mono('RD', 'RD'),
    {
      title: 'Tables',
      cell: (row) =>
        html`${TABLES_OF_VRF.map(
          ([name, request], index) =>
            html`${index === 0 ? '' : ' · '}<a href="/Snh_${request}?x=${textOf(row, 'ucindex')}">${name}</a>`,
        )}`,
    },
    { title: 'Forwards in', cell: (row) => vnName(textOf(row, 'forwarding_vrf'), 'VrfListReq') },
  ],
  ItfSandeshData: [
    {
      title: 'Id',
      isNumber: true,
      cell: (row) => html`<a href="/Snh_KInterfaceReq?x=${textOf(row, 'index')}">${textOf(row, 'index')}</a>`,
    },
    {
      title: 'Interface',
      cell: (row) =>
        html`<a class="mono" href="/Snh_ItfReq?name=${encodeURIComponent(textOf(row, 'name'))}">${textOf(row, 'name')}</a><span class="under">${textOf(row, 'vm_name').split('__').slice(1).join(' / ') || textOf(row, 'type')}</span>`,
    },
    { title: 'State', cell: (row) => activity(textOf(row, 'active')) },
    vn('vn_name'),
    {
      title: 'Addresses',
      cell: (row) =>
        html`<span class="mono">${[textOf(row, 'ip_addr'), textOf(row, 'ip6_addr')].filter((address) => !['', '::', '--NA--', '0.0.0.0'].includes(address)).map((address) => html`${address}<br>`)}</span>`,
    },
    mono('MAC', 'mac_addr'),
    label('label'),
    {
      title: 'Nexthop',
      isNumber: true,
      cell: (row) =>
        html`<a href="/Snh_NhListReq?nh_index=${textOf(row, 'flow_key_idx')}">${numberOf(row, 'flow_key_idx') > 0 ? `#${textOf(row, 'flow_key_idx')}` : ''}</a>`,
    },
    { title: 'Policy', cell: (row) => textOf(row, 'policy') },
    { title: 'Device', isNumber: true, cell: (row) => textOf(row, 'os_ifindex') },
  ],
  VnSandeshData: [
    {
      title: 'Network',
      cell: (row) => html`${vnName(textOf(row, 'name'))}<span class="under mono">${textOf(row, 'name')}</span>`,
    },
    {
      title: 'Subnets',
      cell: (row) =>
        html`${listOf(row, 'ipam_data').map((ipam) => html`<span class="mono">${textOf(ipam, 'ip_prefix')}/${textOf(ipam, 'prefix_len')}</span> <span class="soft">gateway ${textOf(ipam, 'gateway')}</span><br>`)}`,
    },
    vrf('vrf_name'),
    mono('Uuid', 'uuid'),
  ],
  VmSandeshData: [mono('Uuid', 'uuid')],
  RouteUcSandeshData: [
    {
      title: 'Prefix',
      cell: (row) => html`<span class="mono">${textOf(row, 'src_ip')}/${textOf(row, 'src_plen')}</span>`,
    },
    {
      title: '',
      cell: (row) => [
        row['ipam_subnet_route'] === true ? badge('subnet') : undefined,
        row['proxy_arp'] === true ? badge('answers ARP') : undefined,
      ],
    },
    ...pathColumns,
    vrf('src_vrf'),
  ],
  RouteL2SandeshData: [mono('MAC', 'mac'), ...pathColumns, vrf('src_vrf')],
  RouteEvpnSandeshData: [mono('Route', 'mac'), ...pathColumns],
  NhSandeshData: [
    {
      title: 'Id',
      isNumber: true,
      cell: (row) => html`<a href="/Snh_KNHReq?x=${textOf(row, 'nh_index')}">${textOf(row, 'nh_index')}</a>`,
    },
    plain('Type', 'type'),
    {
      title: 'State',
      cell: (row) => (textOf(row, 'valid') === 'true' ? badge('valid', 'good') : badge('not resolved', 'bad')),
    },
    linked('Interface', 'itf', 'ItfReq'),
    {
      title: 'Tunnel or neighbour',
      cell: (row) =>
        html`<span class="mono">${textOf(row, 'dip') ? `${textOf(row, 'sip')} → ${textOf(row, 'dip')}` : textOf(row, 'sip')}</span><span class="under">${textOf(row, 'tunnel_type')}</span>`,
    },
    {
      title: 'MAC',
      cell: (row) => html`<span class="mono">${((row['mac'] ?? []) as readonly string[]).join(', ')}</span>`,
    },
    vrf('vrf'),
    {
      title: 'Members',
      cell: (row) =>
        html`${listOf(row, 'mc_list').map((member) => html`${textOf(member, 'dip') || textOf(member, 'itf')} <span class="soft">label ${textOf(member, 'label')}</span><br>`)}`,
    },
    { title: 'Policy', cell: (row) => textOf(row, 'policy') },
    count('Used by', 'ref_count'),
  ],
  MplsSandeshData: [
    { title: 'Label', isNumber: true, cell: (row) => textOf(row, 'label') },
    { title: 'Nexthop', cell: (row) => nexthop((row['nh'] ?? {}) as AnyValue) },
  ],
  KInterfaceInfo: [
    { title: 'Id', isNumber: true, cell: (row) => textOf(row, 'idx') },
    linked('Interface', 'name', 'ItfReq'),
    plain('Type', 'type'),
    { title: 'VRF', isNumber: true, cell: (row) => objectLink('KRouteReq', textOf(row, 'vrf')) },
    { title: 'Nexthop', isNumber: true, cell: (row) => objectLink('KNHReq', textOf(row, 'nh_id')) },
    mono('IPv4', 'ip'),
    { title: 'Received', isNumber: true, cell: (row) => byte2(row, ['ipackets', 'ibytes']) },
    { title: 'Sent', isNumber: true, cell: (row) => byte2(row, ['opackets', 'obytes']) },
    {
      title: 'Errors',
      isNumber: true,
      cell: (row) => grouped(BigInt(numberOf(row, 'ierrors')) + BigInt(numberOf(row, 'oerrors'))),
    },
    { title: 'MTU', isNumber: true, cell: (row) => textOf(row, 'mtu') },
    { title: 'Device', isNumber: true, cell: (row) => textOf(row, 'os_idx') },
  ],
  KRouteInfo: [
    {
      title: 'Prefix',
      cell: (row) =>
        html`<span class="mono">${textOf(row, 'prefix') === '' ? textOf(row, 'rtr_mac') : `${textOf(row, 'prefix')}/${textOf(row, 'prefix_len')}`}</span>`,
    },
    { title: 'Nexthop', isNumber: true, cell: (row) => objectLink('KNHReq', textOf(row, 'nh_id')) },
    label('label'),
    plain('Flags', 'label_flags'),
    plain('Family', 'family'),
    { title: 'Index', isNumber: true, cell: (row) => textOf(row, 'index') },
  ],
  KNHInfo: [
    { title: 'Id', isNumber: true, cell: (row) => objectLink('NhListReq', textOf(row, 'id')) },
    plain('Type', 'type'),
    plain('Family', 'family'),
    plain('Flags', 'flags'),
    { title: 'VRF', isNumber: true, cell: (row) => objectLink('KRouteReq', textOf(row, 'vrf')) },
    {
      title: 'Out',
      cell: (row) =>
        html`${((row['encap_oif_id'] ?? []) as readonly number[]).map((id) => objectLink('KInterfaceReq', String(id)))}`,
    },
    {
      title: 'Tunnel',
      cell: (row) =>
        html`<span class="mono">${row['tun_dip'] === undefined ? '' : `${textOf(row, 'tun_sip')} → ${textOf(row, 'tun_dip')}`}</span>`,
    },
    mono('Rewrite', 'encap'),
    count('Used by', 'ref_cnt'),
  ],
  KMplsInfo: [
    { title: 'Label', isNumber: true, cell: (row) => textOf(row, 'label') },
    { title: 'Nexthop', cell: (row) => objectLink('KNHReq', textOf(row, 'nhid')) },
  ],
  KFlowInfo: [
    {
      title: 'Index',
      isNumber: true,
      cell: (row) => html`<a href="/Snh_KFlowReq?x=${textOf(row, 'index')}">${textOf(row, 'index')}</a>`,
    },
    {
      title: 'Reverse',
      isNumber: true,
      cell: (row) =>
        numberOf(row, 'rflow') < 0
          ? ''
          : html`<a href="/Snh_KFlowReq?x=${textOf(row, 'rflow')}">${textOf(row, 'rflow')}</a>`,
    },
    endpoints('Source', 'sip', 'sport'),
    endpoints('Destination', 'dip', 'dport'),
    { title: 'Protocol', cell: (row) => protocolName(numberOf(row, 'proto')) },
    { title: 'Action', cell: (row) => badge(textOf(row, 'action'), textOf(row, 'action') === 'DROP' ? 'bad' : 'good') },
    plain('TCP', 'tcp_flags'),
    { title: 'Nexthop', isNumber: true, cell: (row) => objectLink('KNHReq', textOf(row, 'nhid')) },
    count('Packets', 'pkts'),
    bytes('Bytes', 'bytes'),
  ],
  SandeshFlowData: [
    {
      title: 'Index',
      isNumber: true,
      cell: (row) => html`<a href="/Snh_KFlowReq?x=${textOf(row, 'flow_handle')}">${textOf(row, 'flow_handle')}</a>`,
    },
    endpoints('Source', 'sip', 'src_port'),
    endpoints('Destination', 'dip', 'dst_port'),
    { title: 'Protocol', cell: (row) => protocolName(numberOf(row, 'protocol')) },
    plain('Direction', 'direction'),
    { title: 'Network', cell: (row) => vnName(textOf(row, 'src_vn_match')) },
    {
      title: 'Action',
      cell: (row) =>
        listOf(row, 'action_str').map((action) =>
          badge(textOf(action, 'action'), textOf(action, 'action') === 'deny' ? 'bad' : 'good'),
        ),
    },
    mono('Other vRouter', 'peer_vrouter'),
    count('Packets', 'stats_packets'),
    bytes('Bytes', 'stats_bytes'),
  ],
}
