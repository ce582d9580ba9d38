/**
 * The networks that blocks were cut from, as they were accepted, on disk: so that a restart doesn't let in a change that the running
 * daemon had to refuse (assemble.ts). Losing the file costs that protection once, and nothing else.
 */
import { readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { Inputs } from '../../model/equal.ts'
import type { FqName, SourceState, VirtualNetwork } from '../../model/objects.ts'
import { replaceFile } from './store.ts'

const VERSION = 1

export class NetworkMemory {
  readonly #path: string
  #text = ''
  /** What the text was made of. */
  readonly #inputs = new Inputs()
  #isSaved = false

  constructor(path: string) {
    this.#path = path
  }

  /** What was kept; empty at the first start. Throws when the file is there and can't be used. */
  load(): Map<FqName, VirtualNetwork> {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
      throw error
    }
    const data = JSON.parse(text) as {
      readonly version?: unknown
      readonly networks?: readonly VirtualNetwork[]
    } | null
    if (data?.version !== VERSION || !Array.isArray(data.networks) || !data.networks.every(isNetwork)) {
      throw new SyntaxError('is not a list of networks')
    }
    this.#text = text
    return new Map(data.networks.map((network) => [network.fqName, network]))
  }

  /** Writes if there is something new. Throws SourceError; the next call tries again. */
  async save({ blocks, virtualNetworks }: SourceState): Promise<void> {
    if (!this.#inputs.areOther(blocks, virtualNetworks) && this.#isSaved) return
    this.#isSaved = false
    const carved = new Set([...blocks.values()].map((block) => block.vn))
    const networks = [...carved].sort().flatMap((vn) => virtualNetworks.get(vn) ?? [])
    const text = `${JSON.stringify({ version: VERSION, networks }, null, 1)}\n`
    if (text !== this.#text) await replaceFile(dirname(this.#path), basename(this.#path), text)
    this.#text = text
    this.#isSaved = true
  }
}

function isNetwork(value: unknown): value is VirtualNetwork {
  const network = value as Partial<VirtualNetwork> | null
  return (
    typeof network?.fqName === 'string' &&
    Array.isArray(network.subnets) &&
    network.subnets.every((subnet) => typeof subnet?.cidr === 'string' && typeof subnet.gateway === 'string')
  )
}
