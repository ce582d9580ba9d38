/** What the tests of the kernel bindings share: when to skip, namespaces, and small bpf objects compiled on the spot. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import type { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { until } from '../patience.ts'

const isRoot = process.getuid?.() === 0

function describeIf(reason: string | undefined, title: string, body: () => void): void {
  if (reason === undefined) describe(title, body)
  else describe.skip(`${title} (skipped: ${reason})`, body)
}

/** Tests that make namespaces and devices. */
export function describeKernel(title: string, body: () => void): void {
  describeIf(isRoot ? undefined : 'needs root', title, body)
}

/** Tests that make bpf maps. */
export function describeBpf(title: string, body: () => void): void {
  describeIf(isRoot ? whyNoBpf() : 'needs root', title, body)
}

/** Tests that load bpf programs of `testdata`. */
export function describeBpfPrograms(title: string, body: () => void): void {
  describeIf(isRoot ? (whyNoBpf() ?? whyNoCompiler()) : 'needs root', title, body)
}

function whyNoBpf(): string | undefined {
  try {
    BpfMap.create({ type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 })[Symbol.dispose]()
    return undefined
  } catch (error) {
    return `no bpf here: ${(error as Error).message}`
  }
}

function whyNoCompiler(): string | undefined {
  try {
    execFileSync('clang', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'needs clang'
  }
}

/** A folder that goes with the scope. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'kv-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Compiles `testdata/<name>.bpf.c`; returns the object's path in `folder`. */
export function compile(name: string, folder: string): string {
  const source = fileURLToPath(new URL(`./testdata/${name}.bpf.c`, import.meta.url))
  const object = join(folder, `${name}.bpf.o`)
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch
  execFileSync('clang', [
    '-O2',
    '-g',
    '-target',
    'bpf',
    `-I/usr/include/${machine}-linux-gnu`,
    '-c',
    source,
    '-o',
    object,
  ])
  return object
}

/** Runs a command inside the namespace and returns what it prints. */
export function runIn(namespace: NetworkNamespace, command: string, ...args: string[]): string {
  const path = `/proc/${process.pid}/fd/${namespace.fd}`
  return execFileSync('nsenter', [`--net=${path}`, command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** A name of a namespace or device that nobody else uses. At most 15 bytes. */
export function randomName(): string {
  return `kv-${Math.random().toString(36).slice(2, 10)}`
}

/** Waits until `check` holds. */
export async function eventually(check: () => boolean, what: string): Promise<void> {
  await until(what, check)
}
