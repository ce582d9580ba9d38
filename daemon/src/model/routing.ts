/**
 * Routes of all VRFs on this node: contributors, and the RIB that they offer to. It lives from pass to pass and works on what changed; one that was left in the
 * middle of a pass is of no use any more, and another one starts from nothing.
 */
import { type FabricInput, FabricRoutes } from './fabric-routes.ts'
import { FABRIC_VN, FABRIC_VRF } from './names.ts'
import { type NetworkInput, NetworkRoutes } from './network-routes.ts'
import { RemotePodTable } from './remote-pods.ts'
import { Rib } from './rib/rib.ts'
import type { Compose } from './rib/rib-table.ts'
import type { HostRoute, Problem } from './tables.ts'
import { FABRIC_VRF_ID, type NetworkVrf } from './vrfs.ts'

export class Routing {
  readonly rib = new Rib()
  readonly remote: RemotePodTable
  readonly #fabric = new FabricRoutes(this.rib.open({ id: FABRIC_VRF_ID, name: FABRIC_VRF, vn: FABRIC_VN }))
  /** By VRF id. */
  readonly #networks = new Map<number, { readonly name: string; readonly routes: NetworkRoutes }>()

  constructor(node: string) {
    this.remote = new RemotePodTable(node)
  }

  /** After an update of `remote`. Yields now and then. @returns the routes that the kernel needs */
  *update(
    networks: readonly { readonly vrf: NetworkVrf; readonly input: NetworkInput }[],
    fabric: FabricInput,
    compose: Compose,
    problems: Problem[],
  ): Generator<void, readonly HostRoute[]> {
    const names = new Map(networks.map(({ vrf: { id, name } }) => [id, name]))
    for (const [id, { name }] of this.#networks) {
      if (names.get(id) === name) continue
      this.#networks.delete(id)
      yield* this.rib.close(id)
    }
    for (const { vrf, input } of networks) yield* this.#routesOf(vrf).update(input, (vn) => this.remote.of(vn))
    const hostRoutes = yield* this.#fabric.update(fabric, problems)
    yield* this.rib.commit(compose)
    for (const { vrf, input } of networks) problems.push(...this.#routesOf(vrf).problems(input))
    problems.push(...this.rib.problems())
    return hostRoutes
  }

  #routesOf(vrf: NetworkVrf): NetworkRoutes {
    let known = this.#networks.get(vrf.id)
    if (known === undefined) {
      known = { name: vrf.name, routes: new NetworkRoutes(this.rib.open(vrf)) }
      this.#networks.set(vrf.id, known)
    }
    return known.routes
  }
}
