import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, describeConfig, environmentName, loadConfig } from './load.ts'
import schema from './schema.json' with { type: 'json' }

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vrouter-config-'))
  file = join(folder, 'vrouter.yaml')
})
afterEach(() => rmSync(folder, { recursive: true }))

function load(text: string, env: Record<string, string> = {}) {
  writeFileSync(file, text)
  return loadConfig({ file, env: { VROUTER_NODE: 'n1', ...env } })
}

/** The mistakes, one line each, without the file's folder. */
function mistakes(text: string, env: Record<string, string> = {}): string[] {
  try {
    load(text, env)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    assert.equal(error.code, 'CONFIG_INVALID')
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim().replace(`${folder}/`, ''))
  }
  return []
}

describe('the configuration', () => {
  it('has defaults for everything', () => {
    const config = loadConfig({ env: {} })
    assert.deepEqual(config.limits, {
      vifs: 1024,
      vrfs: 4096,
      nexthops: 65536,
      labels: 5120,
      routes: 131072,
      services: 32768,
      backends: 262144,
      flows4: 131072,
      flows6: 65536,
      flowsPerVif: 0,
      trapRate: 100,
      trapBurst: 200,
    })
    assert.ok(config.ageing.tcpSeconds > 7200 + 9 * 75, 'a connection is silent for so long with the usual keepalive')
    assert.equal(config.paths.state, '/var/lib/vrouter')
    assert.equal(config.node, config.node.toLowerCase())
    assert.ok(config.node.length > 0)
  })

  it('takes no tunnels but from nodes, and gives pods no link-local services, unless told', () => {
    const { tunnels, snat } = loadConfig({ env: {} })
    assert.deepEqual([tunnels, snat.linkLocal], [{ peers: [], oldPort: false, dscp: 'copy' }, false])
    assert.deepEqual(snat.interfaces, ['auto'])
    assert.deepEqual(load('', { VROUTER_SNAT_INTERFACES: 'eth1,br-lan' }).snat.interfaces, ['eth1', 'br-lan'])
    assert.deepEqual(load('snat: {interfaces: []}\n').snat.interfaces, [])
    const told = load('tunnels: {peers: [192.0.2.254], oldPort: true}\nsnat: {linkLocal: true}\n')
    assert.deepEqual(
      [told.tunnels, told.snat.linkLocal],
      [{ peers: ['192.0.2.254'], oldPort: true, dscp: 'copy' }, true],
    )
    assert.deepEqual(mistakes('tunnels: {peers: [fd00::1]}\n'), [
      'vrouter.yaml: tunnels.peers[0] ("fd00::1") is not an IPv4 address',
    ])
  })

  it('keeps the ports of SNAT away from those of tunnels', () => {
    for (const [ports, port] of [
      ['6000-7000', 6635],
      ['4789-4789', 4789],
      ['1024-65535', 6635],
    ] as const)
      assert.deepEqual(mistakes(`snat: {ports: ${ports}}\n`), [
        `vrouter.yaml: snat.ports ("${ports}") must not hold ${port}, a port of tunnels between nodes`,
      ])
    assert.equal(load('snat: {ports: 50000-65535}\n').snat.ports, '50000-65535')
    assert.deepEqual(mistakes('snat: {ports: 50000-65535}\ntunnels: {oldPort: true}\n'), [
      'vrouter.yaml: snat.ports ("50000-65535") must not hold 51234, a port of tunnels between nodes',
    ])
  })

  it('is the file over the defaults, and the environment over the file', () => {
    const config = load('limits: {vifs: 10, vrfs: 20}\nunderlay: {interface: eth0}\n', {
      VROUTER_LIMITS_VIFS: '11',
      VROUTER_DEFAULT_NETWORK_SUBNETS: '10.0.0.0/8, fd00::/64',
      VROUTER_UNDERLAY_WATCH_SECONDS: '0',
    })
    assert.deepEqual([config.limits.vifs, config.limits.vrfs, config.limits.labels], [11, 20, 5120])
    assert.equal(config.underlay.interface, 'eth0')
    assert.equal(config.underlay.watchSeconds, 0)
    assert.deepEqual(config.defaultNetwork.subnets, ['10.0.0.0/8', 'fd00::/64'])
  })

  it('doesn’t leak from one load into the next', () => {
    load('introspect: {addresses: [192.0.2.1]}')
    assert.deepEqual(load('').introspect.addresses, ['127.0.0.1'])
  })

  it('takes an empty file, and a section without keys', () => {
    assert.equal(load('').node, 'n1')
    assert.equal(load('# nothing\nlimits:\n').limits.vifs, 1024)
  })

  it('is found through VROUTER_CONFIG', () => {
    writeFileSync(file, 'log: {level: debug}')
    assert.equal(loadConfig({ env: { VROUTER_CONFIG: file } }).log.level, 'debug')
  })

  it('names file, key, value and what was probably meant, for all mistakes at once', () => {
    assert.deepEqual(mistakes('underlai: {}\nlimits: {vif: 3, vrfs: x, labels: 1}\nlog: {level: debgu}'), [
      'vrouter.yaml: underlai ({}) unknown field; did you mean underlay?',
      'vrouter.yaml: limits.vif (3) unknown field; did you mean vifs?',
      'vrouter.yaml: limits.vrfs ("x") must be integer',
      'vrouter.yaml: limits.labels (1) must be >= 64',
      'vrouter.yaml: log.level ("debgu") must be one of trace, debug, info, warn, error; did you mean debug?',
    ])
  })

  it('takes a class for all tunnels, by file and by variable, or copies that of each packet', () => {
    assert.equal(load('').tunnels.dscp, 'copy')
    assert.equal(load('tunnels: {dscp: 46}').tunnels.dscp, 46)
    assert.equal(load('', { VROUTER_TUNNELS_DSCP: '0' }).tunnels.dscp, 0)
    assert.equal(load('', { VROUTER_TUNNELS_DSCP: 'copy' }).tunnels.dscp, 'copy')
    for (const wrong of ['64', '-1', 'high', '1.5']) {
      assert.equal(mistakes(`tunnels: {dscp: ${wrong}}`).length, 1, wrong)
      assert.equal(mistakes('', { VROUTER_TUNNELS_DSCP: wrong }).length, 1, wrong)
    }
  })

  it('names the variable of a wrong value', () => {
    assert.deepEqual(mistakes('', { VROUTER_LIMITS_VIFS: 'many', VROUTER_LOG_LEVEL: 'loud' }), [
      'VROUTER_LIMITS_VIFS: limits.vifs ("many") must be a whole number',
      'VROUTER_LOG_LEVEL: log.level ("loud") must be one of trace, debug, info, warn, error',
    ])
    const [subnet] = mistakes('', { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.0.0.0/8,10.1.0.1/16' })
    assert.match(
      subnet!,
      /^VROUTER_DEFAULT_NETWORK_SUBNETS: defaultNetwork\.subnets\[1\] \("10\.1\.0\.1\/16"\) is not a network/,
    )
  })

  it('takes a slip in a variable’s name for one, and other people’s variables for theirs', () => {
    assert.deepEqual(mistakes('', { VROUTER_LIMIT_VIFS: '5' }), [
      'VROUTER_LIMIT_VIFS: is not known; did you mean VROUTER_LIMITS_VIFS?',
    ])
    const others = { VROUTER_SERVICE_HOST: 'x', VROUTER_PORT: 'tcp://10.0.0.1:80', VROUTER_PINS: '/x', PATH: '/bin' }
    assert.deepEqual(mistakes('', others), [])
  })

  it('refuses a file that is missing, no YAML, or no mapping', () => {
    assert.throws(() => loadConfig({ file: join(folder, 'none.yaml'), env: {} }), /none\.yaml: cannot be read: ENOENT/)
    assert.match(mistakes('a: [')[0]!, /^vrouter\.yaml: is not YAML/)
    assert.match(mistakes('log: {level: info}\nlog: {level: warn}')[0]!, /is not YAML: Map keys must be unique/)
    assert.match(mistakes('- a')[0]!, /must be a mapping/)
    assert.match(mistakes('underlay: eth0')[0]!, /^vrouter\.yaml: underlay \("eth0"\) must be object/)
  })

  it('refuses default subnets that overlap or hold no pods', () => {
    assert.match(mistakes('defaultNetwork: {subnets: [10.0.0.0/8, 10.1.0.0/16]}')[0]!, /networks that overlap/)
    assert.match(mistakes('defaultNetwork: {subnets: [10.0.0.0/30]}')[0]!, /large enough for pods/)
  })
})

describe('the help', () => {
  it('names every key of the schema with its variable, meaning and default', () => {
    const help = describeConfig()
    const walk = (node: { properties?: object }, path: string[]): void => {
      for (const [name, child] of Object.entries(node.properties ?? {})) {
        assert.ok(child.description?.length > 0, `${name} has a description`)
        if (child.properties !== undefined) walk(child, [...path, name])
        else assert.ok(help.includes(`${[...path, name].join('.')}  (${environmentName([...path, name])})`), name)
      }
    }
    walk(schema, [])
    assert.ok(help.includes('limits.vifs  (VROUTER_LIMITS_VIFS) [1024]'))
    assert.equal(environmentName(['paths', 'cniConf']), 'VROUTER_PATHS_CNI_CONF')
  })
})
