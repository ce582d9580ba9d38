/**
 * Ports as files, where Contrail's agent and its CNI plugin keep them (introspect reference 4.6): `<folder>/<port uuid>` for ports of orchestrators,
 * `<folder>/vm/<vm name>/<vmi uuid>` for those of pods. The plugin usually wrote a pod's file before it called: such a file is kept.
 */

import { mkdir, open, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BadBody, type PortObject, parsePort, parseVm, UUID, type VmObject } from './port-object.ts'

const AUTHOR = 'contrail-vrouter-agent'

export type Stored<T> = T & { readonly author: string; readonly time: string }

export interface LoadedFiles {
  readonly ports: readonly PortObject[]
  readonly vms: readonly VmObject[]
  /** Files that can't be read as what they should be, and why. */
  readonly unusable: readonly { readonly file: string; readonly reason: string }[]
}

export class PortFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async load(): Promise<LoadedFiles> {
    const ports: PortObject[] = []
    const vms: VmObject[] = []
    const unusable: { file: string; reason: string }[] = []
    const read = async <T>(file: string, into: T[], parse: (value: unknown) => T): Promise<void> => {
      try {
        into.push(parse(JSON.parse(await readFile(file, 'utf8'))))
      } catch (error) {
        unusable.push({ file, reason: (error as Error).message })
      }
    }
    for (const name of await namesIn(this.#folder))
      if (UUID.test(name)) await read(join(this.#folder, name), ports, parsePort)
    for (const vm of await namesIn(this.#vmFolder()))
      for (const name of await namesIn(this.#vmFolder(vm)))
        if (UUID.test(name)) await read(join(this.#vmFolder(vm), name), vms, parseVm)
    return { ports, vms, unusable }
  }

  async writePort(port: PortObject): Promise<void> {
    await write(join(this.#folder, port.id), stored(port))
  }

  /** What was stored of a port; undefined when there is none. */
  async readPort(id: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(join(this.#folder, id), 'utf8'))
    } catch {
      return undefined
    }
  }

  async removePort(id: string): Promise<void> {
    await remove(join(this.#folder, id))
  }

  /** Leaves a file alone that is there already. Throws BadBody when it can't be written. */
  async writeVm(vm: VmObject): Promise<void> {
    const folder = this.#vmFolder(vm['vm-name'])
    if ((await namesIn(folder)).includes(vm['vmi-uuid'])) return
    try {
      await write(join(folder, vm['vmi-uuid']), stored(vm))
    } catch {
      throw new BadBody(`Writing of Json string to file failed for Vm ${vm['vm-uuid']}`)
    }
  }

  async removeVm(vm: Pick<VmObject, 'vm-name' | 'vmi-uuid'>): Promise<void> {
    const folder = this.#vmFolder(vm['vm-name'])
    await remove(join(folder, vm['vmi-uuid']))
    // Others may have their files in it; or it is gone with the plugin's own clean-up.
    await rmdir(folder).catch(() => undefined)
  }

  #vmFolder(...names: string[]): string {
    return join(this.#folder, 'vm', ...names)
  }
}

/** Such as `2024-Mar-01 09:15:00.120000`. */
export function timeText(date: Date): string {
  const month = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'][date.getUTCMonth()]
  const [, , day, time] = /^(\d+-\d+)-(\d+)T([\d:.]+)Z$/.exec(date.toISOString())!
  return `${date.getUTCFullYear()}-${month}-${day} ${time}000`
}

export function stored<T extends object>(object: T): Stored<T> {
  return { ...object, author: AUTHOR, time: timeText(new Date()) }
}

async function write(file: string, object: object): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true, mode: 0o755 })
  const temporary = `${file}.tmp`
  const handle = await open(temporary, 'w', 0o644)
  try {
    await handle.writeFile(`${JSON.stringify(object, undefined, 4)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function remove(file: string): Promise<void> {
  await unlink(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
  })
}

/** Names in a folder; none when it isn't there. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
