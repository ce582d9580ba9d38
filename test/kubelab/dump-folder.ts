import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'

/** Where a failure is explained: the folder that a variable of the environment names, or a new one that isn't among the temporary files, which go with a test run. */
export function dumpFolder(variable: 'E2E_DUMP' | 'KUBELAB_DUMP'): string {
  const wanted = process.env[variable]
  if (wanted !== undefined) return wanted
  const build = join(import.meta.dirname, '../../build')
  mkdirSync(build, { recursive: true })
  return mkdtempSync(join(build, `${variable.toLowerCase().replace('_', '-')}-`))
}
