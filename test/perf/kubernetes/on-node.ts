/** Programs that run on a node for the time of a measurement and tell what they see, a line of JSON each. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import { onNode } from '../../kubelab/node.ts'

export class NodeProgram implements AsyncDisposable {
  readonly #child: ChildProcess

  constructor(lab: Kubelab, node: number, command: readonly string[], onLine: (line: string) => void) {
    const [program, ...args] = onNode(lab.node(node), command, lab.containerd)
    this.#child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', onLine)
  }

  /** A script of this folder. */
  static script(
    lab: Kubelab,
    node: number,
    file: string,
    args: readonly string[],
    onLine: (line: string) => void,
  ): NodeProgram {
    return new NodeProgram(lab, node, [process.execPath, join(import.meta.dirname, file), ...args], onLine)
  }

  tell(message: object): void {
    this.#child.stdin!.write(`${JSON.stringify(message)}\n`)
  }

  /** Ends it: its input closes, and after a second it is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 1000)
    await ended
    clearTimeout(timer)
  }
}

/** Process of a pod's container, as its node counts. */
export async function pidOfPod(lab: Kubelab, node: number, containerId: string): Promise<number> {
  const { stdout } = await lab.exec(node, ['ctr', '-n', 'k8s.io', 'tasks', 'ls'])
  const line = stdout.split('\n').find((text) => text.startsWith(containerId))
  const pid = Number(line?.split(/\s+/)[1])
  if (!(pid > 0)) throw new Error(`container ${containerId} has no process`)
  return pid
}
