import assert from 'node:assert/strict'
import { describeOptions, readOptions } from './options.ts'

describe('the controller’s settings', () => {
  it('have defaults', () => {
    const { lease, agents, health, ...rest } = readOptions({})
    assert.deepEqual([lease.namespace, lease.name, lease.durationMs], ['kube-vrouter', 'vrouter-controller', 15_000])
    assert.ok(lease.identity.length > 9)
    assert.deepEqual(agents, {
      namespace: 'kube-vrouter',
      selector: 'app.kubernetes.io/name=kube-vrouter,app.kubernetes.io/component=vrouter',
    })
    assert.deepEqual(health, { addresses: ['0.0.0.0'], port: 8087 })
    assert.deepEqual(rest, { agentGraceMs: 60_000, goneMs: 60_000, patienceMs: 10_000, usageMs: 30_000 })
  })

  it('come from the environment; the daemons’ namespace is the lease’s unless it says another', () => {
    const env = {
      VROUTER_CONTROLLER_LEASE_NAMESPACE: 'net',
      VROUTER_CONTROLLER_IDENTITY: 'pod-1',
      VROUTER_CONTROLLER_GONE_SECONDS: '5',
    }
    const { lease, agents, goneMs } = readOptions({ ...env, VROUTER_OTHER: 'x' })
    assert.deepEqual([lease.namespace, lease.identity, agents.namespace, goneMs], ['net', 'pod-1', 'net', 5000])
  })

  it('that are wrong are all told at once', () => {
    assert.throws(
      () =>
        readOptions({
          VROUTER_CONTROLLER_HEALTH_PORT: '99999',
          VROUTER_CONTROLLER_GONE_SECONDS: 'soon',
          VROUTER_CONTROLLER_GONE: '1',
        }),
      (error: Error) =>
        /HEALTH_PORT: \(99999\) must be a whole number, 0 to 65535/.test(error.message) &&
        /GONE_SECONDS: \(soon\) must be/.test(error.message) &&
        /VROUTER_CONTROLLER_GONE: is not known/.test(error.message),
    )
  })

  it('are all in the help', () => {
    const text = describeOptions()
    for (const name of ['LEASE_NAMESPACE', 'AGENT_SELECTOR', 'HEALTH_PORT', 'USAGE_SECONDS'])
      assert.ok(text.includes(`VROUTER_CONTROLLER_${name}`))
    for (const name of ['VROUTER_DEFAULT_NETWORK_SUBNETS', 'VROUTER_SOURCE_SERVER']) assert.ok(text.includes(name))
  })
})
