/** Fronts, backs and source ranges of the model as the entries of their maps; bytes are latin1 strings (see delta.ts). Pure. */
import {
  BACK_HANDED,
  BACK_HOST,
  BACK_TENANT,
  FRONT_DROP_INSIDE,
  FRONT_DROP_OUTSIDE,
  FRONT_EVERY_NODE,
  FRONT_SOURCE_RANGES,
  LABEL_NONE,
} from '../../maps/constants.ts'
import { addressBytes, RANGE_HEAD_BITS } from '../../maps/services.ts'
import {
  type BackSetStruct,
  backCodec,
  type Codec,
  type FrontStruct,
  frontCodec,
  frontKeyCodec,
  rangeKeyCodec,
} from '../../maps/structs.ts'
import { decode, u32Codec } from '../../maps/table.ts'
import type { Cidr, ServiceProtocol } from '../../model/objects.ts'
import type { Back, BackSet, Front } from '../../model/tables.ts'
import type { Block } from './blocks.ts'

export const PROTOCOL_NUMBERS: Readonly<Record<ServiceProtocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 }

export const NO_BACKS: BackSetStruct = { first: 0, count: 0 }

export const BACK_BYTES = backCodec.size

export function frontKey({ vrf, address, listener }: Front): string {
  const proto = listener === undefined ? 0 : PROTOCOL_NUMBERS[listener.protocol]
  return text(frontKeyCodec, { vrf, port: listener?.port ?? 0, proto, ...addressBytes(address) })
}

export interface FrontSets {
  readonly inside: BackSetStruct
  readonly outside: BackSetStruct
  readonly local: BackSetStruct
}

/** All that it names. */
export function setsOf({ inside, outside, local }: Front): readonly BackSet[] {
  return [inside, outside, local]
}

export function frontValue(front: Front, sets: FrontSets): string {
  const flags =
    (drops(front.inside) ? FRONT_DROP_INSIDE : 0) |
    (drops(front.outside) ? FRONT_DROP_OUTSIDE : 0) |
    (front.sourceRanges === undefined ? 0 : FRONT_SOURCE_RANGES) |
    (front.isAtEveryNode ? FRONT_EVERY_NODE : 0)
  return text(frontCodec, { service: front.id, flags, ...sets, affinityS: front.affinitySeconds ?? 0 })
}

function drops({ whenEmpty }: BackSet): boolean {
  return whenEmpty === 'drop'
}

/** One entry after the other. */
export function backValues(backs: readonly Back[]): string {
  const bytes = Buffer.allocUnsafe(backs.length * BACK_BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const [at, { address, port, isHost, isTenant, vrf, nexthop, label }] of backs.entries()) {
    backCodec.encode(
      {
        ip: addressBytes(address).ip,
        port,
        flags: isHost ? BACK_HOST : (isTenant ? BACK_TENANT : 0) | (label === undefined ? 0 : BACK_HANDED),
        vrf: vrf ?? LABEL_NONE,
        nh: nexthop ?? 0,
        label: label ?? LABEL_NONE,
      },
      view,
      at * BACK_BYTES,
    )
  }
  return bytes.toString('latin1')
}

export function indexKey(index: number): string {
  return text(u32Codec, index)
}

export function rangeKey(service: number, source: Cidr): string {
  const [address = '', length] = source.split('/')
  const { family, ip } = addressBytes(address)
  return text(rangeKeyCodec, { prefixlen: RANGE_HEAD_BITS + Number(length), service, family, ip })
}

export const RANGE_VALUE = text(u32Codec, 1)

export function decodeFront(value: string): FrontStruct {
  return decode(frontCodec, Buffer.from(value, 'latin1'))
}

/** Whether a front in the kernel names an element of the block. */
export function namesBlock(value: string | undefined, { first, size }: Block): boolean {
  if (value === undefined) return false
  const { inside, outside, local } = decodeFront(value)
  return [inside, outside, local].some(
    (set) => set.count > 0 && set.first < first + size && first < set.first + set.count,
  )
}

function text<T>(codec: Codec<T>, value: T): string {
  const bytes = Buffer.allocUnsafe(codec.size)
  codec.encode(value, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  return bytes.toString('latin1')
}
