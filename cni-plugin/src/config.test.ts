import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseConfig } from './config.ts'
import { parseArgs, parseLabels, readAttachment } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'

const good = { cniVersion: '1.1.0', name: 'net', type: 'vrouter-cni' }

/** The error that `action` ends with; whatever else it throws is a bug. */
function refusal(action: () => unknown): CniError | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (error instanceof CniError) return error
    throw error
  }
}

describe('the network configuration', () => {
  it('has defaults for all keys of ours', () => {
    assert.deepEqual(parseConfig(JSON.stringify(good)), {
      cniVersion: '1.1.0',
      name: 'net',
      socket: '/run/vrouter/cni.sock',
      stateDir: '/var/lib/vrouter',
      logLevel: 'info',
    })
    assert.equal(parseConfig('{"name":"n"}').cniVersion, '0.1.0')
  })

  it('is refused with a code and a remedy, or read, whatever a key holds', () => {
    const keys = ['cniVersion', 'name', 'socket', 'stateDir', 'logFile', 'logLevel', 'prevResult', 'runtimeConfig']
    const lists = ['cni.dev/valid-attachments', 'cni.dev/attachments']
    fc.assert(
      fc.property(fc.constantFrom(...keys, ...lists), fc.jsonValue(), (key, value) => {
        const error = refusal(() => parseConfig(JSON.stringify({ ...good, [key]: value })))
        if (!error) return
        assert.ok(error.code === ErrorCode.INVALID_CONFIG || error.code === ErrorCode.INCOMPATIBLE_VERSION)
        assert.ok(error.details)
      }),
    )
  })

  it('is refused as JSON when it is cut anywhere', () => {
    const text = JSON.stringify({ ...good, prevResult: { ips: [] } })
    for (let length = 0; length < text.length; length++) {
      assert.equal(refusal(() => parseConfig(text.slice(0, length)))?.code, ErrorCode.DECODING_FAILURE)
    }
  })

  it('gives on no annotation that is not text', () => {
    const runtimeConfig = { 'io.kubernetes.cri.pod-annotations': { a: 'x', b: 7, c: null } }
    assert.deepEqual(parseConfig(JSON.stringify({ ...good, runtimeConfig })).podAnnotations, { a: 'x' })
  })
})

describe('the environment', () => {
  it('is refused with code 4, or read, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (id, netns, ifname, args) => {
        const env = { CNI_CONTAINERID: id, CNI_NETNS: netns, CNI_IFNAME: ifname, CNI_ARGS: args }
        const error = refusal(() => readAttachment('ADD', env))
        if (error) assert.equal(error.code, ErrorCode.INVALID_ENVIRONMENT)
        else assert.match(`${id} ${ifname}`, /^[A-Za-z0-9][A-Za-z0-9_.-]* [^/:\s]+$/)
      }),
    )
  })

  it('has arguments split at the first =, empty ones left out', () => {
    assert.deepEqual(parseArgs(';a=b=c; d = e ;f=;'), { a: 'b=c', d: ' e ', f: '' })
    assert.deepEqual(parseLabels('app=web:tier='), { app: 'web', tier: '' })
    assert.equal(parseLabels(''), undefined)
    assert.equal(refusal(() => parseArgs('=x'))?.code, 4)
  })
})
