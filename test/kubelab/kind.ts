/**
 * A cluster that hack/kind made, as the end-to-end tests see it. Its nodes are containers: docker (or podman) enters, ends and starts them.
 *
 * hack/kind calls worker I node`I` in Kubernetes; the container has kind's own name. The outside host is a container NAME-outside.
 */
import { execFileSync } from 'node:child_process'
import { TestCluster } from './cluster.ts'
import { attempt, type CommandOptions, failure, type Outcome, run, until } from './command.ts'
import type { Part } from './control-plane.ts'

const manifests = '/etc/kubernetes/manifests'

export class KindCluster extends TestCluster {
  override readonly name: string
  override readonly nodes: readonly { readonly number: number; readonly name: string }[]
  readonly #engine: string

  /** @param name kind's name of the cluster */
  constructor(name: string, engine: string = process.env['KIND_EXPERIMENTAL_PROVIDER'] ?? 'docker') {
    super()
    this.name = name
    this.#engine = engine
    const workers = execFileSync('kind', ['get', 'nodes', '--name', name], { encoding: 'utf8' })
      .split('\n')
      .filter((container) => /-worker\d*$/.test(container))
    this.nodes = workers.map((_, index) => ({ number: index + 1, name: `node${index + 1}` }))
  }

  override get hasVrouter(): boolean {
    return true
  }

  override get logFolders(): readonly string[] {
    return []
  }

  override get administrator(): { readonly prefix: readonly string[]; readonly env: Readonly<Record<string, string>> } {
    return { prefix: [], env: { HELM_KUBECONTEXT: `kind-${this.name}` } }
  }

  override tryKubectl(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return attempt(['kubectl', '--context', `kind-${this.name}`, ...args], options)
  }

  override async exec(
    node: number | `node${number}`,
    command: readonly string[],
    options: CommandOptions = {},
  ): Promise<Outcome> {
    const number = typeof node === 'number' ? node : Number(node.slice('node'.length))
    return await this.#inContainer(this.#containerOf(number), command, options)
  }

  override outside(command: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return this.#inContainer(`${this.name}-outside`, command, options)
  }

  override async nodeDown(node: number): Promise<boolean> {
    return (await attempt([this.#engine, 'kill', this.#containerOf(node)])).status === 0
  }

  override async nodeUp(node: number, signal?: AbortSignal): Promise<void> {
    await run([this.#engine, 'start', this.#containerOf(node)], { signal })
    const answers = async () => (await this.exec(node, ['ctr', 'version'])).status === 0
    await until(`containerd of node${node}`, answers, { signal })
  }

  /** The parts are static pods: away with the manifest, away with the pod. */
  override stopPart(part: Part): Promise<boolean> {
    return this.#moveManifest(`${manifests}/${part}.yaml`, `/root/${part}.yaml`)
  }

  override async startPart(part: Part): Promise<void> {
    await this.#moveManifest(`/root/${part}.yaml`, `${manifests}/${part}.yaml`)
  }

  async #moveManifest(from: string, to: string): Promise<boolean> {
    const { status } = await this.#inContainer(`${this.name}-control-plane`, ['mv', from, to])
    return status === 0
  }

  /** hack/kind deletes the cluster. */
  override async [Symbol.asyncDispose](): Promise<void> {}

  #containerOf(node: number): string {
    const { number } = this.known(node)
    return `${this.name}-worker${number === 1 ? '' : number}`
  }

  async #inContainer(container: string, command: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    const words = [this.#engine, 'exec', '-i', container, ...command]
    const outcome = await attempt(words, options)
    // The engine's own failures, as opposed to the command's.
    if (outcome.status === 125) throw failure(words, outcome)
    return outcome
  }
}
