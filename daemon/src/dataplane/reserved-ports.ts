/**
 * The ports of SNAT that the node would give to its own connections as well: where they meet net.ipv4.ip_local_port_range they are
 * entered in net.ipv4.ip_local_reserved_ports, which keeps the node from them. What was added is recorded in `<state>/reserved-ports.json`,
 * for this boot and network namespace, and taken out again when the range changes and by `--uninstall`. Whatever else is in there stays.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type KernelIdentity, kernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import { readSysctl, writeSysctl } from '@kube-vrouter/linux/sysctl'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { type PortRange, parsePortRange } from '../schema/port-range.ts'
import type { TableFailure } from './table-failure.ts'

const RECORD_FILE = 'reserved-ports.json'
const LOCAL = 'net/ipv4/ip_local_port_range'
const RESERVED = 'net/ipv4/ip_local_reserved_ports'

interface Reservation {
  readonly kernel: KernelIdentity
  /** What wasn't reserved before, in the kernel's own form. */
  readonly added: string
}

/** Keeps the node off the source ports of SNAT while there is any. */
export class PortReservation {
  readonly #config: Pick<Config, 'paths' | 'snat'>
  readonly #log: Log
  #isWanted = false
  #failures: readonly TableFailure[] = []

  constructor(config: Pick<Config, 'paths' | 'snat'>, log: Log) {
    this.#config = config
    this.#log = log
  }

  /** `again`: whatever was done before. */
  ensure(isWanted: boolean, again: boolean): readonly TableFailure[] {
    if (!again && isWanted === this.#isWanted) return this.#failures
    const { paths, snat } = this.#config
    const object = `reservation of the ports ${snat.ports} for SNAT`
    this.#isWanted = isWanted
    this.#failures = []
    try {
      const ports = reservePorts(paths.state, isWanted ? parsePortRange(snat.ports) : undefined)
      if (ports !== '') this.#log.debug({ ports }, 'the node itself is kept off ports of SNAT: ip_local_reserved_ports')
    } catch (error) {
      this.#failures = [
        { subject: { kind: 'node' }, object, error: Error.isError(error) ? error : new Error(reasonOf(error)) },
      ]
    }
    return this.#failures
  }
}

/** Makes the reservation what `range` needs; undefined: nothing. Returns what is reserved for it now, in the kernel's form. Throws when it can't. */
export function reservePorts(stateDir: string, range: PortRange | undefined): string {
  const record = readRecord(stateDir)
  const before = parsePorts(readSysctl(RESERVED))
  const [low, high] = readSysctl(LOCAL).split(/\s+/).map(Number) as [number, number]
  const wanted =
    range === undefined || range.last < low || range.first > high
      ? []
      : [{ first: Math.max(range.first, low), last: Math.min(range.last, high) }]
  const ours = parsePorts(record?.added ?? '')
  const others = subtract(before, ours)
  const added = formatPorts(subtract(wanted, others))
  const after = formatPorts(merge([...others, ...wanted]))
  if (added === (record?.added ?? '') && after === formatPorts(merge(before))) return added
  // The record goes first when there is more to take back, last when there is less.
  if (added !== '') writeRecord(stateDir, { kernel: kernelIdentity(), added })
  writeSysctl(RESERVED, after)
  if (added === '') removeRecord(stateDir)
  return added
}

/** `--uninstall`: what was added is taken out. */
export function releasePorts(stateDir: string): void {
  if (readRecord(stateDir) === undefined) removeRecord(stateDir)
  else reservePorts(stateDir, undefined)
}

/** `8080,9148-9150`. Pure. */
export function parsePorts(text: string): PortRange[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [first, last = first] = part.split('-').map(Number) as [number, number?]
      return { first, last }
    })
}

export function formatPorts(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}

/** Sorted, those that touch joined. */
export function merge(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = []
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const previous = merged.at(-1)
    if (previous === undefined || range.first > previous.last + 1) merged.push(range)
    else merged[merged.length - 1] = { first: previous.first, last: Math.max(previous.last, range.last) }
  }
  return merged
}

export function subtract(ranges: readonly PortRange[], others: readonly PortRange[]): PortRange[] {
  let rest = merge(ranges)
  for (const other of others) {
    rest = rest.flatMap((range) =>
      [
        { first: range.first, last: Math.min(range.last, other.first - 1) },
        { first: Math.max(range.first, other.last + 1), last: range.last },
      ].filter(({ first, last }) => first <= last),
    )
    // Where they don't meet, both halves are the range itself.
    rest = merge(rest)
  }
  return rest
}

function readRecord(stateDir: string): Reservation | undefined {
  try {
    const record = JSON.parse(readFileSync(join(stateDir, RECORD_FILE), 'utf8')) as Partial<Reservation>
    const { boot, netns } = kernelIdentity()
    const isOurs = record.kernel?.boot === boot && record.kernel.netns === netns && typeof record.added === 'string'
    return isOurs ? (record as Reservation) : undefined
  } catch {
    return undefined
  }
}

function writeRecord(stateDir: string, record: Reservation): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  writeFileSync(join(stateDir, RECORD_FILE), `${JSON.stringify(record)}\n`, { mode: 0o600 })
}

function removeRecord(stateDir: string): void {
  rmSync(join(stateDir, RECORD_FILE), { force: true })
}
