import assert from 'node:assert/strict'
import { parseCommandLine, parseId } from './command-line.ts'
import { parseFlowMatch } from './flow-match.ts'

const RT = [
  { long: 'dump', short: 'b', takesValue: true },
  { long: 'get', takesValue: true },
  { long: 'family', short: 'f', takesValue: true },
  { long: 'force', short: 'F' },
  { long: 'json-lines' },
  { long: 'help', short: 'h' },
]
const parse = (...args: string[]) => Object.fromEntries(parseCommandLine('rt', RT, args).options)

describe('command line', () => {
  it('takes values after a blank, an equals sign, or glued to the letter', () => {
    for (const args of [['--dump', '2'], ['--dump=2'], ['-b', '2'], ['-b2']])
      assert.deepEqual(parse(...args), { dump: '2' })
  })

  it('takes any unambiguous prefix of a long option', () => {
    assert.deepEqual(parse('--d', '2', '--fam=inet6', '--h'), { dump: '2', family: 'inet6', help: '' })
    assert.throws(
      () => parse('--f', 'inet'),
      /^UtilityError: rt: option '--f' is ambiguous; possibilities: '--family' '--force'$/,
    )
  })

  it('takes --json and --pins in full only, so that they spoil no abbreviation', () => {
    assert.deepEqual(parse('--json', '--pins', '/p', '--js'), { json: '', pins: '/p', 'json-lines': '' })
    assert.throws(() => parse('--pin', '/p'), /unrecognized option '--pin'/)
  })

  it('bundles letters, keeps operands, and stops at --', () => {
    const { options, operands } = parseCommandLine('rt', RT, ['x', '-hFb3', '--', '--dump'])
    assert.deepEqual(Object.fromEntries(options), { help: '', force: '', dump: '3' })
    assert.deepEqual(operands, ['x', '--dump'])
  })

  it("complains in getopt's words", () => {
    assert.throws(() => parse('--nope'), /rt: unrecognized option '--nope'/)
    assert.throws(() => parse('--dump'), /rt: option '--dump' requires an argument/)
    assert.throws(() => parse('--help=1'), /rt: option '--help' doesn't allow an argument/)
    assert.throws(() => parse('-q'), /rt: invalid option -- 'q'/)
    assert.throws(() => parse('-b'), /rt: option requires an argument -- 'b'/)
  })

  it('reads ids in decimal and hex, and nothing else', () => {
    assert.equal(parseId('rt', 'VRF', '0x10'), 16)
    for (const text of ['', '-1', '1x', '4294967296', 'abc'])
      assert.throws(() => parseId('rt', 'VRF', text), /VRF must be a number/)
  })
})

describe('flow --match', () => {
  it('reads addresses, ports, protocol and VRF', () => {
    assert.deepEqual(parseFlowMatch('10.1.1.1:80,*:* & proto tcp & vrf 2'), {
      source: { address: '10.1.1.1', port: 80 },
      destination: {},
      protocol: 6,
      vrf: 2,
    })
    assert.deepEqual(parseFlowMatch('[fd00::1]:*'), { source: { address: 'fd00::1' } })
    assert.deepEqual(parseFlowMatch('[FD00:0:0::01]:*'), { source: { address: 'fd00::1' } })
  })

  it('names what it cannot read', () => {
    assert.throws(() => parseFlowMatch('10.1.1.1'), /'10\.1\.1\.1' is not ADDRESS:PORT/)
    assert.throws(() => parseFlowMatch('10.1.1.300:80'), /'10\.1\.1\.300' is not an IP address/)
    assert.throws(() => parseFlowMatch('[fe80::1%eth0]:80'), /'fe80::1%eth0' is not an IP address/)
    assert.throws(() => parseFlowMatch('10.1.1.1:70000'), /port 70000 is above 65535/)
    assert.throws(() => parseFlowMatch('proto gre'), /unknown protocol 'gre'/)
    assert.throws(() => parseFlowMatch('1.1.1.1:1,2.2.2.2:2,3.3.3.3:3'), /cannot read/)
  })
})
