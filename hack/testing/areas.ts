/**
 * The areas that hack/test runs, in this order: quick checks first. Every *.test.ts of the repo belongs to exactly one: those beside the
 * code are pure (`unit`), those under daemon/datapath/test run programs in the kernel (`datapath`), and each folder under test/ is an area.
 */
import { existsSync, globSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface Area {
  readonly name: string
  readonly says: string
  readonly steps: readonly Step[]
  /** Only ends what hangs. */
  readonly limitSeconds: number
}

/** A command whose status decides, or spec files for mocha. */
export type Step =
  | { readonly kind: 'command'; readonly title: string; readonly command: readonly string[] }
  | { readonly kind: 'mocha'; readonly files: readonly string[] }

const MINUTE = 60

export function findAreas(root: string): Area[] {
  const command = (title: string, ...words: string[]): Step => ({ kind: 'command', title, command: words })
  const specs = (pattern: string) =>
    globSync(pattern, { cwd: root, exclude: (path) => path.includes('node_modules') }).sort()
  const mocha = (files: readonly string[]): Step[] => (files.length > 0 ? [{ kind: 'mocha', files }] : [])
  const datapath = specs('daemon/datapath/test/**/*.test.ts')
  // It looks at what the others have done.
  const drops = datapath.filter((file) => file.endsWith('/drops.test.ts'))
  const unit = specs('{linux,daemon,cni-plugin,hack}/**/*.test.ts').filter((file) => !datapath.includes(file))
  const rooted = existsSync(join(root, 'test'))
    ? readdirSync(join(root, 'test'), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
        .sort()
    : []
  const checks: Area[] = [
    {
      name: 'typecheck',
      says: 'TypeScript checks',
      steps: [command('tsc', 'tsc', '--noEmit')],
      limitSeconds: 30 * MINUTE,
    },
    {
      name: 'lint',
      says: 'form and dependency rule',
      steps: [
        command('biome ci', 'biome', 'ci', '--colors=off', '.'),
        command('dependency rule', 'node', 'hack/layers.ts'),
      ],
      limitSeconds: 30 * MINUTE,
    },
    { name: 'unit', says: 'pure tests beside the code', steps: mocha(unit), limitSeconds: 30 * MINUTE },
    {
      name: 'datapath',
      says: 'programs in the kernel, packet by packet',
      steps: [...mocha(datapath.filter((file) => !drops.includes(file))), ...mocha(drops)],
      limitSeconds: 60 * MINUTE,
    },
  ]
  const folders = rooted.map(
    (name): Area => ({
      name,
      says: `test/${name}`,
      steps: mocha(specs(`test/${name}/**/*.test.ts`)),
      limitSeconds: 180 * MINUTE,
    }),
  )
  // What takes longest comes last.
  const order = (area: Area) => ['functional', 'e2e'].indexOf(area.name)
  return [...checks, ...folders.sort((a, b) => order(a) - order(b))].filter((area) => area.steps.length > 0)
}
