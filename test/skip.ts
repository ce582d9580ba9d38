/** In a `before` hook: skips the suite where there is a reason; in a test: that test. Says the reason in its title, where hack/test reads it. */
export function skipBecause(context: Mocha.Context, reason: string | undefined): void {
  if (reason === undefined) return
  const test = context.test as Mocha.Hook | Mocha.Test
  const skipped = test.type === 'hook' ? test.parent! : test
  skipped.title += ` (skipped: ${reason})`
  context.skip()
}
