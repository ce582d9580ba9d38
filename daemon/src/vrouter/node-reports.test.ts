import assert from 'node:assert/strict'
import { type NodeObserved, NodeReports } from './node-reports.ts'

describe('what is told of a node', () => {
  const observed = (used: number, more: Partial<NodeObserved> = {}): NodeObserved => ({
    tables: [{ table: 'vif', used, max: 100 }],
    problems: [],
    readiness: { ready: true },
    ...more,
  })
  const told = (reports: NodeReports, seen: NodeObserved) =>
    reports.news(seen).map(({ type, reason }) => `${type} ${reason}`)

  it('is each table that fills up and has room again, once, and nothing of one at the mark', () => {
    const reports = new NodeReports()
    assert.deepEqual(told(reports, observed(79)), [])
    assert.deepEqual(told(reports, observed(80)), ['Warning TableFilling'])
    for (const used of [81, 79, 80, 71]) assert.deepEqual(told(reports, observed(used)), [])
    assert.deepEqual(told(reports, observed(100)), ['Warning TableFull'])
    assert.deepEqual(told(reports, observed(100)), [])
    assert.deepEqual(told(reports, observed(95)), ['Normal TableHasRoom'])
    assert.deepEqual(told(reports, observed(69)), ['Normal TableHasRoom'])
    assert.deepEqual(told(reports, observed(10)), [])
  })

  it('says who gets nothing of a full table, and what makes it larger', () => {
    const problems = [{ object: 'default/web', message: 'no vif number is left (limit 100)', table: 'vif' }]
    const [report] = new NodeReports().news(observed(60, { problems }))
    assert.equal(
      report!.message,
      'table vif has no room left (60 of 100 entries; default/web: no vif number is left (limit 100)): raise limits.vifs and restart the daemon',
    )
  })

  it('is a datapath that can not be brought up to date, and that it can again; not that a daemon starts', () => {
    const reports = new NodeReports()
    const readiness = (podsAffected: boolean, message: string) =>
      observed(0, { readiness: { ready: false, podsAffected, message } })
    assert.deepEqual(told(reports, readiness(false, 'reading the source')), [])
    assert.deepEqual(told(reports, observed(0)), [])
    assert.deepEqual(reports.news(readiness(true, 'ENOSPC')), [
      { type: 'Warning', reason: 'DatapathOutOfDate', message: 'ENOSPC' },
    ])
    assert.deepEqual(told(reports, readiness(true, 'EBUSY')), [])
    assert.deepEqual(told(reports, observed(0)), ['Normal DatapathUpToDate'])
  })
})
