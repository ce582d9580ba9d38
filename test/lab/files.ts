/** Files of the lab that other processes read: whole or absent, also when the writer is interrupted. */
import { renameSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

export function writeWhole(file: string, text: string): void {
  const temporary = join(dirname(file), `.${basename(file)}.tmp`)
  writeFileSync(temporary, text)
  renameSync(temporary, file)
}
