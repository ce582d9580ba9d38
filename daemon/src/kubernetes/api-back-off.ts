import type { BackOffOptions } from '../ground/back-off.ts'

/** Between attempts at the API server: after a failure that strikes every node at once, they must not come back at once. */
export const API_BACK_OFF: BackOffOptions = { firstMs: 400, leastMs: 200, maxMs: 30_000 }
