/** The node, its networks and its tunnels, drawn. */
import type { IntrospectContext } from '../context.ts'
import { type Html, html, hueOf, shortName } from './markup.ts'

const WIDTH = 1000
const ROW = 46
const BOX = { width: 280, height: 34 }
const SELF = { width: 210, height: 84 }
const LONGEST = 8
const DOTS = 4
const NAME_LENGTH = { network: 26, node: 14 }

interface NetworkNode {
  readonly name: string
  readonly localPods: number
}

export interface RemoteNode {
  readonly name: string
  readonly address: string
  /** Networks that both nodes have. */
  readonly networks: readonly string[]
  readonly state: 'up' | 'resolving' | 'unused'
}

export function topology(context: IntrospectContext): Html {
  const networks = localNetworks(context)
  const remotes = remoteNodes(context)
  const height = Math.max(rowsOf(networks), rowsOf(remotes), 2) * ROW + 24
  const middle = height / 2
  const { node, underlay } = context.facts()
  const self = { x: (WIDTH - SELF.width) / 2, y: middle - SELF.height / 2 }
  return html`<svg class="topology" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Networks of ${node} and its tunnels to other nodes">
${shown(networks).map((network, index) => leftRow(network, rowY(index, networks, height), self.x, middle))}
${shown(remotes).map((remote, index) => rightRow(remote, rowY(index, remotes, height), self.x + SELF.width, middle))}
<rect class="self" x="${self.x}" y="${self.y}" width="${SELF.width}" height="${SELF.height}" rx="10"/>
<text x="${WIDTH / 2}" y="${middle - 12}" text-anchor="middle" font-weight="650" style="font-size:16px">${node}</text>
<text class="soft" x="${WIDTH / 2}" y="${middle + 8}" text-anchor="middle">${underlay.address} on ${underlay.name}</text>
<text class="soft" x="${WIDTH / 2}" y="${middle + 26}" text-anchor="middle">MTU ${underlay.mtu}</text>
${more(networks, 0, height, 'start')}${more(remotes, WIDTH, height, 'end')}</svg>`
}

function leftRow({ name, localPods }: NetworkNode, y: number, selfX: number, middle: number): Html {
  const wire = `M${BOX.width} ${y}C${(BOX.width + selfX) / 2} ${y} ${(BOX.width + selfX) / 2} ${middle} ${selfX} ${middle}`
  return html`<path class="wire" d="${wire}"/><a href="/Snh_VrfListReq?name=${encodeURIComponent(name)}">${box(0, y)}
<circle class="vn" cx="16" cy="${y}" r="5.5" style="--hue:${hueOf(name)}"/><text x="30" y="${y + 4.5}">${clipped(shortName(name), NAME_LENGTH.network)}</text>
<text class="soft" x="${BOX.width - 12}" y="${y + 4.5}" text-anchor="end">${localPods} ${localPods === 1 ? 'pod' : 'pods'}</text></a>`
}

function rightRow({ name, address, networks, state }: RemoteNode, y: number, selfEnd: number, middle: number): Html {
  const x = WIDTH - BOX.width
  const wire = `M${selfEnd} ${middle}C${(x + selfEnd) / 2} ${middle} ${(x + selfEnd) / 2} ${y} ${x} ${y}`
  const kind = { up: 'tunnel', resolving: 'tunnel down', unused: 'wire' }[state]
  const dots = networks
    .slice(0, DOTS)
    .map(
      (network, index) =>
        html`<circle class="vn" cx="${WIDTH - 16 - index * 14}" cy="${y}" r="4.5" style="--hue:${hueOf(network)}"><title>${shortName(network)}</title></circle>`,
    )
  return html`<path class="${kind}" d="${wire}"/><a href="/Snh_NhListReq?type=tunnel"><title>${name} ${address}, ${networks.length} networks in common</title>${box(x, y)}
<text x="${x + 12}" y="${y + 4.5}">${clipped(name.split('.')[0]!, NAME_LENGTH.node)} <tspan class="soft">${address}</tspan></text>${dots}</a>`
}

function box(x: number, y: number): Html {
  return html`<rect class="box" x="${x + 0.5}" y="${y - BOX.height / 2}" width="${BOX.width - 1}" height="${BOX.height}" rx="8"/>`
}

function clipped(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

function shown<T>(all: readonly T[]): readonly T[] {
  return all.slice(0, LONGEST)
}

function rowsOf(all: readonly unknown[]): number {
  return shown(all).length + (all.length > LONGEST ? 1 : 0)
}

function rowY(index: number, all: readonly unknown[], height: number): number {
  return height / 2 + (index - (rowsOf(all) - 1) / 2) * ROW
}

function more(all: readonly unknown[], x: number, height: number, anchor: 'start' | 'end'): Html | undefined {
  if (all.length <= LONGEST) return undefined
  const y = rowY(LONGEST, all, height) + 4
  return html`<text class="soft" x="${x + (anchor === 'start' ? 12 : -12)}" y="${y}" text-anchor="${anchor}">and ${all.length - LONGEST} more</text>`
}

/** VNs with a VRF here, those with pods first. */
function localNetworks(context: IntrospectContext): NetworkNode[] {
  const pods = Map.groupBy(context.ports(), (port) => port.vn)
  return context
    .tables()
    .vrfs.flatMap(({ vn, label }) =>
      vn === undefined || label === undefined ? [] : [{ name: vn, localPods: pods.get(vn)?.length ?? 0 }],
    )
    .sort((a, b) => b.localPods - a.localPods || (a.name < b.name ? -1 : 1))
}

export function remoteNodes(context: IntrospectContext): RemoteNode[] {
  const tables = context.tables()
  const here = new Set(tables.vrfs.map(({ vn }) => vn))
  const tunnels = new Map(
    tables.nexthops.flatMap(({ nexthop, isValid }) =>
      nexthop.type === 'tunnel' ? [[nexthop.destination, isValid] as const] : [],
    ),
  )
  return [...context.source().routers.values()]
    .filter(({ name }) => name !== context.facts().node)
    .map(({ name, address, vrfLabels }) => {
      const isValid = tunnels.get(address)
      return {
        name,
        address,
        networks: Object.keys(vrfLabels).filter((vn) => here.has(vn)),
        state: isValid === undefined ? ('unused' as const) : isValid ? ('up' as const) : ('resolving' as const),
      }
    })
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}
