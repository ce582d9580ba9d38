import assert from 'node:assert/strict'
import { summarise, VerifierError } from './verifier.ts'

/** Logs as kernel 6.18 writes them. */
const PACKET_ACCESS = `0: R1=ctx() R10=fp0
; char *p = (char *)(long)skb->data; @ drop.bpf.c:12
0: (61) r1 = *(u32 *)(r1 +76)         ; R1=pkt(r=0)
; return p[0]; @ drop.bpf.c:13
1: (71) r0 = *(u8 *)(r1 +0)
invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`

const UNREACHABLE = `unreachable insn 3
processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`

const TOO_LARGE = `0: R1=ctx() R10=fp0
; for (;;) @ loop.bpf.c:4
BPF program is too large. Processed 1000001 insn
verification time 912345 usec
stack depth 0
processed 1000001 insns (limit 1000000) max_states_per_insn 4 total_states 9901 peak_states 9901 mark_read 1
`

describe('verifier logs', () => {
  it('are summed up by the reason and the source line', () => {
    assert.equal(
      summarise(PACKET_ACCESS),
      'invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0); R1 offset is outside of the packet (at drop.bpf.c:13: return p[0];)',
    )
  })

  it('are summed up without a source line where there is none', () => {
    assert.equal(summarise(UNREACHABLE), 'unreachable insn 3')
  })

  it('are summed up when the program is too large', () => {
    assert.equal(summarise(TOO_LARGE), 'BPF program is too large. Processed 1000001 insn (at loop.bpf.c:4: for (;;))')
  })

  it('never make the summary long', () => {
    const line = `; ${'x'.repeat(500)} @ macro.h:1`
    assert.ok(summarise(`${line}\n0: (95) exit\nR0 !read_ok\nprocessed 1 insns\n`).length < 200)
  })

  it('may be empty', () => {
    assert.equal(summarise(''), 'the verifier gives no reason')
  })

  it('come whole with the error', () => {
    const error = new VerifierError('drop', 13, PACKET_ACCESS)
    assert.equal(error.log, PACKET_ACCESS)
    assert.match(error.message, /^cannot load program drop: EACCES invalid access to packet/)
    assert.equal(error.message.includes('\n'), false)
  })
})
