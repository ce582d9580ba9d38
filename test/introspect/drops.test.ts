/** What the datapath drops is shown, whatever the reason. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { kDropStatsReq } from '@kube-vrouter/daemon/introspect/pages/kstate-stats'
import { documentToXml } from '@kube-vrouter/daemon/introspect/wire'
import * as constants from '@kube-vrouter/daemon/maps/constants'
import { CLONED_ORIGINAL, DROP_REASONS } from '@kube-vrouter/daemon/utilities/format-dropstats'
import { contextOfFixture } from '../doubles/small-cluster.ts'

const DATAPATH = new URL('../../daemon/datapath/', import.meta.url).pathname

/** Reasons that a program gives. */
function used(): string[] {
  const files = [`${DATAPATH}`, `${DATAPATH}lib/`].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /\.(h|bpf\.c)$/.test(name) && name !== 'types.h')
      .map((name) => readFileSync(`${folder}${name}`, 'utf8')),
  )
  const names = files.flatMap((text) => [...text.matchAll(/\bDROP_[A-Z0-9_]+\b/g)].map(([name]) => name))
  return [...new Set(names)].filter((name) => name !== 'DROP_REASONS')
}

describe('drops of the datapath', () => {
  const numbers = new Map(used().map((name) => [name, (constants as unknown as Record<string, number>)[name]!]))

  it('are all on the page of the kernel’s counters, each once', async () => {
    const drops = Array<bigint>(64).fill(0n)
    let number = 1000n
    for (const reason of numbers.values()) drops[reason] = number++
    const fixture = contextOfFixture()
    const context = { ...fixture, kernel: { ...fixture.kernel, drops: () => drops } }
    const { pieces } = await documentToXml(await kDropStatsReq.answer({}, context))
    const xml = (await Array.fromAsync(pieces)).join('')
    for (const [name, reason] of numbers) assert.equal(xml.split(`>${drops[reason]}<`).length, 2, name)
  })

  it('all have a line in dropstats', () => {
    // Originals of copies are no loss: `dropstats --debug` shows them.
    const shown = new Set([...DROP_REASONS, CLONED_ORIGINAL].map(({ reason }) => reason))
    assert.deepEqual(
      [...numbers].filter(([, reason]) => !shown.has(reason)),
      [],
    )
  })
})
