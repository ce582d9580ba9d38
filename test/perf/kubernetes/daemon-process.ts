/** The daemon's process on a node: memory, CPU time, metrics. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubelab } from '../../kubelab/kubelab.ts'

const HEALTH_PORT = 9485
const NANOSECONDS = 1e9

export class DaemonProcess {
  readonly #lab: Kubelab
  readonly #node: number
  readonly pid: number

  private constructor(lab: Kubelab, node: number, pid: number) {
    this.#lab = lab
    this.#node = node
    this.pid = pid
  }

  static async of(lab: Kubelab, node: number): Promise<DaemonProcess> {
    const { containerId } = await lab.daemonPod(node)
    const { stdout } = await lab.exec(node, ['ctr', '-n', 'k8s.io', 'tasks', 'ls'])
    const line = stdout.split('\n').find((text) => text.startsWith(containerId))
    const pid = Number(line?.split(/\s+/)[1])
    if (!(pid > 0)) throw new Error(`the daemon of node${node} has no process`)
    return new DaemonProcess(lab, node, pid)
  }

  async #read(command: string): Promise<string> {
    const { status, stdout, stderr } = await this.#lab.exec(this.#node, ['sh', '-c', command])
    if (status !== 0) throw new Error(`${command} on node${this.#node}: ${stderr}`)
    return stdout
  }

  async residentMb(): Promise<number> {
    const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(await this.#read(`cat /proc/${this.pid}/status`))!
    return Number(kb) / 1024
  }

  /** The most since it was started, or since `forgetPeak`. */
  async peakMb(): Promise<number> {
    const [, kb] = /^VmHWM:\s+(\d+) kB$/m.exec(await this.#read(`cat /proc/${this.pid}/status`))!
    return Number(kb) / 1024
  }

  /** Seconds of CPU, all threads. */
  async cpuSeconds(): Promise<number> {
    const text = await this.#read(`cat /proc/${this.pid}/task/*/schedstat`)
    return (
      text
        .trim()
        .split('\n')
        .reduce((sum, line) => sum + Number(line.split(' ')[0]), 0) / NANOSECONDS
    )
  }

  /** Percent of one core over so many seconds. */
  async cpuPercent(seconds: number): Promise<number> {
    const before = [await this.cpuSeconds(), performance.now()] as const
    await sleep(seconds * 1000)
    const after = [await this.cpuSeconds(), performance.now()] as const
    return (100 * (after[0] - before[0])) / ((after[1] - before[1]) / 1000)
  }

  /** Value of a metric; reading resets the event loop's lag. */
  async metric(name: string): Promise<number> {
    const text = await this.#read(`curl -sf http://127.0.0.1:${HEALTH_PORT}/metrics`)
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    if (line === undefined) throw new Error(`there is no metric ${name}`)
    return Number(line.slice(name.length))
  }

  /** Milliseconds: the longest that the event loop was held up since it was last asked. */
  async longestBlockMs(): Promise<number> {
    return 1000 * (await this.metric('vrouter_event_loop_lag_seconds{quantile="1"}'))
  }
}
