/**
 * A private corner of the machine for one test file: a network namespace, a bpf file system and a folder of its own. Only the main
 * thread moves in, so everything that touches pins is synchronous. Leaving removes all of it.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { mount, setns, umount2, unshare } from '@kube-vrouter/linux/ffi'
import { createNamed, deleteNamed, namedPath } from '@kube-vrouter/linux/namespace'
import { skipBecause } from '../skip.ts'

const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000
const CLONE_NEWNET = 0x40000000
const MS_PRIVATE_REC = 0x40000 | 0x4000

/** Why tests with namespaces and BPF can't run here; undefined: they can. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  if (spawnSync('clang', ['--version']).error) return 'needs clang'
  try {
    BpfMap.create({ type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1, name: 'probe' })[Symbol.dispose]()
  } catch (error) {
    return `needs BPF: ${(error as Error).message}`
  }
  return undefined
}

/** For `before`: skips the whole suite, saying why, where it can't run. */
export function requireRoot(context: Mocha.Context): void {
  skipBecause(context, whyNot())
}

export class Sandbox implements Disposable {
  readonly name = `kv-${randomBytes(4).toString('hex')}`
  /** A temporary folder. */
  readonly folder = mkdtempSync(join(tmpdir(), 'vrouter-dataplane-'))
  readonly bpffs = join(this.folder, 'bpf')
  readonly #home = { net: openSync('/proc/thread-self/ns/net', 'r'), mnt: openSync('/proc/thread-self/ns/mnt', 'r') }

  constructor() {
    using created = createNamed(this.name)
    mkdirSync(this.bpffs)
    unshare(CLONE_NEWNS)
    mount('none', '/', 'none', MS_PRIVATE_REC)
    mount('bpf', this.bpffs, 'bpf', 0)
    setns(created.fd, CLONE_NEWNET)
    this.run('ip', 'link', 'set', 'lo', 'up')
  }

  /** Runs a command in the namespace; returns its output. */
  run(command: string, ...args: string[]): string {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  }

  get netns(): string {
    return namedPath(this.name)
  }

  [Symbol.dispose](): void {
    umount2(this.bpffs, 2)
    setns(this.#home.net, CLONE_NEWNET)
    unshare(CLONE_FS) // threads made meanwhile share it, and the kernel then refuses to change the mount namespace
    setns(this.#home.mnt, CLONE_NEWNS)
    closeSync(this.#home.net)
    closeSync(this.#home.mnt)
    deleteNamed(this.name)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Compiles objects that have the datapath's maps, and programs that let everything pass; beside them what ends flows, as it is. `variant` makes programs differ. */
export function buildObjects(
  folder: string,
  options: { readonly variant?: number; readonly source?: string } = {},
): string {
  mkdirSync(folder, { recursive: true })
  const lib = join(import.meta.dirname, '../../daemon/datapath/lib')
  const includes = ['-I/usr/include/x86_64-linux-gnu', '-I/usr/include/aarch64-linux-gnu', `-I${lib}`]
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...includes]
  const compile = (file: string, name: string) =>
    execFileSync('clang', [...flags, '-c', file, '-o', join(folder, `${name}.bpf.o`)])
  for (const [name, section] of [
    ['tap', 'tcx/ingress'],
    ['fabric', 'tcx/ingress'],
    ['outside', 'tcx/ingress'],
    ['vhost', 'tcx/egress'],
    ['agent', 'tcx/ingress'],
    ['ageing', 'syscall'],
  ] as const) {
    const isAgeing = name === 'ageing'
    const source = `
#include <linux/types.h>
#include "maps.h"
${options.source ?? ''}
SEC("${section}") int ${isAgeing ? 'start_ageing' : name}(${isAgeing ? 'void' : 'struct __sk_buff'} *ctx)
{
	__u32 zero = 0;
	struct globals *g = bpf_map_lookup_elem(&globals, &zero);
	return ${isAgeing ? '0' : `g && g->abi == ${1000 + (options.variant ?? 0)} ? 2 : ${name === 'vhost' ? '0' : '-1'}`};
}
char _license[] SEC("license") = "Dual BSD/GPL";
`
    const file = join(folder, `${name}.bpf.c`)
    writeFileSync(file, source)
    compile(file, name)
  }
  compile(join(lib, '../endpoints.bpf.c'), 'endpoints')
  return folder
}
