import assert from 'node:assert/strict'
import { TableWatch } from './table-watch.ts'

describe('the watch over tables', function () {
  this.timeout(30_000)

  it('bears tables that can not be read, and goes on', async () => {
    let counts = 0
    let readings = 0
    const failed: unknown[] = []
    const { promise: isSame, resolve: same } = Promise.withResolvers<void>()
    const { promise: isDifferent, resolve: difference } = Promise.withResolvers<readonly string[]>()
    await using _ = new TableWatch(
      {
        withOtherCount: () => {
          if (counts++ === 0) throw new Error('EAGAIN')
          return ['vrfs']
        },
        withOtherContents: async () => {
          if (readings++ === 0) throw new Error('EAGAIN')
          return []
        },
      },
      { difference, same, error: (error) => failed.push(error) },
    )
    assert.deepEqual(await isDifferent, ['vrfs'])
    await isSame
    assert.equal(failed.length, 2)
  })
})
