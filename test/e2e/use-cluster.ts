/**
 * Clusters for suites: the one that they share, a real Kubernetes of two nodes with our chart installed, started by the first suite that asks for it
 * and taken down after the last, or one of a suite's own. Where none can be built, suites are skipped and say why.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { dumpFolder } from '../kubelab/dump-folder.ts'
import { KindCluster } from '../kubelab/kind.ts'
import { Kubelab, type StartOptions } from '../kubelab/kubelab.ts'
import { buildImage } from '../kubelab/prepare.ts'
import { skipBecause } from '../skip.ts'
import { Cluster, nodes } from './cluster.ts'
import { OwnAddressWatch } from './own-addresses.ts'
import { whyNoCluster } from './prerequisites.ts'

/** Of nodes that start, and of all that a suite prepares. */
const START_MS = 10 * 60_000
const END_MS = 5 * 60_000

let shared: Promise<Cluster> | undefined
let hasFailed = false

/** For a suite: `prepare` gets the cluster that suites share, before the first test. The namespaces that the suite makes go with it. */
export function useCluster(prepare: (here: Cluster) => void | Promise<void>): void {
  let here: Cluster | undefined
  before(async function () {
    this.timeout(START_MS)
    skipBecause(this, whyNoCluster())
    shared ??= startShared()
    here = await shared
    try {
      await prepare(here)
    } catch (error) {
      hasFailed = true
      throw error
    }
  })
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') hasFailed = true
    const leaked = here?.ownAddresses?.take() ?? ''
    if (leaked !== '') hasFailed = true
    assert.equal(leaked, '', 'packets crossed the underlay with a pod’s own address, outside of a tunnel')
  })
  after(async function () {
    this.timeout(END_MS)
    await here?.removeNamespaces()
  })
}

/** For a suite after which nothing else can be tested in its cluster. */
export function useOwnCluster(
  options: StartOptions,
  prepare: (here: Cluster, lab: Kubelab) => void | Promise<void>,
): void {
  let here: Cluster | undefined
  let isWhole = true
  before(async function () {
    this.timeout(START_MS)
    skipBecause(this, process.env['E2E_KIND'] !== undefined ? 'it needs a cluster of its own' : whyNoCluster())
    // Also for a suite that installs it by itself.
    await buildImage()
    const lab = await Kubelab.start({ ...options, name: randomName() })
    here = new Cluster(lab)
    isWhole = false
    await prepare(here, lab)
    isWhole = true
  })
  afterEach(function () {
    if (this.currentTest?.state === 'failed') isWhole = false
  })
  after(async function () {
    this.timeout(END_MS)
    if (here !== undefined) await end(here, isWhole)
  })
}

/** The cluster of kind that E2E_KIND names (hack/kind), else one of our own. */
async function startShared(): Promise<Cluster> {
  const kind = process.env['E2E_KIND']
  if (kind !== undefined) return new Cluster(new KindCluster(kind))
  const lab = await Kubelab.start({ name: randomName(), nodes: nodes.length, dualStack: true })
  return new Cluster(lab, await OwnAddressWatch.start(lab.name))
}

function randomName(): string {
  return `e2e-${randomBytes(3).toString('hex')}`
}

async function end(here: Cluster, isWhole: boolean): Promise<void> {
  if (!isWhole) {
    const folder = dumpFolder('E2E_DUMP')
    await here.lab.dump(folder)
    console.error(`what a human needs to understand the failure lies in ${folder}`)
  }
  await here[Symbol.asyncDispose]()
}

after(async function () {
  this.timeout(END_MS)
  // A start that failed was reported by the suite that asked for it.
  const here = await shared?.catch(() => undefined)
  if (here !== undefined) await end(here, !hasFailed)
})
