/**
 * The kernel's side of the migration: reads the situation of the two devices, and carries out operations in as few netlink messages as
 * possible. One `VhostKernel` speaks to one network namespace.
 */

import { readFileSync } from 'node:fs'
import { isErrno, type SystemError } from '@kube-vrouter/linux/errors'
import type { NamespaceHandle } from '@kube-vrouter/linux/namespace'
import {
  delAddress,
  delNeighbour,
  delRoute,
  type LinkInfo,
  NeighbourState,
  newAddress,
  newNeighbour,
  newRoute,
  type RouteNexthop,
  RouteSocket,
} from '@kube-vrouter/linux/netlink/route'
import type { Request } from '@kube-vrouter/linux/netlink/socket'
import { readSysctl, writeSysctl } from '@kube-vrouter/linux/sysctl'
import { type Address, type DeviceState, type Route, SELF, stateOf } from './device-state.ts'
import type { Operation, Side, Situation } from './plan.ts'

export interface Failure {
  readonly operation: Operation
  readonly error: SystemError
}

export class VhostKernel implements Disposable {
  readonly route: RouteSocket
  readonly nicName: string
  readonly vhostName: string
  readonly netns: NamespaceHandle | undefined

  constructor(options: { readonly nic: string; readonly vhost: string; readonly netns?: NamespaceHandle }) {
    this.nicName = options.nic
    this.vhostName = options.vhost
    this.netns = options.netns
    this.route = RouteSocket.open({ netns: options.netns })
  }

  [Symbol.dispose](): void {
    this.route[Symbol.dispose]()
  }

  nic(): LinkInfo | undefined {
    return this.route.link(this.nicName)
  }

  vhost(): LinkInfo | undefined {
    return this.route.link(this.vhostName)
  }

  /** Both devices as they are now. The NIC must exist. */
  observe(): Situation {
    const nic = this.#index(this.nicName)
    const vhost = this.vhost()?.index
    const now = secondsSinceBoot()
    const dumps = {
      addresses: this.route.addresses(),
      routes: this.route.routes(),
      neighbours: this.route.neighbours(),
    }
    return {
      nic: { ...stateOf(nic, dumps, now), isIpv6Disabled: this.#isIpv6Disabled() },
      vhost: vhost === undefined ? undefined : this.#inNicForm(stateOf(vhost, dumps, now)),
      now,
    }
  }

  /** Carries the operations out in order. What is there already when added, or gone when deleted, is fine; other refusals are returned. */
  execute(operations: readonly Operation[]): Failure[] {
    const failures: Failure[] = []
    const pending: Operation[] = []
    const flush = () => {
      const requests = pending.map((operation) => this.#request(operation))
      this.route.batch(requests).forEach((result, i) => {
        const operation = pending[i]!
        if (!result.ok && !isErrno(result.error, ...toleratedErrors(operation)))
          failures.push({ operation, error: result.error })
      })
      pending.length = 0
    }
    for (const operation of operations) {
      if (operation.op !== 'disable-ipv6') {
        pending.push(operation)
        continue
      }
      flush()
      writeSysctl(['net', 'ipv6', 'conf', this.nicName, 'disable_ipv6'], operation.value ? 1 : 0, this.netns)
    }
    flush()
    return failures
  }

  #request(operation: Exclude<Operation, { op: 'disable-ipv6' }>): Request
  #request(operation: Operation): Request
  #request(operation: Operation): Request {
    switch (operation.op) {
      case 'add-address': {
        const { protocol, ...address } = this.#labelled(operation.on, operation.address)
        return newAddress({
          ...address,
          index: this.#indexOf(operation.on),
          replace: operation.replace,
          protocol: protocol || undefined,
        })
      }
      case 'delete-address':
        return delAddress({ ...operation.address, index: this.#indexOf(operation.on) })
      case 'add-route':
        return newRoute({ ...this.#onDevice(operation.on, operation.route), append: true })
      case 'delete-route':
        return delRoute(this.#onDevice(operation.on, operation.route))
      case 'set-neighbour': {
        const { address, mac, isPermanent } = operation.neighbour
        const state = isPermanent ? NeighbourState.PERMANENT : NeighbourState.STALE
        return newNeighbour({ index: this.#indexOf(operation.on), address, mac, state, replace: isPermanent })
      }
      case 'delete-neighbour':
        return delNeighbour({ index: this.#indexOf(operation.on), address: operation.neighbour.address })
      case 'disable-ipv6':
        throw new RangeError('disable-ipv6 is no netlink request')
    }
  }

  #indexOf(side: Side): number {
    return this.#index(side === 'nic' ? this.nicName : this.vhostName)
  }

  #index(name: string): number {
    const link = this.route.link(name)
    if (link === undefined) throw new RangeError(`device ${name} is gone`)
    return link.index
  }

  /** Source-less identity: the device's own index in place of SELF. */
  #onDevice(side: Side, { since: _, mtu: __, ...route }: Route): Omit<Route, 'since' | 'mtu'> {
    const index = this.#indexOf(side)
    const path = (nexthop: RouteNexthop) => (nexthop.oif === SELF ? { ...nexthop, oif: index } : nexthop)
    return { ...route, oif: route.oif === SELF ? index : route.oif, multipath: route.multipath?.map(path) }
  }

  /** IPv4 labels start with the name of their device. */
  #labelled(side: Side, { since: _, ...address }: Address): Omit<Address, 'since'> {
    return side === 'nic' ? address : { ...address, label: relabel(address.label, this.nicName, this.vhostName) }
  }

  #inNicForm(state: DeviceState): DeviceState {
    const addresses = state.addresses.map((address) => ({
      ...address,
      label: relabel(address.label, this.vhostName, this.nicName),
    }))
    return { ...state, addresses }
  }

  #isIpv6Disabled(): boolean | undefined {
    try {
      return readSysctl(['net', 'ipv6', 'conf', this.nicName, 'disable_ipv6'], this.netns) !== '0'
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }
}

/** Seconds since boot, sleep included, as lifetimes count. */
export function secondsSinceBoot(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
}

function relabel(label: string | undefined, from: string, to: string): string | undefined {
  if (label === undefined || (label !== from && !label.startsWith(`${from}:`))) return label
  return (to + label.slice(from.length)).slice(0, 15)
}

function toleratedErrors(operation: Operation): readonly string[] {
  switch (operation.op) {
    case 'add-address':
    case 'add-route':
    case 'set-neighbour':
      return ['EEXIST']
    case 'delete-address':
      return ['EADDRNOTAVAIL']
    case 'delete-route':
      return ['ESRCH']
    case 'delete-neighbour':
      return ['ENOENT']
    case 'disable-ipv6':
      return []
  }
}
