/**
 * `vrouter preflight`: what this machine lacks for a vRouter, and the remedy for each item. Everything that it tries, it tries in a
 * network namespace of its own that vanishes with it; nothing of the machine is changed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { Attr, BpfCommand } from '@kube-vrouter/linux/bpf/command'
import { libbpfVersion } from '@kube-vrouter/linux/bpf/libbpf'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { linkCreateTcx, linkInfo, MapType, TcxAttach } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { allocateCopy, allocateString, close } from '@kube-vrouter/linux/ffi'
import { NetworkNamespace, withNamespace } from '@kube-vrouter/linux/namespace'
import { openTap } from '@kube-vrouter/linux/tap'
import { type ErrorCode, reasonOf, remedyOf } from './errors.ts'

export interface PreflightItem {
  readonly name: string
  readonly status: 'ok' | 'missing' | 'optional'
  /** What was found, or why it doesn't do. */
  readonly detail: string
  /** What to do; absent when ok. */
  readonly remedy?: string
}

export interface PreflightReport {
  /** Nothing that a vRouter needs is missing. */
  readonly ok: boolean
  readonly items: readonly PreflightItem[]
}

interface Check {
  readonly name: string
  /** What was found; throws why it doesn't do. */
  readonly probe: () => string
  readonly remedy: ErrorCode | { readonly text: string }
  /** Only for building or testing. */
  readonly isOptional?: boolean
}

const MINIMUM_KERNEL = [6, 6] as const

const checks: readonly Check[] = [
  { name: 'kernel', probe: kernelVersion, remedy: 'KERNEL_TOO_OLD' },
  { name: 'root', probe: capabilities, remedy: 'NOT_PERMITTED' },
  { name: 'bpf', probe: makeMap, remedy: 'NOT_PERMITTED' },
  { name: 'tcx', probe: () => inNewNamespace(attachProgram), remedy: 'KERNEL_TOO_OLD' },
  {
    name: 'tun',
    probe: () => inNewNamespace(makeTap),
    remedy: { text: 'Load the module (modprobe tun), or give the container the device /dev/net/tun.' },
  },
  { name: 'bpffs', probe: bpfFileSystem, remedy: 'PINS_NOT_BPFFS' },
  {
    name: 'btf',
    probe: kernelBtf,
    remedy: { text: 'Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all distributions are.' },
  },
  { name: 'libbpf', probe: () => `libbpf ${libbpfVersion()}`, remedy: 'LIBBPF_MISSING' },
  {
    name: 'clang',
    probe: clangVersion,
    remedy: { text: 'Only for building the datapath and for tests: apt install clang llvm libbpf-dev make.' },
    isOptional: true,
  },
]

export async function preflight(): Promise<PreflightReport> {
  const items = checks.map(run)
  return { ok: items.every(({ status }) => status !== 'missing'), items }
}

/** One line for each item, the remedy below what is missing. */
export function printPreflight({ ok, items }: PreflightReport): string {
  const marks = { ok: '✓', missing: '✗', optional: '–' } as const
  const lines = items.flatMap(({ name, status, detail, remedy }) => [
    `${marks[status]} ${name.padEnd(8)} ${detail}`,
    ...(remedy === undefined ? [] : [`  ${' '.repeat(8)} ${remedy}`]),
  ])
  return `${lines.join('\n')}\n\n${ok ? 'This machine can run a vRouter.' : 'This machine can not run a vRouter yet.'}\n`
}

function run({ name, probe, remedy, isOptional }: Check): PreflightItem {
  try {
    return { name, status: 'ok', detail: probe() }
  } catch (error) {
    // Without the right to try, nothing is known of the thing itself.
    const cause = isErrno(error, 'EPERM', 'EACCES') ? 'NOT_PERMITTED' : remedy
    const text = typeof cause === 'string' ? remedyOf(cause) : cause.text
    return { name, status: isOptional ? 'optional' : 'missing', detail: reasonOf(error), remedy: text }
  }
}

function kernelVersion(): string {
  const text = release()
  if (!isRecentKernel(text)) throw new Error(`kernel ${text} is older than ${MINIMUM_KERNEL.join('.')}`)
  return `kernel ${text}`
}

/** `release` as uname(2) gives it, such as 6.18.44-amd64. */
export function isRecentKernel(text: string): boolean {
  const [major = 0, minor = 0] = text.split(/[.-]/).map(Number)
  const [needMajor, needMinor] = MINIMUM_KERNEL
  return major > needMajor || (major === needMajor && minor >= needMinor)
}

const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const

function capabilities(): string {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  const lacking = missingCapabilities(BigInt(`0x${effective}`))
  if (lacking.length > 0) throw new Error(`this process lacks ${lacking.join(', ')}`)
  return process.getuid?.() === 0 ? 'root' : `user ${process.getuid?.()} with the capabilities that are needed`
}

/** CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON. */
export function missingCapabilities(effective: bigint): string[] {
  const has = (bit: number) => ((effective >> BigInt(bit)) & 1n) === 1n
  return Object.entries(CAPABILITIES)
    .filter(([name, bit]) => !has(bit) && !(isPartOfAdmin(name) && has(CAPABILITIES.CAP_SYS_ADMIN)))
    .map(([name]) => name)
}

function isPartOfAdmin(name: string): boolean {
  return name === 'CAP_BPF' || name === 'CAP_PERFMON'
}

function makeMap(): string {
  using _ = BpfMap.create({ type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1, name: 'preflight' })
  return 'maps can be made'
}

function inNewNamespace(probe: () => string): string {
  using namespace = NetworkNamespace.create()
  return withNamespace(namespace, probe)
}

const BPF_PROG_TYPE_SCHED_CLS = 3
/** r0 = -1 (next program); exit. */
const PASS = Uint8Array.of(0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0)
const LOOPBACK = 1

function attachProgram(): string {
  const programFd = new Attr()
    .u32(0, BPF_PROG_TYPE_SCHED_CLS)
    .u32(4, PASS.length / 8)
    .pointer(8, allocateCopy(PASS))
    .pointer(16, allocateString('Dual BSD/GPL'))
    .call(BpfCommand.PROG_LOAD, 'cannot load a program')
  try {
    const link = linkCreateTcx({ programFd, ifindex: LOOPBACK, attach: TcxAttach.INGRESS })
    try {
      if (linkInfo(link).ifindex !== LOOPBACK) throw new Error('the kernel attached the program elsewhere')
    } finally {
      close(link)
    }
  } finally {
    close(programFd)
  }
  return 'programs can be loaded and attached by a link'
}

function makeTap(): string {
  close(openTap({ name: 'preflight0', persist: false }).fd)
  return 'TAP devices can be made'
}

function bpfFileSystem(): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'bpf')
  const path = mounts[0]?.[1]
  if (path === undefined) throw new Error('no bpf file system is mounted here')
  return `mounted at ${mounts.map(([, at]) => at).join(', ')}`
}

function kernelBtf(): string {
  const path = '/sys/kernel/btf/vmlinux'
  if (!existsSync(path)) throw new Error(`${path} doesn't exist`)
  return `${path} exists`
}

function clangVersion(): string {
  const { stdout, error } = spawnSync('clang', ['--version'], { encoding: 'utf8' })
  if (error) throw new Error('clang is not installed')
  return stdout.split('\n')[0] ?? 'clang'
}
