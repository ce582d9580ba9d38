/** Many clients of introspect: pods are started nevertheless, and each client gets its pages. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { type WholeNode, withWholeNode } from '../dataplane/whole-node.ts'

const CLIENTS = 100
const PAGES = ['KNHReq', 'ItfReq', 'KInterfaceReq', 'Inet4UcRouteReq?vrf_index=2', 'KVrfStatsReq', 'NhListReq']

/** Asks for pages in so many loops at once; says the time of each answer, milliseconds, and what wasn't 200. */
const script = `
const [clients, ...pages] = process.argv.slice(1)
for (let n = 0; n < Number(clients); n++) void (async () => {
  for (let i = n; ; i++) {
    const begun = performance.now()
    const response = await fetch('http://127.0.0.1:8085/Snh_' + pages[i % pages.length])
    await response.arrayBuffer()
    console.log(response.status + ' ' + Math.round(performance.now() - begun))
  }
})()
`

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!

describe('introspect under many clients', function () {
  this.timeout(120_000)
  let node: WholeNode
  let clients: ChildProcess | undefined

  withWholeNode(
    (made) => {
      node = made
    },
    Array.from({ length: 20 }, (_, n) => [`pod-${n}`, n % 2 === 0 ? 'red' : 'blue'] as const),
  )
  after(() => void clients?.kill())

  /** Milliseconds of allocate and register together, of several pods one after the other. */
  async function addTimes(prefix: string): Promise<number[]> {
    const times: number[] = []
    for (let n = 0; n < 9; n++) {
      times.push(await node.timeOfAdd(`${prefix}-${n}`, 'red'))
      await node.delete(`${prefix}-${n}`)
    }
    return times
  }

  it('ADD takes its turn before pages, and no client is left out', async () => {
    const alone = median(await addTimes('alone'))
    clients = spawn(process.execPath, ['--eval', script, String(CLIENTS), ...PAGES], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const answers: string[] = []
    let rest = ''
    const enough = Promise.withResolvers<void>()
    clients.stdout!.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()!
      answers.push(...lines)
      if (answers.length >= CLIENTS) enough.resolve()
    })
    await enough.promise
    const before = answers.length
    const loaded = median(await addTimes('loaded'))
    const during = answers.slice(before)
    console.log(
      `      ADD ${alone.toFixed(0)} ms alone, ${loaded.toFixed(0)} ms beside ${CLIENTS} clients; ${during.length} pages meanwhile`,
    )
    assert.ok(during.length > 0, 'pages go on')
    assert.deepEqual(
      answers.filter((answer) => !answer.startsWith('200 ')),
      [],
    )
    assert.ok(loaded < 10 * alone + 200, `${loaded} ms instead of ${alone} ms`)
  })
})
