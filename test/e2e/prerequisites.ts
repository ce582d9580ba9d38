/** What a cluster on this machine needs that may be missing. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { tools } from '../kubelab/layout.ts'

/** Why no cluster can be made here; undefined: one can. */
export function whyNoCluster(): string | undefined {
  if (process.env['E2E_KIND'] !== undefined) return undefined
  if (process.getuid?.() !== 0) return 'a cluster needs root'
  if (existsSync(join(tools.bin, 'hyperkube'))) return undefined
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return `Kubernetes is not built (${tools.bin}/hyperkube), and there is no Go to build it with`
  }
}
