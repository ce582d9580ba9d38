/** Whether programs in a folder may be executed, as /proc/self/mountinfo tells: runtimes only say "permission denied". Pure but for `isNoexec`. */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** False where there is no /proc to tell: then the plugin's own trial run has the last word. */
export function isNoexec(folder: string): boolean {
  let mountinfo: string
  try {
    mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  return mountOptions(mountinfo, resolve(folder)).includes('noexec')
}

/** Options of the mount that a path lies on (proc(5), mountinfo: fields 5 and 6). Of several mounts on one point the last is the one that is seen. */
export function mountOptions(mountinfo: string, path: string): string[] {
  let best = { point: '', options: [] as string[] }
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ')
    const [point, options] = [fields[4], fields[5]]
    if (point === undefined || options === undefined) continue
    const plain = point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const isAbove = plain === '/' || path === plain || path.startsWith(`${plain}/`)
    if (isAbove && plain.length >= best.point.length) best = { point: plain, options: options.split(',') }
  }
  return best.options
}
