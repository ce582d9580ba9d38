/** Values that are wrong are refused before anything is installed, by name. */
import assert from 'node:assert/strict'
import { rendered, skipWithoutHelm } from './chart.ts'

const WRONG: readonly (readonly [set: string, message: RegExp])[] = [
  ['vroutr.privileged=true', /vroutr/],
  ['vrouter.privilegd=true', /privilegd/],
  ['vrouter.privileged=yes', /\/vrouter\/privileged|vrouter\.privileged/],
  ['image.pullPolicy=Sometimes', /pullPolicy/],
  ['image.digest=sha256:12', /digest/],
  ['k8sServiceHost=https://10.0.0.1', /k8sServiceHost/],
  ['health.port=0', /health.port/],
  ['controller.replicas=0', /replicas/],
  ['cni.binPath=opt/cni/bin', /binPath/],
  ['cni.chained={portmap,firewall}', /chained/],
  ['ipam.podCIDRs={10.0.0.0}', /podCIDRs/],
  ['ipam.podCIDRs=10.32.0.0/12', /podCIDRs/],
  ['logLevel=verbose', /logLevel/],
  ['snat.ports=61000', /snat.ports/],
  ['config.limits.flow4=1', /flow4/],
  ['config.limits.flows4=many', /flows4/],
  ['vrouter.updateStrategy.type=Recreate', /updateStrategy/],
  ['cleanup.timeoutSeconds=1', /timeoutSeconds/],
  ['imagePullSecrets[0]=registry', /imagePullSecrets/],
]

describe('values of the chart', function () {
  this.timeout(60_000)

  before(function () {
    skipWithoutHelm(this)
  })

  for (const [set, message] of WRONG) {
    it(`are refused: ${set}`, () => {
      assert.throws(
        () => rendered(set),
        (error: Error) => {
          assert.match(error.message, /values don't meet the specifications of the schema/)
          assert.match(error.message.replaceAll('/', '.'), message)
          return true
        },
      )
    })
  }

  it('may name what the schema of the daemon knows', () => {
    rendered('config.ageing.otherSeconds=60', 'config.limits.vifs=2048')
  })
})
