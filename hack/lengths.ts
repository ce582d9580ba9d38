/**
 * How long files are: one that needs a table of contents is two files. What is longer than 400 lines stands below, with the reason.
 *
 *   node hack/lengths.ts     exits with 1 and names what is longer and has no reason here; names reasons that nothing needs any more
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const MOST_LINES = 400

const GENERATED = 'generated'

/** Why a file may be longer. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'daemon/src/maps/structs.ts': GENERATED,
  'daemon/src/maps/constants.ts': GENERATED,
  'daemon/datapath/lib/types.h':
    'every number and structure that the programs share with user space, to be read beside each other',
  'daemon/src/utilities/format-flow.ts': 'one text, field by field, as the original prints it',
  'linux/src/ffi.ts': 'the bindings of one library, function by function',
  'linux/src/bpf/map.ts': 'the operations of one kind of kernel object',
  'test/doubles/small-cluster.ts': 'one cluster, written out',
}

export interface Length {
  readonly file: string
  readonly lines: number
}

/** What is too long, in words. Tests may be longer: each of their cases is read by itself. */
export function tooLong(lengths: readonly Length[], exceptions = EXCEPTIONS): string[] {
  return lengths
    .filter(({ file, lines }) => lines > MOST_LINES && !(file in exceptions) && !file.endsWith('.test.ts'))
    .map(
      ({ file, lines }) =>
        `${file} has ${lines} lines: give its concepts files of their own, or a reason in hack/lengths.ts`,
    )
}

/** Reasons that nothing needs: the file has become shorter, or is gone. */
export function idleReasons(lengths: readonly Length[], exceptions = EXCEPTIONS): string[] {
  const long = new Set(lengths.filter(({ lines }) => lines > MOST_LINES).map(({ file }) => file))
  return Object.keys(exceptions).filter((file) => !long.has(file))
}

export function lengthsOf(root: string): Length[] {
  const files = execFileSync('git', ['ls-files', '-z', '*.ts', '*.c', '*.h'], { cwd: root, encoding: 'utf8' })
  return files
    .split('\0')
    .filter((file) => file !== '' && existsSync(join(root, file)))
    .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
}

if (import.meta.main) {
  const lengths = lengthsOf(join(import.meta.dirname, '..'))
  for (const file of idleReasons(lengths)) console.log(`${file} needs no reason any more: take it off the list`)
  const findings = tooLong(lengths)
  for (const finding of findings) console.error(finding)
  process.exitCode = findings.length === 0 ? 0 : 1
}
