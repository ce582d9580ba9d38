/** What `hack/bench` is asked for. */
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../lab/layout.ts'
import { fileOfModel } from './models.ts'

export const usage = `Figures of the datapath and the daemon against other ways to build the same, all measured here and now.

  hack/bench [--only PART]… [--runs N] [--seconds S] [--patience S] [--out FILE]
  hack/bench --models

  --only PART   traffic, add, memory, start, services (what a cluster IP costs), flood (new connections of others under one), peers (the peers alone, without ours); default: the first four
  --runs N      runs of each figure, taken in turn (5)
  --seconds S   length of a run (3)
  --patience S  how long a run waits for a moment in which the machine does nothing else (3)
  --out FILE    where the JSON goes (bench/results/ and the model of the processor; with --only nowhere)
  --models      measures nothing: what of the kept results is reached on every model of processor
`

const PARTS = ['traffic', 'add', 'memory', 'start', 'services', 'flood', 'peers'] as const
export const KEPT = join(repository, 'bench/results')
type Part = (typeof PARTS)[number]

export interface Plan {
  readonly parts: ReadonlySet<Part>
  readonly runs: number
  readonly seconds: number
  /** Seconds that a run may wait for quiet. */
  readonly patience: number
  /** Absent: what is measured is only told, for the kept file is one whole run. */
  readonly out?: string
}

/** Of the words of the command line. */
export function readPlan(args: readonly string[]): Plan | 'help' | 'models' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      patience: { type: 'string', default: '3' },
      out: { type: 'string' },
      models: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return 'help'
  if (values.models) return 'models'
  const parts = values.only ?? ['traffic', 'add', 'memory', 'start']
  for (const part of parts) {
    if (!(PARTS as readonly string[]).includes(part))
      throw new Error(`--only: there is no part '${part}': ${PARTS.join(', ')}`)
  }
  const [runs, seconds, patience] = [Number(values.runs), Number(values.seconds), Number(values.patience)]
  if (!(Number.isInteger(runs) && runs > 0 && Number.isInteger(seconds) && seconds > 0)) {
    throw new Error('--runs and --seconds are whole numbers above 0')
  }
  if (!(patience >= 0)) throw new Error('--patience is a number of seconds')
  const out = values.out ?? (values.only === undefined ? fileOfModel(KEPT) : undefined)
  return {
    ...{ parts: new Set(parts as Part[]), runs, seconds, patience },
    ...(out !== undefined && { out: resolve(out) }),
  }
}
