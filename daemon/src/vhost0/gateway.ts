/**
 * Is the world still there? An address on the link answers when the kernel resolves it (ARP, neighbour discovery) over the given device: that
 * takes a frame out and one back in, through both programs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isErrno } from '@kube-vrouter/linux/errors'
import { NeighbourFlag, NeighbourState, RouteTable, RouteType } from '@kube-vrouter/linux/netlink/route'
import type { VhostKernel } from './kernel.ts'
import type { Holdings } from './plan.ts'

const POLL_MS = 50
/** The kernel gives up on an address after some seconds and asks again only when told to. */
const ASK_AGAIN_MS = 1000

/** Gateways of the preferred default route (its IPv4 one, else its IPv6 one); several when it has several paths over the device. */
export function defaultGateways({ routes }: Pick<Holdings, 'routes'>): string[] {
  const defaults = routes
    .filter(
      ({ prefixLength, table, type }) => prefixLength === 0 && table === RouteTable.MAIN && type === RouteType.UNICAST,
    )
    .filter(({ gateway, multipath }) => gateway !== undefined || multipath !== undefined)
    .sort((a, b) => a.family - b.family || (a.metric ?? 0) - (b.metric ?? 0))
  const best = defaults[0]
  if (best === undefined) return []
  const equals = defaults.filter(({ family, metric }) => family === best.family && (metric ?? 0) === (best.metric ?? 0))
  const gateways = equals.flatMap(({ gateway, multipath }) =>
    gateway !== undefined
      ? [gateway]
      : (multipath ?? []).flatMap((path) => (path.oif === 0 && path.gateway ? [path.gateway] : [])),
  )
  return [...new Set(gateways)]
}

/** Resolves to whether `address` answered on device `index` within `timeoutMs`. An answer from before the call doesn't count. */
export async function answers(
  kernel: VhostKernel,
  index: number,
  address: string,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  let asked = Number.NEGATIVE_INFINITY
  for (;;) {
    // Looked for before it is asked again: asking makes the kernel forget the answer.
    const hasAsked = asked !== Number.NEGATIVE_INFINITY
    if (hasAsked && stateOfNeighbour(kernel, index, address) === NeighbourState.REACHABLE) return true
    if (hasAsked && performance.now() >= deadline) return false
    if (performance.now() - asked >= ASK_AGAIN_MS) {
      ask(kernel, index, address)
      asked = performance.now()
    }
    await sleep(Math.min(POLL_MS, Math.max(1, deadline - performance.now())))
  }
}

/** Makes the kernel ask now: a known MAC is probed (traffic goes on meanwhile), an unknown one is looked for. */
function ask(kernel: VhostKernel, index: number, address: string): void {
  const known = kernel.route.neighbours({ index }).find((neighbour) => neighbour.address === address)
  if (known?.state === NeighbourState.INCOMPLETE) return
  try {
    if (known?.mac !== undefined && known.state !== NeighbourState.FAILED && known.state !== NeighbourState.PERMANENT) {
      kernel.route.setNeighbour({ index, address, mac: known.mac, state: NeighbourState.PROBE })
      // The kernel takes no state together with this mark: it would wait with its probe, as long as the watch does.
      if (known.managed) kernel.route.setNeighbour({ index, address, managed: true })
    } else if (known?.state !== NeighbourState.PERMANENT) {
      if (known !== undefined) kernel.route.deleteNeighbour({ index, address })
      kernel.route.setNeighbour({ index, address, state: NeighbourState.NONE, flags: NeighbourFlag.USE })
    }
  } catch (error) {
    if (!isErrno(error, 'ENETDOWN', 'EINVAL', 'ENOENT', 'ENODEV')) throw error
  }
}

function stateOfNeighbour(kernel: VhostKernel, index: number, address: string): number | undefined {
  return kernel.route.neighbours({ index }).find((neighbour) => neighbour.address === address)?.state
}
