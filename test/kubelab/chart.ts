/** kube-vrouter's image and chart in a lab. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TestCluster } from './cluster.ts'
import { run } from './command.ts'
import { clusterRanges, repository, underlay } from './layout.ts'

export interface ChartOptions {
  /** Files of values, as helm's -f. */
  readonly values?: readonly string[]
  /** Single values, as helm's --set. */
  readonly set?: readonly string[]
  readonly dualStack?: boolean
  readonly signal?: AbortSignal
}

export const release = {
  name: 'kube-vrouter',
  namespace: 'kube-vrouter',
  chart: join(repository, 'charts/kube-vrouter'),
}

export function chartArguments({ values = [], set = [], dualStack = false }: ChartOptions): string[] {
  return [
    ...['--set', `ipam.podCIDRs={${clusterRanges(dualStack).pods}}`],
    ...['--set', `k8sServiceHost=${underlay.api4}`, '--set', `k8sServicePort=${underlay.apiPort}`],
    ...values.flatMap((file) => ['-f', file]),
    ...set.flatMap((value) => ['--set', value]),
  ]
}

/** `helm install`; with `upgrade`, over what is installed. Waits for nothing. */
export async function installChart(
  lab: TestCluster,
  options: ChartOptions = {},
  verb: 'install' | 'upgrade' = 'install',
): Promise<void> {
  if (!existsSync(join(release.chart, 'Chart.yaml'))) throw new Error(`${release.chart}: there is no chart`)
  const { prefix, env } = lab.administrator
  const words = [verb, release.name, release.chart, '--namespace', release.namespace, '--create-namespace']
  if (verb === 'upgrade') words.splice(5)
  await run([...prefix, 'helm', ...words, ...chartArguments(options)], {
    env,
    signal: options.signal,
    timeoutMs: 180_000,
  })
}

export async function uninstallChart(lab: TestCluster, signal?: AbortSignal): Promise<void> {
  const { prefix, env } = lab.administrator
  const words = ['uninstall', release.name, '--namespace', release.namespace, '--wait', '--timeout', '120s']
  await run([...prefix, 'helm', ...words], { env, signal, timeoutMs: 180_000 })
}
