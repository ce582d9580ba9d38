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

/** Lines that come behind the reason: statistics, and the call chain of a nested function. */
const TRAILER =
  /^(processed \d+ insns|verification time |stack depth |mark_precise: |from \d+ to \d+|\s*$|.*\bfunc#\d+ @\d+)/
/** Lines of the walk itself: instructions, register states, source lines, precision backtracking. */
const WALK =
  /^(\d+: \(|\d+: R\d|\d+: frame\d|R\d|; |mark_precise|frame\d+: |last_idx |first_idx |parent |regs=|old |caller:|callee:|returning from |to caller|Validating |arg#\d+ is not known)/

/**
 * The reason is the last line of the log that is neither walk nor statistics. The source line that it happened at, if the log holds
 * one, follows: "invalid bpf_context access off=0 size=4 (at: drop.h:12 ctx->x = 1)".
 */
export function summarise(log: string): string {
  const lines = log.split('\n').map((line) => line.trimEnd())
  let reason = lines.length - 1
  while (reason >= 0 && (TRAILER.test(lines[reason]!) || WALK.test(lines[reason]!))) reason--
  if (reason < 0) return 'the verifier gives no reason'
  const source = lines
    .slice(0, reason)
    .findLast((line) => line.startsWith('; '))
    ?.slice(2)
  const text = lines[reason]!.trim()
  return source ? `${text} (at: ${sourceLine(source)})` : text
}

/** '; x = *p; @ drop.h:12' of newer kernels -> 'drop.h:12 x = *p;'. */
function sourceLine(line: string): string {
  const at = /^(.*?) @ (\S+:\d+)$/.exec(line)
  return at ? `${at[2]} ${at[1]!.trim()}` : line.trim()
}
