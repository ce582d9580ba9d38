/** What to tell of a program that the verifier refuses: one line for people, the whole log on demand. Pure. */

import { SystemError } from '../errors.ts'

/** A program that the kernel doesn't accept. */
export class VerifierError extends SystemError {
  override readonly name: string = 'VerifierError'
  /** The program's name in its object. */
  readonly program: string
  /** The reason in one line. */
  readonly summary: string
  /** The verifier's whole log; only its end when it was longer than the buffer. */
  readonly log: string

  constructor(program: string, errno: number, log: string) {
    const summary = summarise(log)
    super('bpf', errno, `cannot load program ${program}`, summary)
    this.program = program
    this.summary = summary
    this.log = log
  }
}

/** Lines that come behind the reason: statistics. */
const TRAILER = /^(processed \d+ insns|verification time |stack depth |$)/
/** Lines of the walk itself: instructions, register states, source lines, branches, backtracking. */
const WALK =
  /^(\d+: |; |R\d+(_\w+)?=|from \d+ to \d+|frame\d+: |mark_precise: |last_idx |first_idx |parent |regs=|caller:|callee:|returning from|to caller|func#\d+ @)/

const SOURCE_LINE_LENGTH = 80

/**
 * One line out of a log: the reason is what the verifier says between the walk and its statistics, and where is the source line it was at:
 * "invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0) (at drop.h:12: ctx->x = 1)".
 */
export function summarise(log: string): string {
  const lines = log.split('\n').map((line) => line.trimEnd())
  const end = lines.findLastIndex((line) => !TRAILER.test(line)) + 1
  const start = lines.slice(0, end).findLastIndex((line) => WALK.test(line)) + 1
  const reason = lines.slice(start, end).join('; ')
  if (reason === '') return 'the verifier gives no reason'
  const source = lines.slice(0, start).findLast((line) => line.startsWith('; '))
  return source ? `${reason} (at ${sourceLine(source.slice(2))})` : reason
}

/** 'return p[0]; @ drop.bpf.c:13', as newer kernels write it -> 'drop.bpf.c:13: return p[0];'. */
function sourceLine(line: string): string {
  const [, text = line, place] = /^(.*?) @ (\S+:\d+)$/.exec(line) ?? []
  const short = text.length > SOURCE_LINE_LENGTH ? `${text.slice(0, SOURCE_LINE_LENGTH)}…` : text
  return place ? `${place}: ${short}` : short
}
