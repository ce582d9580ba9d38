/**
 * The engine of hack/test, which has put this process into namespaces of its own when it could. Runs the areas one after the other, adds up, and
 * looks for what was left behind.
 *
 * Tests find in their environment: KV_BPFFS, a bpffs of this run (absent when none can be mounted), TMPDIR, emptied afterwards,
 * KV_TEST_RUN, by which a process that outlives its test is recognised, and KV_DROPS_REACHED, a file in which the datapath's tests note
 * the drop reasons whose counters rose.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Area, findAreas, type Step } from './areas.ts'
import { parseCommandLine, type Request } from './command-line.ts'
import { newSince, type Surroundings, takeInventory } from './leftovers.ts'
import { outcomeOfCrash, outcomeOfOpenHandles, outcomeOfReport } from './mocha-outcome.ts'
import { add, fail, type Outcome, pass, skip, summaryLine } from './outcome.ts'
import { runCommand } from './run-command.ts'
import { type AreaResult, tableOf } from './table.ts'

const root = join(import.meta.dirname, '../..')

async function main(): Promise<number> {
  const areas = findAreas(root)
  const request = understand(areas)
  if (request === undefined) return 2
  if (request.verb === 'check') return 0
  if (request.verb === 'list') {
    for (const area of areas) console.log(`${area.name.padEnd(14)}${area.says}`)
    return 0
  }
  const results = await runAll(areas.filter(({ name }) => request.areas.includes(name)))
  const outcome = add(results.map((result) => result.outcome))
  report(outcome, results)
  return outcome.failures.length === 0 ? 0 : 1
}

function understand(areas: readonly Area[]): Request | undefined {
  try {
    return parseCommandLine(
      process.argv.slice(2),
      areas.map(({ name }) => name),
    )
  } catch (error) {
    console.error(`hack/test: ${(error as Error).message}`)
    return undefined
  }
}

async function runAll(areas: readonly Area[]): Promise<AreaResult[]> {
  using undo = new DisposableStack()
  const temporary = mkdtempSync(join(tmpdir(), 'kv-test-'))
  undo.defer(() => rmSync(temporary, { recursive: true, force: true }))
  const reports = mkdtempSync(join(tmpdir(), 'kv-reports-'))
  undo.defer(() => rmSync(reports, { recursive: true, force: true }))
  const bpffs = isPrivate() ? prepare(undo) : undefined
  const surroundings: Surroundings = { bpffs, temporary, runId: `${process.pid}-${Date.now()}` }
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    TMPDIR: temporary,
    KV_TEST_RUN: surroundings.runId,
    KV_DROPS_REACHED: join(reports, 'drops-reached'),
    NO_COLOR: '1',
  }
  delete env['FORCE_COLOR']
  if (bpffs) env['KV_BPFFS'] = bpffs

  const results: AreaResult[] = []
  for (const area of areas) {
    const before = takeInventory(surroundings)
    const start = performance.now()
    const found: Outcome[] = []
    for (const step of area.steps) found.push(await runStep(area, step, env, join(reports, `${area.name}.json`)))
    if (area.steps.some((step) => step.kind === 'mocha')) found.push(checkLeftovers(area, surroundings, before))
    const outcome = add(found)
    const seconds = (performance.now() - start) / 1000
    console.log(
      `${outcome.failures.length === 0 ? 'ok  ' : 'FAIL'} ${area.name.padEnd(14)}${summaryLine(outcome)} (${seconds.toFixed(1)} s)`,
    )
    for (const { title, message } of outcome.failures) console.log(indent(`${title}\n${indent(message)}`))
    results.push({ name: area.name, outcome, seconds })
  }
  return results
}

/** hack/test gave this process its own network: only the loopback device is in it. */
function isPrivate(): boolean {
  if (process.getuid?.() !== 0) return false
  const links = execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).trim().split('\n')
  return links.every(
    (line) => line.includes(': lo:') || line.includes('LOOPBACK') || /: (sit|ip6?tnl|gre|tunl)\w*\d@/.test(line),
  )
}

/** Own /run/netns and bpffs, loopback up. Undefined when the kernel gives no bpffs. */
function prepare(undo: DisposableStack): string | undefined {
  mkdirSync('/run/netns', { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', 'kv-test-netns', '/run/netns'])
  undo.defer(() => execFileSync('umount', ['-l', '/run/netns']))
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  const bpffs = mkdtempSync(join(tmpdir(), 'kv-bpffs-'))
  undo.defer(() => rmSync(bpffs, { recursive: true, force: true }))
  try {
    execFileSync('mount', ['-t', 'bpf', 'kv-test-bpf', bpffs], { stdio: 'pipe' })
  } catch (error) {
    console.log(`no bpffs can be mounted, tests that need one are skipped: ${(error as Error).message.trim()}`)
    return undefined
  }
  undo.defer(() => execFileSync('umount', ['-l', bpffs]))
  // iproute2 makes folders of its own in the first bpffs that it finds, and looks at this place first: so it leaves the tests' one alone.
  if (existsSync('/sys/fs/bpf')) {
    execFileSync('mount', ['-t', 'bpf', 'kv-test-iproute2', '/sys/fs/bpf'])
    undo.defer(() => execFileSync('umount', ['-l', '/sys/fs/bpf']))
  }
  return bpffs
}

async function runStep(area: Area, step: Step, env: NodeJS.ProcessEnv, reportFile: string): Promise<Outcome> {
  const { limitSeconds } = area
  if (step.kind === 'command') {
    const { output, problem } = await runCommand(step.command, { cwd: root, env, limitSeconds })
    return problem === ''
      ? pass()
      : fail(step.title, `${step.command.join(' ')} ended with ${problem}\n${output.trim()}`)
  }
  rmSync(reportFile, { force: true })
  const words = ['--reporter', 'json', '--reporter-option', `output=${reportFile}`]
  const command = ['mocha', ...words, ...step.files]
  const { output, problem } = await runCommand(command, { cwd: root, env, limitSeconds })
  if (!existsSync(reportFile)) return outcomeOfCrash(area.name, problem || 'status 0', output)
  const outcome = add([outcomeOfReport(readFileSync(reportFile, 'utf8')), outcomeOfOpenHandles(area.name, output)])
  // Mocha's status is the number of failures; anything else is a crash after the report.
  if (problem.startsWith('status') || problem === '') return outcome
  return add([outcome, fail(area.name, `mocha ended with ${problem}`)])
}

function checkLeftovers(area: Area, surroundings: Surroundings, before: ReturnType<typeof takeInventory>): Outcome {
  const title = `${area.name} leaves nothing behind`
  if (!isIsolated(surroundings))
    return skip(title, 'needs root: without namespaces of its own nothing can be told apart')
  const left = newSince(before, takeInventory(surroundings))
  return left.length === 0 ? pass() : fail(title, left.join('\n'))
}

function isIsolated({ bpffs }: Surroundings): boolean {
  return bpffs !== undefined || isPrivate()
}

function report(outcome: Outcome, results: readonly AreaResult[]): void {
  const reasons = Map.groupBy(outcome.skips, (item) => item.reason)
  for (const [reason, skips] of reasons) {
    console.log(`skipped ${skips.length}: ${reason}`)
    for (const { title } of skips.slice(0, 5)) console.log(indent(title))
    if (skips.length > 5) console.log(indent(`and ${skips.length - 5} more`))
  }
  for (const line of tableOf(results)) console.log(line)
  console.log(summaryLine(outcome))
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}

process.exitCode = await main()
