/** What the suites of the CNI binary have in common. */
import { skipBecause } from '../skip.ts'
import { Node, obstacle } from './node.ts'

/**
 * Call it first in a suite: skips it where it can't run (`needs` may name another reason), and makes a node for each of its tests, which
 * `take` gets before the suite's own hooks, with a daemon on it unless there shall be none.
 */
export function withNodes(
  take: (node: Node) => void,
  {
    daemon = true,
    needs = () => undefined,
  }: { readonly daemon?: boolean; readonly needs?: () => string | undefined } = {},
): void {
  let node: Node
  before(function () {
    skipBecause(this, obstacle() ?? needs())
  })
  beforeEach(async () => {
    node = new Node()
    take(node)
    if (daemon) await node.startDaemon()
  })
  afterEach(() => node[Symbol.asyncDispose]())
}
