/**
 * Makes what is derived from the chart, and is committed:
 *
 *   charts/kube-vrouter/values.schema.json   what helm checks values by
 *   charts/kube-vrouter/README.md            with a table of all values
 *   manifests/kube-vrouter.yaml              the chart with its defaults, for `kubectl apply`
 *   manifests/uninstall.yaml                 the job that gives the nodes back, for those who don't uninstall by helm
 *
 * `node hack/manifests.ts` writes them; `--check` exits with 1 when one differs. Manifests need helm; without it they are left as they are.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import configSchema from '../daemon/src/config/schema.json' with { type: 'json' }
import { CHART, findHelm, render } from './manifests/helm.ts'
import { readme } from './manifests/readme.ts'
import { valuesSchema } from './manifests/schema.ts'
import { readValues } from './manifests/values.ts'

const root = resolve(import.meta.dirname, '..')

export interface Derived {
  /** Relative to the root of the repo. */
  readonly file: string
  readonly text: string
}

/** What can be made without helm. */
export function derivedFromValues(): Derived[] {
  const values = readValues(readFileSync(join(CHART, 'values.yaml'), 'utf8'))
  const schema = valuesSchema(values, configSchema)
  const head = readFileSync(join(CHART, 'README.head.md'), 'utf8')
  return [
    { file: 'charts/kube-vrouter/values.schema.json', text: `${JSON.stringify(schema, undefined, 2)}\n` },
    { file: 'charts/kube-vrouter/README.md', text: readme(head, values) },
  ]
}

const INSTALL_HEAD = `# kube-vrouter with the defaults of its chart, made by \`npm run manifests\`: kubectl apply --server-side -f kube-vrouter.yaml
# Where no kube-proxy runs, set source.server in the ConfigMap vrouter-config to the API server's own address before:
#   server: https://192.0.2.1:6443
# To remove it, see uninstall.yaml.
`

const UNINSTALL_HEAD = `# Gives all nodes back, and removes what they had told each other; made by \`npm run manifests\`.
#   kubectl apply --server-side -f uninstall.yaml
#   kubectl --namespace kube-vrouter wait --for=condition=complete --timeout=10m job/vrouter-cleanup
#   kubectl delete -f uninstall.yaml -f kube-vrouter.yaml      # this deletes the CRDs and all networks; leave those out that shall stay
`

export function derivedFromChart(helm: string): Derived[] {
  const all = objectsOf(render(helm, { set: ['namespace.create=true'] }))
  const isHook = ({ metadata }: KubeObject) => metadata.annotations?.['helm.sh/hook'] !== undefined
  // Namespace and CRDs before what needs them: kubectl applies from top to bottom.
  const rank = ({ kind }: KubeObject) => (kind === 'Namespace' ? 0 : kind === 'CustomResourceDefinition' ? 1 : 2)
  const installed = all.filter((object) => !isHook(object)).sort((a, b) => rank(a) - rank(b))
  return [
    { file: 'manifests/kube-vrouter.yaml', text: INSTALL_HEAD + textOf(installed) },
    { file: 'manifests/uninstall.yaml', text: UNINSTALL_HEAD + textOf(all.filter(isHook)) },
  ]
}

interface KubeObject {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
}

function objectsOf(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const object = document.toJS() as KubeObject | null
    return object === null ? [] : [object]
  })
}

/** Without what only helm goes by. */
function textOf(objects: readonly KubeObject[]): string {
  return objects
    .map((object) => {
      const { labels, annotations } = object.metadata
      if (labels?.['app.kubernetes.io/managed-by'] === 'Helm') delete labels['app.kubernetes.io/managed-by']
      for (const name of Object.keys(annotations ?? {})) if (name.startsWith('helm.sh/')) delete annotations![name]
      if (annotations !== undefined && Object.keys(annotations).length === 0) delete object.metadata.annotations
      return `---\n${stringify(object, { lineWidth: 0 })}`
    })
    .join('')
}

if (import.meta.main) {
  const helm = findHelm()
  const all = derivedFromValues()
  for (const { file, text } of all) write(file, text)
  if (helm === undefined) console.error('hack/manifests.ts: no helm here: manifests/ is left as it is')
  else for (const { file, text } of derivedFromChart(helm)) write(file, text)
}

function write(file: string, text: string): void {
  const path = join(root, file)
  if (read(path) === text) return
  if (process.argv.includes('--check')) {
    console.error(`${file} isn't what the chart gives: run npm run manifests`)
    process.exitCode = 1
    return
  }
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  console.log(`wrote ${file}`)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
