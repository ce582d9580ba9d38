/**
 * The text of a snapshot: a JSON document with an object a line, so that both ways go in pieces that don't hold up other work.
 */
import { Pace } from '../../ground/pace.ts'
import type { EndpointSlice, LoadBalancerPool, Service, VirtualMachineInterface } from '../../model/objects.ts'
import type { Item } from '../objects/decode.ts'
import type { ServiceRange } from '../objects/service.ts'
import { type Cluster, WHOLE_KINDS, type WholeKind } from './cluster.ts'
import type { KnownPod } from './pods.ts'

/** What stands before the objects. */
interface Head {
  readonly version: number
  readonly cluster: string
  readonly node: string
  readonly nodeUid?: string | undefined
  readonly zone?: string | undefined
  /** Services and their endpoints are all there were. */
  readonly hasServices?: boolean
  /** Name of the file, beside this one, that goes on from here. */
  readonly journal?: string
}

export interface Snapshot extends Head {
  readonly objects: Readonly<Record<WholeKind, readonly Item['object'][]>>
  readonly interfaces: readonly VirtualMachineInterface[]
  readonly pods: readonly KnownPod[]
  readonly services: readonly Service[]
  readonly slices: readonly EndpointSlice[]
  readonly serviceRanges: readonly ServiceRange[]
  readonly pools: readonly LoadBalancerPool[]
}

/** The text of a snapshot, in pieces of some 64 kB. Objects that come or go while it is made are in it or not. */
export async function* pieces(cluster: Cluster, head: Head): AsyncGenerator<string> {
  const pace = new Pace()
  let text = `${JSON.stringify(head).slice(0, -1)},\n"objects":{`
  async function* list(name: string, objects: Iterable<unknown>): AsyncGenerator<string> {
    text += `${JSON.stringify(name)}:[`
    let separator = '\n'
    for (const object of objects) {
      text += `${separator}${JSON.stringify(object)}`
      separator = ',\n'
      if (text.length > 65_536 || pace.isDue) {
        yield text
        text = ''
        if (pace.isDue) await pace.rest()
      }
    }
    text += ']'
  }
  let separator = ''
  for (const kind of WHOLE_KINDS) {
    text += separator
    separator = ',\n'
    yield* list(kind, objectsOf(cluster.items(kind)))
  }
  text += '},\n'
  const { services, slices, ranges, pools } = cluster.services
  yield* list('interfaces', cluster.interfaces.values.values())
  text += ',\n'
  yield* list('services', services.values.values())
  text += ',\n'
  yield* list('slices', slices.values.values())
  text += ',\n'
  yield* list('serviceRanges', ranges.values.values())
  text += ',\n'
  yield* list('pools', pools.values.values())
  text += ',\n'
  yield* list('pods', cluster.pods.values.values())
  yield `${text}}\n`
}

function* objectsOf(items: Iterable<Item>): Generator<Item['object']> {
  for (const { object } of items) yield object
}

/** Yields after each object. Throws SyntaxError when the text isn't what `pieces` makes. */
export function* parseSnapshot(text: string): Generator<void, Snapshot> {
  const lists: Record<string, unknown[]> = {}
  let head: Head | undefined
  let list: unknown[] | undefined
  for (const line of linesOf(text)) {
    if (head === undefined) head = JSON.parse(`${line.replace(/,$/, '')}}`) as Head
    else if (line.startsWith('{')) {
      if (list === undefined) throw new SyntaxError('has an object that is in no list')
      list.push(parseObject(line))
      yield
    } else {
      const name = /^(?:"objects":\{)?"(\w+)":\[/.exec(line)?.[1]
      if (name !== undefined) lists[name] = list = []
    }
  }
  const names = [...WHOLE_KINDS, 'interfaces', 'pods']
  const missing = names.find((name) => lists[name] === undefined)
  // Its last brace comes last: what was cut off isn't whole.
  if (head === undefined || missing !== undefined || !text.endsWith(']}\n'))
    throw new SyntaxError(missing === undefined ? 'is not whole' : `has no ${missing}`)
  // A version that knew no Services left their lists out.
  const { interfaces, pods, services = [], slices = [], serviceRanges = [], pools = [], ...objects } = lists
  return { ...head, objects, interfaces, pods, services, slices, serviceRanges, pools } as unknown as Snapshot
}

function* linesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from)
    const to = end < 0 ? text.length : end
    if (to > from) yield text.slice(from, to)
    from = to + 1
  }
}

/** What may stand behind an object: others of its list, the end of the list, of all lists of objects, of the text. */
const ENDS = [',', '],', ']},', ']}', '']

function parseObject(line: string): unknown {
  for (const end of ENDS) {
    if (!line.endsWith(end)) continue
    try {
      return JSON.parse(line.slice(0, line.length - end.length))
    } catch {
      // It is the object's own.
    }
  }
  throw new SyntaxError(`has a line that is no object: ${line.slice(0, 80)}`)
}
