import assert from 'node:assert/strict'
import { Answerers, type Question } from './answerers.ts'
import type { Injection } from './respond.ts'

const question: Question = { service: 'dns', vif: 5, vrf: 2, frame: Uint8Array.of(1) }
const answer: Injection = { command: 0, vif: 5, vrf: 2, frame: Uint8Array.of(2) }

describe('answerers', () => {
  const messages: string[] = []
  const log = { error: (_: object, message: string) => void messages.push(message) }

  it('answer their own service, one each, until they end', async () => {
    const answerers = new Answerers(log)
    assert.equal(await answerers.answer(question, {}), undefined)
    const end = answerers.add('dns', async () => answer)
    assert.throws(() => answerers.add('dns', async () => answer), /somebody answers dns already/)
    assert.deepEqual(answerers.services, ['dns'])
    assert.equal(await answerers.answer(question, {}), answer)
    assert.equal(await answerers.answer({ ...question, service: 'dhcp4' }, {}), undefined)
    end()
    assert.deepEqual(answerers.services, [])
  })

  it('that take too long are told so, and nobody waits for them', async () => {
    const answerers = new Answerers(log, 1)
    const aborted = Promise.withResolvers<void>()
    answerers.add('dns', (_question, _asker, signal) => {
      signal.addEventListener('abort', () => aborted.resolve())
      return new Promise(() => undefined)
    })
    assert.equal(await answerers.answer(question, {}), undefined)
    await aborted.promise
  })

  it('that fail, at once or later, are logged and hurt nobody', async () => {
    const answerers = new Answerers(log)
    answerers.add('dns', async () => {
      throw new Error('later')
    })
    answerers.add('dhcp4', () => {
      throw new Error('at once')
    })
    messages.length = 0
    for (const service of ['dns', 'dhcp4'] as const)
      assert.equal(await answerers.answer({ ...question, service }, {}), undefined)
    assert.equal(messages.length, 2)
  })
})
