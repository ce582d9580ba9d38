/**
 * On a node: looks up routes in the pinned maps, every millisecond or so, and prints when the answer of one changes. Lines on standard
 * input: {"key":…,"pod":…,"address":…,"longerThan":…}, to be watched in the VRF of that local pod. Prints {"key":…,"at":…,"isThere":…,"gapMs":…}: `gapMs` is the
 * longest time between two looks since the line before, that is: the resolution.
 */
import { createInterface } from 'node:readline'
import { ip4Number } from '@kube-vrouter/daemon/maps/addresses'
import { NH_ID_DISCARD } from '@kube-vrouter/daemon/maps/constants'
import { openMaps } from '@kube-vrouter/daemon/maps/open'
import { lookupRoute } from '@kube-vrouter/daemon/maps/routes'
import { listVifs } from '@kube-vrouter/daemon/maps/vifs'

interface Wanted {
  readonly key: string
  readonly pod: string
  readonly address: string
  /** Prefixes up to this length don't count, such as the default route's. */
  readonly longerThan?: number
}

interface Watched {
  readonly key: string
  readonly vrf: number
  readonly address: string
  readonly longerThan: number
  isThere?: boolean
}

const maps = openMaps(process.argv[2]!)
const watched: Watched[] = []
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { key, pod, address, longerThan = -1 } = JSON.parse(line) as Wanted
    const vif = listVifs(maps.vifs).find(({ ip4 }) => ip4 === ip4Number(pod))
    if (vif === undefined) throw new Error(`no vif has ${pod}`)
    watched.push({ key, vrf: vif.vrf, address, longerThan })
  })
  .on('close', () => process.exit())

let last = performance.now()
let gapMs = 0
function look(): void {
  const begun = performance.now()
  gapMs = Math.max(gapMs, begun - last)
  last = begun
  for (const one of watched) {
    const route = lookupRoute(maps.routes, one.vrf, one.address)
    const isThere = route !== undefined && route.nexthop > NH_ID_DISCARD && route.prefixLength > one.longerThan
    if (isThere === one.isThere) continue
    one.isThere = isThere
    console.log(JSON.stringify({ key: one.key, at: performance.timeOrigin + performance.now(), isThere, gapMs }))
    gapMs = 0
  }
  setTimeout(look, 1)
}
look()
