/**
 * A request that `/Snh_<name>` executes.
 */
import type { Arguments, ArgumentValues } from './arguments.ts'
import type { IntrospectContext } from './context.ts'
import type { Messages } from './wire.ts'

export interface Request {
  readonly name: string
  /** In order of declaration: what module pages list and queries may set. */
  readonly args: Arguments
  answer(args: ArgumentValues<Arguments>, context: IntrospectContext): Messages | Promise<Messages>
}

export function request<A extends Arguments>(
  name: string,
  args: A,
  answer: (args: ArgumentValues<A>, context: IntrospectContext) => Messages | Promise<Messages>,
): Request {
  return { name, args, answer: answer as Request['answer'] }
}
