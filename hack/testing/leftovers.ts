/**
 * What a test run left behind: links, network namespaces, mounts, pins, temporary files and processes. The run has namespaces and a temporary
 * folder of its own, so whatever is there at the end and wasn't at the start is the tests'.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Surroundings {
  readonly bpffs?: string
  readonly temporary: string
  /** Marks the run's processes: the value of KV_TEST_RUN in their environment. */
  readonly runId: string
}

export type Inventory = ReadonlyMap<string, readonly string[]>

export function takeInventory({ bpffs, temporary, runId }: Surroundings): Inventory {
  return new Map([
    ['link', links()],
    ['network namespace', entries('/run/netns')],
    ['mount', mounts()],
    ['pin', bpffs === undefined ? [] : entries(bpffs)],
    ['temporary file', entries(temporary)],
    ['process', processesOf(runId)],
  ])
}

/** `kind name` of everything that is in `after` and not in `before`. */
export function newSince(before: Inventory, after: Inventory): string[] {
  return [...after].flatMap(([kind, names]) => {
    const known = new Set(before.get(kind))
    return names.filter((name) => !known.has(name)).map((name) => `${kind} ${name}`)
  })
}

function links(): string[] {
  const parsed = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as { ifname: string }[]
  return parsed.map((link) => link.ifname)
}

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[4]!)
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Processes that inherited the run's mark, but for this one and its parents. */
function processesOf(runId: string): string[] {
  const mark = `KV_TEST_RUN=${runId}`
  const found: string[] = []
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const environment = readFileSync(join('/proc', pid, 'environ'), 'latin1').split('\0')
      if (environment.includes(mark))
        found.push(
          `${pid} ${readFileSync(join('/proc', pid, 'cmdline'), 'utf8')
            .replaceAll('\0', ' ')
            .trim()}`,
        )
    } catch {
      // It ended meanwhile, or isn't ours to see.
    }
  }
  return found
}
