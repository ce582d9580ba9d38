/**
 * Which object file each pinned program was loaded from: `<state>/datapath.json`. Verifying the datapath takes seconds; a daemon that
 * finds its programs pinned and their files unchanged needn't do it again. Without the record, or with one that doesn't match, they are
 * loaded anew and compared: nothing depends on it but time.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { programInfo } from '@kube-vrouter/linux/bpf/syscall'

export interface LoadedProgram {
  /** Of the object file. */
  readonly sha256: string
  /** Kernel id and load time: together they name one program of one boot. */
  readonly id: number
  readonly loadTimeNs: string
  /** Ids of the shared maps that it uses. */
  readonly maps: readonly number[]
}

export class LoadRecord {
  readonly #path: string
  #programs: Record<string, LoadedProgram>

  constructor(stateFolder: string) {
    this.#path = join(stateFolder, 'datapath.json')
    this.#programs = readRecord(this.#path)
  }

  /** True when the pinned program behind `fd` came from this very file and uses the maps with these ids. */
  matches(name: string, fd: number, sha256: string, maps: ReadonlySet<number>): boolean {
    const known = this.#programs[name]
    if (known?.sha256 !== sha256) return false
    const { id, loadTimeNs } = programInfo(fd)
    return known.id === id && known.loadTimeNs === String(loadTimeNs) && known.maps.every((map) => maps.has(map))
  }

  set(name: string, fd: number, sha256: string, maps: ReadonlySet<number>): void {
    const { id, loadTimeNs, mapIds } = programInfo(fd)
    const shared = mapIds.filter((map) => maps.has(map))
    this.#programs = { ...this.#programs, [name]: { sha256, id, loadTimeNs: String(loadTimeNs), maps: shared } }
  }

  /** A failure costs the next start some time, and nothing else. */
  save(): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
      writeFileSync(`${this.#path}.tmp`, `${JSON.stringify({ version: 1, programs: this.#programs })}\n`, {
        mode: 0o600,
      })
      renameSync(`${this.#path}.tmp`, this.#path)
    } catch {
      // See above.
    }
  }
}

export function sha256Of(file: Uint8Array): string {
  return createHash('sha256').update(file).digest('hex')
}

function readRecord(path: string): Record<string, LoadedProgram> {
  try {
    const { version, programs } = JSON.parse(readFileSync(path, 'utf8'))
    return version === 1 && typeof programs === 'object' && programs !== null ? programs : {}
  } catch {
    return {}
  }
}
