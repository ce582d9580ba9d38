/** For `before` hooks: skips the suite where there is a reason, and says it in the title, where hack/test reads it. */
export function skipBecause(context: Mocha.Context, reason: string | undefined): void {
  if (reason === undefined) return
  context.test!.parent!.title += ` (skipped: ${reason})`
  context.skip()
}
