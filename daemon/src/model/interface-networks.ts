/**
 * `vrouter.dev/networks` of a pod or namespace: a network for each interface, by the interface's name in the pod (CNI_IFNAME):
 * `blue@eth1, shop/green@eth2`, or the JSON list that meta plugins read, `[{"name": "blue", "namespace": "shop", "interface": "eth1"}]`.
 * Who adds those interfaces is another question: the runtime, or a meta plugin. Pure.
 */

export interface NamedInterface {
  readonly ifname: string
  /** As `vrouter.dev/network` has it. */
  readonly network: string
}

export type InterfaceNetworks =
  | { readonly ok: true; readonly interfaces: readonly NamedInterface[] }
  /** `message`: what is wrong with it, to stand behind the annotation's name. */
  | { readonly ok: false; readonly message: string }

const LONGEST_SHOWN = 80

export function parseInterfaceNetworks(text: string): InterfaceNetworks {
  const parsed = text.trim().startsWith('[') ? parseJson(text) : parseList(text)
  if (!parsed.ok) return parsed
  const seen = new Set<string>()
  for (const { ifname } of parsed.interfaces) {
    if (seen.has(ifname)) return wrong(`names interface ${ifname} twice`)
    seen.add(ifname)
  }
  return parsed
}

function parseList(text: string): InterfaceNetworks {
  const interfaces: NamedInterface[] = []
  for (const entry of text.split(',').map((part) => part.trim())) {
    const at = entry.lastIndexOf('@')
    if (at < 0) {
      const remedy = entry === '' ? 'is empty' : `names no interface: write ${shown(entry)}@eth1`
      return wrong(`has the entry "${shown(entry)}", which ${remedy}`)
    }
    const [network, ifname] = [entry.slice(0, at).trim(), entry.slice(at + 1).trim()]
    if (!/^[^\s@]+$/.test(network)) return wrong(`has the entry "${shown(entry)}", which names no network`)
    if (!isIfname(ifname)) return wrong(`has the entry "${shown(entry)}": "${shown(ifname)}" can't name an interface`)
    interfaces.push({ ifname, network })
  }
  return { ok: true, interfaces }
}

const KEYS = ['name', 'namespace', 'interface']

function parseJson(text: string): InterfaceNetworks {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    return wrong(`is no JSON: ${shown(text)}`)
  }
  const interfaces: NamedInterface[] = []
  for (const [i, entry] of (list as unknown[]).entries()) {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
      return wrong(`[${i}] is ${shown(JSON.stringify(entry))}; wanted {"name", "namespace", "interface"}`)
    const { name, namespace, interface: ifname } = entry as Record<string, unknown>
    // What would be left out unnoticed: an address or MAC that the pod counts on.
    const unknown = Object.keys(entry).find((key) => !KEYS.includes(key))
    if (unknown !== undefined) return wrong(`[${i}].${shown(unknown)} is not read; known are ${KEYS.join(', ')}`)
    if (typeof name !== 'string' || name.trim() === '') return wrong(`[${i}].name names no network`)
    if (namespace !== undefined && (typeof namespace !== 'string' || namespace === ''))
      return wrong(`[${i}].namespace is ${shown(JSON.stringify(namespace))}; wanted a namespace`)
    if (typeof ifname !== 'string' || !isIfname(ifname))
      return wrong(`[${i}].interface is ${shown(JSON.stringify(ifname) ?? 'missing')}; wanted a name such as eth1`)
    interfaces.push({ ifname, network: namespace === undefined ? name.trim() : `${namespace}/${name.trim()}` })
  }
  return { ok: true, interfaces }
}

/** Linux's rules for names of interfaces. */
function isIfname(text: string): boolean {
  return /^(?!\.{1,2}$)[^\s/:@]+$/.test(text) && Buffer.byteLength(text) <= 15
}

function wrong(message: string): InterfaceNetworks {
  return { ok: false, message }
}

function shown(text: string): string {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text
}
