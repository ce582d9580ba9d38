/** Conversations over a kernel that the test plays. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { SystemError } from '../errors.ts'
import { decodeMessages, encodeAttributes, encodeMessage, type Message, text, u32 } from './codec.ts'
import { Conversation, NLM_F_DUMP_INTR, type Request } from './socket.ts'

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_MULTI = 2
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200

/** A kernel that answers each datagram with what `answer` says. */
function kernel(answer: (messages: Message[], attempt: number) => Uint8Array[]) {
  const queue: Uint8Array[] = []
  const sent: Message[][] = []
  return {
    sent,
    conversation: new Conversation({
      send: (datagram) => {
        const messages = Array.from(decodeMessages(datagram))
        sent.push(messages)
        queue.push(...answer(messages, sent.length))
      },
      receive: () => queue.shift() ?? assert.fail('waits for an answer that never comes'),
    }),
  }
}

const request = (type: number, attempted?: string): Request => ({ type, flags: 0, fixed: new Uint8Array(4), attempted })

function item(sequence: number, value: number, flags = NLM_F_MULTI): Uint8Array {
  return encodeMessage({ type: 100, flags, sequence }, new Uint8Array(Uint32Array.of(value).buffer))
}

function done(sequence: number, code = 0, flags = NLM_F_MULTI): Uint8Array {
  return encodeMessage({ type: NLMSG_DONE, flags, sequence }, new Uint8Array(Int32Array.of(code).buffer))
}

/** An acknowledgement, capped to the request's header as NETLINK_CAP_ACK makes it. */
function ack(sequence: number, code = 0, tlvs: Uint8Array = new Uint8Array(0)): Uint8Array {
  const head = new Uint8Array(20)
  new DataView(head.buffer).setInt32(0, code, true)
  new DataView(head.buffer).setUint32(4, 20, true)
  const flags = NLM_F_CAPPED | (tlvs.length > 0 ? NLM_F_ACK_TLVS : 0)
  return encodeMessage({ type: NLMSG_ERROR, flags, sequence }, Buffer.concat([head, tlvs]))
}

const values = (messages: Message[]) => messages.map(({ payload }) => payload[0])

describe('netlink dumps', () => {
  it('collect all parts up to the end', () => {
    const { conversation } = kernel(([message]) => {
      const { sequence } = message!
      return [Buffer.concat([item(sequence, 1), item(sequence, 2)]), Buffer.concat([item(sequence, 3), done(sequence)])]
    })
    assert.deepEqual(values(conversation.dump(request(18))), [1, 2, 3])
  })

  it('are repeated when the kernel says that they were interrupted, and only the whole one counts', () => {
    const { conversation, sent } = kernel(([message], attempt) => {
      const { sequence } = message!
      if (attempt === 1) return [item(sequence, 1), item(sequence, 9, NLM_F_MULTI | NLM_F_DUMP_INTR), done(sequence)]
      if (attempt === 2) return [item(sequence, 1), done(sequence, 0, NLM_F_MULTI | NLM_F_DUMP_INTR)]
      return [item(sequence, 1), item(sequence, 2), done(sequence)]
    })
    assert.deepEqual(values(conversation.dump(request(18))), [1, 2])
    assert.deepEqual(
      sent.map(([message]) => message?.sequence),
      [1, 2, 3],
    )
  })

  it('are repeated when the kernel breaks them off with EINTR', () => {
    const { conversation, sent } = kernel(([message], attempt) =>
      attempt === 1 ? [done(message!.sequence, -4)] : [item(message!.sequence, 5), done(message!.sequence)],
    )
    assert.deepEqual(values(conversation.dump(request(18))), [5])
    assert.equal(sent.length, 2)
  })

  it('fail with EINTR rather than return a part', () => {
    const { conversation, sent } = kernel(([message]) => [
      item(message!.sequence, 1, NLM_F_MULTI | NLM_F_DUMP_INTR),
      done(message!.sequence),
    ])
    assert.throws(() => conversation.dump(request(18, 'cannot list the links')), {
      name: 'SystemError',
      code: 'EINTR',
      message: /^cannot list the links: EINTR the table changed/,
    })
    assert.equal(sent.length, 16)
  })

  it('ignore what is left of an earlier request', () => {
    const { conversation } = kernel(([message]) => [
      item(99, 7),
      done(99),
      item(message!.sequence, 1),
      done(message!.sequence),
    ])
    assert.deepEqual(values(conversation.dump(request(18))), [1])
  })

  it('throw what the kernel refuses', () => {
    const { conversation } = kernel(([message]) => [done(message!.sequence, -95)])
    assert.throws(() => conversation.dump(request(18)), { code: 'EOPNOTSUPP', errno: 95 })
  })
})

describe('netlink requests', () => {
  it('return what comes before the acknowledgement', () => {
    const { conversation } = kernel(([message]) => [item(message!.sequence, 4, 0), ack(message!.sequence)])
    assert.deepEqual(values(conversation.request(request(18))), [4])
  })

  it('say in the kernel’s own words why they were refused', () => {
    const tlvs = encodeAttributes([text(1, 'Nexthop has invalid gateway.'), u32(2, 36)])
    const { conversation } = kernel(([message]) => [ack(message!.sequence, -101, tlvs)])
    assert.throws(
      () => conversation.request(request(24, 'cannot add route 10.0.0.0/8')),
      (error) => {
        assert.ok(error instanceof SystemError)
        assert.equal(error.message, 'cannot add route 10.0.0.0/8: ENETUNREACH Nexthop has invalid gateway')
        assert.equal(error.code, 'ENETUNREACH')
        assert.equal(error.errno, 101)
        return true
      },
    )
  })

  it('name the attribute when the kernel gives no words', () => {
    const missing = kernel(([message]) => [ack(message!.sequence, -22, encodeAttributes([u32(5, 3)]))])
    assert.throws(() => missing.conversation.request(request(24)), /EINVAL attribute 3 is missing/)
    const offset = kernel(([message]) => [ack(message!.sequence, -22, encodeAttributes([u32(2, 36)]))])
    assert.throws(() => offset.conversation.request(request(24)), /EINVAL the kernel refuses the attribute at byte 36/)
  })

  it('fall back to the text of the errno', () => {
    const { conversation } = kernel(([message]) => [ack(message!.sequence, -17)])
    assert.throws(() => conversation.request(request(16, 'cannot create the link x')), {
      message: 'cannot create the link x: EEXIST file exists',
    })
  })

  it('are understood in a refusal that the kernel has recorded', () => {
    const { received } = (
      JSON.parse(readFileSync(new URL('../../testdata/rtnetlink.json', import.meta.url), 'utf8')) as {
        [name: string]: { received: string[] }
      }
    )['no link']!
    const { conversation } = kernel(() => received.map((frame) => Buffer.from(frame, 'hex')))
    assert.throws(() => conversation.request(request(18)), { code: 'ENODEV' })
  })
})

describe('netlink batches', () => {
  it('go out in one datagram, and each request has its own result', () => {
    const { conversation, sent } = kernel((messages) =>
      messages.map(({ sequence }, i) => (i === 1 ? ack(sequence, -17) : ack(sequence))),
    )
    const results = conversation.batch([request(20), request(20, 'cannot add address x'), request(20)])
    assert.deepEqual(
      results.map((result) => (result.ok ? 'ok' : result.error.code)),
      ['ok', 'EEXIST', 'ok'],
    )
    assert.equal(sent.length, 1)
    assert.deepEqual(
      sent[0]!.map(({ sequence }) => sequence),
      [1, 2, 3],
    )
  })

  it('take acknowledgements in any order, and echoes between them', () => {
    const { conversation } = kernel(() => [ack(2), item(1, 8, 0), ack(1)])
    const [first, second] = conversation.batch([request(16), request(16)])
    assert.ok(first?.ok && second?.ok)
    assert.deepEqual(values(first.messages), [8])
    assert.deepEqual(second.messages, [])
  })

  it('are cut into datagrams that the kernel’s queue of answers can hold', () => {
    const { conversation, sent } = kernel((messages) => messages.map(({ sequence }) => ack(sequence)))
    const results = conversation.batch(Array.from({ length: 600 }, () => request(20)))
    assert.equal(results.length, 600)
    assert.ok(results.every(({ ok }) => ok))
    assert.deepEqual(
      sent.map((messages) => messages.length),
      [256, 256, 88],
    )
  })

  it('may be empty', () => {
    const { conversation, sent } = kernel(() => [])
    assert.deepEqual(conversation.batch([]), [])
    assert.equal(sent.length, 0)
  })
})
