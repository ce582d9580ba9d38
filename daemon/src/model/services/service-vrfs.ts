/**
 * VRFs of service networks: the default one, and one for each isolated namespace that has Services. They hold fronts and no routes, so they have no label; the
 * nexthop that leads into one says that its addresses are fronts.
 */
import { Memo } from '../equal.ts'
import type { Ids } from '../ids.ts'
import * as keys from '../keys.ts'
import { FABRIC_VRF, uuidOf, vrfOfNetwork } from '../names.ts'
import type { NexthopTable } from '../nexthops.ts'
import type { FqName } from '../objects.ts'
import { compareText } from '../order.ts'
import type { Problem, Vrf } from '../tables.ts'
import { FABRIC_VRF_ID } from '../vrfs.ts'

export interface ServiceVrf extends Vrf {
  readonly vn: FqName
  readonly nexthop: number
}

export interface ServiceVrfs {
  readonly byNetwork: ReadonlyMap<FqName, ServiceVrf>
  /** Leads to what is public: fronts of the underlay's VRF. */
  readonly publicNexthop: number | undefined
}

const NO_VRFS: ServiceVrfs = { byNetwork: new Map(), publicNexthop: undefined }

export class ServiceVrfTable {
  #vrfs = NO_VRFS
  readonly #ids: Ids
  readonly #nexthops: NexthopTable
  readonly #all = new Memo<readonly Vrf[]>()

  constructor(ids: Ids, nexthops: NexthopTable) {
    this.#ids = ids
    this.#nexthops = nexthops
  }

  get vrfs(): ServiceVrfs {
    return this.#vrfs
  }

  /** The same as before while it says the same. A network for which a number is missing is left out, with a problem, and tried again. */
  compute(networks: ReadonlySet<FqName>, now: number, problems: Problem[]): ServiceVrfs {
    const { byNetwork: before, publicNexthop } = this.#vrfs
    const isPublicDone = (publicNexthop !== undefined) === networks.size > 0
    const isWhole = isPublicDone && networks.size === before.size && networks.isSubsetOf(before)
    if (isWhole) return this.#vrfs
    const byNetwork = new Map<FqName, ServiceVrf>()
    for (const vn of [...networks].sort(compareText)) {
      const vrf = before.get(vn) ?? this.#make(vn, now, problems)
      if (vrf !== undefined) byNetwork.set(vn, vrf)
    }
    for (const [vn, { nexthop }] of before) if (!byNetwork.has(vn)) this.#nexthops.letGo(nexthop)
    if (networks.size > 0) {
      this.#vrfs = { byNetwork, publicNexthop: publicNexthop ?? this.#nexthop(FABRIC_VRF, FABRIC_VRF_ID, now) }
    } else {
      if (publicNexthop !== undefined) this.#nexthops.letGo(publicNexthop)
      this.#vrfs = NO_VRFS
    }
    return this.#vrfs
  }

  /** The label under which other nodes hand connections to Services over; undefined: there are none, or no label is left. */
  label(now: number): { readonly label: number | undefined; readonly nexthop: number } | undefined {
    const { publicNexthop } = this.#vrfs
    if (publicNexthop === undefined) return undefined
    return { label: this.#ids.allocate('label', keys.SERVICE_LABEL, now), nexthop: publicNexthop }
  }

  /** These VRFs and those of service networks, sorted; the same list while both say the same. */
  with(vrfs: readonly Vrf[]): readonly Vrf[] {
    const { byNetwork } = this.#vrfs
    if (byNetwork.size === 0) return vrfs
    return this.#all.get([vrfs, byNetwork], () => [...vrfs, ...byNetwork.values()].sort((a, b) => a.id - b.id))
  }

  #make(vn: FqName, now: number, problems: Problem[]): ServiceVrf | undefined {
    const name = vrfOfNetwork(vn)
    const id = this.#ids.allocate('vrf', keys.vrfKey(name), now)
    const nexthop = id === undefined ? undefined : this.#nexthop(name, id, now)
    if (id === undefined || nexthop === undefined) {
      const kind = id === undefined ? 'vrf' : 'nexthop'
      problems.push({
        object: `service network ${vn}`,
        message: `no ${kind} number is left (limit ${this.#ids.limits[kind]}): its Services are not reached from this node`,
        table: kind,
      })
      return undefined
    }
    return { id, name, uuid: uuidOf('vrf', name), vn, nexthop, forwardingVrf: id }
  }

  #nexthop(name: FqName, vrf: number, now: number): number | undefined {
    const id = this.#nexthops.define(keys.serviceNexthop(name), { type: 'vrf-translate', vrf, service: true }, now)
    if (id !== undefined) this.#nexthops.hold(id)
    return id
  }
}
