/**
 * The bpf_links of a node, run inside it (VROUTER_PINS names its pins):
 *   links.ts list            name and ifindex of each pinned link; ifindex 0: detached
 *   links.ts detach NAME     takes the program off its device, as somebody with `bpftool link detach` would; says the same of this link
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { linkDetach, linkInfo, objGet } from '@kube-vrouter/linux/bpf/syscall'

const folder = join(process.env['VROUTER_PINS']!, 'links')
const [verb, name] = process.argv.slice(2)

switch (verb) {
  case 'list':
    for (const link of readdirSync(folder)) console.log(`${link} ${linkInfo(objGet(join(folder, link))).ifindex ?? 0}`)
    break
  case 'detach': {
    const link = objGet(join(folder, name!))
    linkDetach(link)
    console.log(`${name} ${linkInfo(link).ifindex ?? 0}`)
    break
  }
  default:
    throw new Error(`unknown verb ${verb}`)
}
