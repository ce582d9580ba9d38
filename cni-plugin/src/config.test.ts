import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseConfig } from './config.ts'
import { parseArgs, parseLabels, readAttachment } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'
import { requireVersion } from './versions.ts'
import { wishesOf } from './wishes.ts'

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
      daemonWaitMs: 0,
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
        const codes: number[] = [ErrorCode.DECODING_FAILURE, ErrorCode.INVALID_CONFIG, ErrorCode.INCOMPATIBLE_VERSION]
        assert.ok(codes.includes(error.code))
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
})

describe('the version of a configuration', () => {
  const cases: readonly [version: string, command: string, code: number, message: RegExp][] = [
    ['0.3.1', 'CHECK', 1, /^config version does not allow CHECK$/],
    ['1.0.0', 'GC', 1, /^config version does not allow GC$/],
    ['1.0.0', 'STATUS', 1, /^config version does not allow STATUS$/],
    ['9.0.0', 'CHECK', 1, /^plugin version does not allow CHECK$/],
    ['9.0.0', 'ADD', 1, /^incompatible CNI versions$/],
    // between two that are known, and one that is written differently: the match is exact
    ['0.4.5', 'CHECK', 1, /^incompatible CNI versions$/],
    ['1.0', 'ADD', 1, /^incompatible CNI versions$/],
    ['one', 'ADD', 1, /^incompatible CNI versions$/],
    ['one', 'CHECK', 6, /^failed to parse config version "one"$/],
  ]
  for (const [version, command, code, message] of cases) {
    it(`${version} with ${command}: ${code}`, () => {
      const error = refusal(() => requireVersion(command, version))
      assert.equal(error?.code, code)
      assert.match(error!.message, message)
    })
  }
})

describe('what the caller wants of an attachment', () => {
  const wishes = (more: object, args: Record<string, string> = {}) =>
    wishesOf(parseConfig(JSON.stringify({ ...good, ...more })), args)

  it('gives on no annotation that is not text', () => {
    const runtimeConfig = { 'io.kubernetes.cri.pod-annotations': { a: 'x', b: 7, c: null } }
    assert.deepEqual(wishes({ runtimeConfig }), { annotations: { a: 'x' } })
  })

  it('counts in runtimeConfig before args.cni before CNI_ARGS', () => {
    const runtimeConfig = { mac: '02:00:00:00:00:0A', ips: ['10.1.0.7/16', 'fd00::7'] }
    const cni = { mac: '02-00-00-00-00-0b', ips: ['10.1.0.8'] }
    const args = { MAC: '02:00:00:00:00:0c', IP: '10.1.0.9,fd00::9' }
    const shown = (more: object) => [wishes(more, args).mac?.at(-1), wishes(more, args).addresses?.join()]
    assert.deepEqual(shown({ runtimeConfig, args: { cni } }), ['a', '10.1.0.7,fd00::7'])
    assert.deepEqual(shown({ args: { cni } }), ['b', '10.1.0.8'])
    assert.deepEqual(shown({ runtimeConfig: { ips: [], mac: '' } }), ['c', '10.1.0.9,fd00::9'])
  })

  it('takes labels, port mappings and bandwidth', () => {
    const runtimeConfig = {
      portMappings: [
        { hostPort: 80, containerPort: 8080, protocol: 'TCP', hostIP: '192.0.2.1' },
        { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '' },
      ],
      bandwidth: { ingressRate: 1e6, ingressBurst: 4294967295, egressRate: 0 },
    }
    assert.deepEqual(wishes({ runtimeConfig, args: { cni: { labels: [{ key: 'app', value: 'web' }] } } }), {
      labels: { app: 'web' },
      portMappings: [
        { hostPort: 80, containerPort: 8080, protocol: 'tcp', hostIp: '192.0.2.1' },
        { hostPort: 53, containerPort: 53, protocol: 'udp' },
      ],
      bandwidth: { ingressRate: 1e6, ingressBurst: 4294967295 },
    })
  })

  /** What a pod with ports of the node and limits has from its runtime, byte by byte. */
  const runtimes = {
    // Structs of github.com/containerd/go-cni without tags, versions 1.1.6 (containerd 1.6) and 1.1.12 (containerd 2).
    containerd:
      '{"bandwidth":{"IngressRate":10000000,"IngressBurst":4294967295,"EgressRate":0,"EgressBurst":0},"portMappings":[{"HostPort":80,"ContainerPort":8080,"Protocol":"tcp","HostIP":"192.0.2.1"},{"HostPort":53,"ContainerPort":53,"Protocol":"udp","HostIP":""}]}',
    // Structs of github.com/cri-o/ocicni with tags.
    'CRI-O':
      '{"bandwidth":{"ingressRate":10000000,"ingressBurst":4294967295,"egressRate":0,"egressBurst":0},"portMappings":[{"hostPort":80,"containerPort":8080,"protocol":"tcp","hostIP":"192.0.2.1"},{"hostPort":53,"containerPort":53,"protocol":"udp","hostIP":""}]}',
  }
  for (const [runtime, text] of Object.entries(runtimes)) {
    it(`is understood as ${runtime} writes it`, () => {
      assert.deepEqual(wishes({ runtimeConfig: JSON.parse(text) }), {
        portMappings: [
          { hostPort: 80, containerPort: 8080, protocol: 'tcp', hostIp: '192.0.2.1' },
          { hostPort: 53, containerPort: 53, protocol: 'udp' },
        ],
        bandwidth: { ingressRate: 10_000_000, ingressBurst: 4_294_967_295 },
      })
    })
  }

  it('is the same in whatever case the keys are written', () => {
    const config = {
      runtimeConfig: {
        mac: '02:00:00:00:00:0a',
        ips: ['10.1.0.7'],
        portMappings: [{ hostPort: 80, containerPort: 8080, protocol: 'sctp', hostIP: '192.0.2.1' }],
        bandwidth: { ingressRate: 1, ingressBurst: 2, egressRate: 3, egressBurst: 4 },
      },
      args: { cni: { labels: [{ key: 'a', value: 'b' }] } },
      'cni.dev/valid-attachments': [{ containerID: 'c', ifname: 'eth0' }],
      socket: '/s',
      stateDir: '/t',
      daemonWaitSeconds: 3,
      logLevel: 'debug',
      logFile: '/l',
      prevResult: {},
    }
    const rewritten = (spell: (key: string) => string, value: unknown): unknown => {
      if (Array.isArray(value)) return value.map((entry) => rewritten(spell, entry))
      if (typeof value !== 'object' || value === null) return value
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [spell(key), rewritten(spell, entry)]))
    }
    const read = (spell: (key: string) => string) => {
      const parsed = parseConfig(JSON.stringify(rewritten(spell, { ...good, ...config })))
      const { runtimeConfig: _, cniArgs: __, ...own } = parsed
      return { own, wishes: wishesOf(parsed, {}) }
    }
    const plain = read((key) => key)
    assert.equal(plain.wishes.portMappings?.length, 1)
    for (const spell of [
      (key: string) => key.toUpperCase(),
      (key: string) => key.toLowerCase(),
      (key: string) => key.slice(0, 1).toUpperCase() + key.slice(1),
    ])
      assert.deepEqual(read(spell), plain)
  })

  it('takes no port of the node for a port that has none', () => {
    const portMappings = [{ HostPort: 0, ContainerPort: 8080, Protocol: 'tcp', HostIP: '' }]
    assert.deepEqual(wishes({ runtimeConfig: { portMappings } }), {})
  })

  const bad: readonly [more: object, args: Record<string, string>, code: number, message: RegExp][] = [
    [{ runtimeConfig: { mac: '01:00:5e:00:00:01' } }, {}, 7, /runtimeConfig\.mac is .*not of a group/],
    [{ runtimeConfig: { mac: 'x' } }, {}, 7, /runtimeConfig\.mac is "x"/],
    [{ runtimeConfig: { ips: '10.1.0.7' } }, {}, 7, /runtimeConfig\.ips is "10/],
    [{ runtimeConfig: { ips: ['10.1.0.7/16/2'] } }, {}, 7, /runtimeConfig\.ips\[0\]/],
    [{ runtimeConfig: { portMappings: [{ hostPort: 70000 }] } }, {}, 7, /portMappings\[0\]\.hostPort is 70000/],
    [{ runtimeConfig: { portMappings: [{ HostPort: 7 }] } }, {}, 7, /portMappings\[0\]\.containerPort is missing/],
    [
      { runtimeConfig: { portMappings: [{ HostPort: 7, ContainerPort: 7, Protocol: 'icmp' }] } },
      {},
      7,
      /portMappings\[0\]\.protocol is "icmp"; wanted one of tcp, udp, sctp/,
    ],
    [{ runtimeConfig: { bandwidth: { ingressRate: -1 } } }, {}, 7, /bandwidth\.ingressRate is -1/],
    [{ args: { cni: { labels: { a: 'b' } } } }, {}, 7, /args\.cni\.labels/],
    [{ args: { cni: [] } }, {}, 7, /cni is \[\]/],
    [{}, { IP: '10.1' }, 4, /^invalid CNI_ARGS IP\[0\] "10\.1"$/],
    [{}, { MAC: 'zz' }, 4, /^invalid CNI_ARGS MAC "zz"$/],
  ]
  for (const [more, args, code, message] of bad) {
    it(`is refused: ${JSON.stringify({ ...more, ...args })}`, () => {
      const error = refusal(() => wishes(more, args))
      assert.equal(error?.code, code)
      assert.match(error!.message, message)
      assert.ok(error!.details)
    })
  }

  it('is refused with code 4 or 7, or read, whatever it is', () => {
    const keys = fc.constantFrom('mac', 'ips', 'portMappings', 'bandwidth', 'labels')
    fc.assert(
      fc.property(keys, fc.jsonValue(), fc.string(), (key, value, text) => {
        const error = refusal(() =>
          wishes({ runtimeConfig: { [key]: value }, args: { cni: { [key]: value } } }, { IP: text, MAC: text }),
        )
        if (error) assert.ok(error.code === 4 || error.code === 7)
      }),
    )
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
