/** Which file a published object is written to, and its text. Pure. */
import type { Published } from '../../model/objects.ts'
import { manifestOf } from '../objects/manifests.ts'

/** JSON, which every YAML reader reads. */
export function textOf(published: Published): string {
  return `${JSON.stringify(manifestOf(published), null, 2)}\n`
}

/** Name of its file in the folder of published objects. */
export function fileName(kind: Published['kind'], name: string): string {
  return `${kind}-${encodeURIComponent(name)}.yaml`
}
