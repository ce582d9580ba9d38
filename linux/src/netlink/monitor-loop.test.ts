/** Proves: what the kernel drops while a queue is full is told when the queue is empty, and not before. */
import assert from 'node:assert/strict'
import { SystemError } from '../errors.ts'
import { encodeMessage } from './codec.ts'
import { newAddress } from './ifaddr.ts'
import { drain, type MonitorMessage } from './monitor-loop.ts'

const ENOBUFS = 105

function datagram(address: string): Uint8Array {
  const { type, flags, fixed, attributes } = newAddress({ index: 3, address, prefixLength: 32 })
  return encodeMessage({ type, flags, sequence: 1 }, fixed, attributes)
}

/** What is posted when these are received one after the other; undefined: the queue is empty. */
function drained(queue: readonly ('full' | string | undefined)[], wasOverflow = false) {
  const posted: string[] = []
  const rest = [...queue]
  const isOwed = drain(
    () => {
      const next = rest.shift()
      if (next === 'full') throw new SystemError('recv', ENOBUFS, 'cannot receive')
      return next === undefined ? undefined : datagram(next)
    },
    (message: MonitorMessage) =>
      posted.push(message.type === 'events' ? `${message.events.length} events` : message.type),
    wasOverflow,
  )
  return { posted, isOwed }
}

describe('the loop of the route monitor', () => {
  it('hands over what is queued', () => {
    assert.deepEqual(drained(['10.0.0.1', '10.0.0.2', undefined]), { posted: ['2 events'], isOwed: false })
    assert.deepEqual(drained([undefined]), { posted: [], isOwed: false })
  })

  it('asks for a fresh look when the queue is empty, for until then the kernel drops what comes', () => {
    const queue = ['full', '10.0.0.1', '10.0.0.2', undefined]
    assert.deepEqual(drained(queue), { posted: ['2 events', 'resync'], isOwed: false })
    const long = Array.from({ length: 300 }, () => '10.0.0.1')
    assert.deepEqual(drained(['full', ...long]), { posted: ['255 events'], isOwed: true })
    assert.deepEqual(drained(['10.0.0.1', undefined], true), { posted: ['1 events', 'resync'], isOwed: false })
  })
})
