/** VXLAN network identifiers: each network has one of its own, and keeps it. Pure. */

/** Those below are for networks of our own; CN2 keeps them too. */
export const FIRST_VNI = 4096
/** 24 bits (RFC 7348 section 5). */
export const LAST_VNI = 0xffffff

export interface VniClaim {
  /** `<namespace>/<name>`. */
  readonly network: string
  /** As the spec asks. */
  readonly wish?: number
  /** As the status says. */
  readonly held?: number
}

export interface VniGrant {
  readonly vni?: number
  /** Why it has not the one that it asks for. */
  readonly problem?: string
}

/**
 * `claims` in order of age. Who has a number keeps it, then wishes are granted, then the rest get the lowest that are free. A network whose
 * wish isn't granted has none.
 */
export function assignVnis(claims: readonly VniClaim[]): Map<string, VniGrant> {
  const owners = new Map<number, string>()
  const grants = new Map<string, VniGrant>()
  const grant = ({ network }: VniClaim, vni: number) => {
    owners.set(vni, network)
    grants.set(network, { vni })
  }
  for (const claim of claims) {
    const { wish, held } = claim
    if (held === undefined || owners.has(held) || held < FIRST_VNI || held > LAST_VNI) continue
    if (wish === undefined || wish === held) grant(claim, held)
  }
  for (const claim of claims) {
    const { network, wish } = claim
    if (wish === undefined || grants.has(network)) continue
    const owner = owners.get(wish)
    if (owner === undefined) grant(claim, wish)
    else {
      const problem = `spec.virtualNetworkNetworkID (${wish}) is that of VirtualNetwork ${owner}: choose another, or leave it out`
      grants.set(network, { problem })
    }
  }
  let next = FIRST_VNI
  for (const claim of claims) {
    if (grants.has(claim.network)) continue
    while (owners.has(next)) next++
    if (next > LAST_VNI) grants.set(claim.network, { problem: `all VNIs up to ${LAST_VNI} are in use` })
    else grant(claim, next)
  }
  return grants
}
