import type { Problem } from '../model/tables.ts'

/** A problem in one line, for people. */
export function textOf(problem: Problem): string {
  let text = texts.get(problem)
  if (text === undefined) {
    text = `${problem.object}: ${problem.message}`
    texts.set(problem, text)
  }
  return text
}

/** Most problems are those of the round before. */
const texts = new WeakMap<Problem, string>()
