import assert from 'node:assert/strict'
import { parseCommandLine, UsageError, usage } from './command-line.ts'

const parse = (text: string) => parseCommandLine(text.split(' ').filter((word) => word !== ''))

function refused(text: string, message: RegExp): void {
  assert.throws(
    () => parse(text),
    (error) => error instanceof UsageError && message.test(error.message),
    text,
  )
}

describe('the command line of hack/lab', () => {
  it('reads every verb', () => {
    const cases: [string, object][] = [
      ['up', { verb: 'up', nodes: 2 }],
      ['up --nodes 16', { verb: 'up', nodes: 16 }],
      ['down', { verb: 'down' }],
      ['apply -f a b', { verb: 'apply', files: ['a', 'b'] }],
      ['delete -f a -f -', { verb: 'delete', files: ['a', '-'] }],
      ['pod del web', { verb: 'pod del', pod: 'web' }],
      ['pod delete web', { verb: 'pod del', pod: 'web' }],
      [
        'exec pod/web -- ls -l --name x',
        { verb: 'exec', target: { kind: 'pod', name: 'web' }, command: ['ls', '-l', '--name', 'x'] },
      ],
      [
        'exec node/1 -- sh -c -- x',
        { verb: 'exec', target: { kind: 'node', name: '1' }, command: ['sh', '-c', '--', 'x'] },
      ],
      ['exec fabric -- ip addr', { verb: 'exec', target: { kind: 'fabric', name: 'fabric' }, command: ['ip', 'addr'] }],
      ['daemon 2 restart', { verb: 'daemon', node: '2', action: 'restart' }],
      ['status --json', { verb: 'status', json: true }],
    ]
    for (const [text, request] of cases) assert.deepEqual(parse(text), { lab: 'lab', request }, text)
    assert.deepEqual(parse('pod add web --node 1 --namespace red --labels a=b,c=d --ifname net1').request, {
      verb: 'pod add',
      pod: 'web',
      node: '1',
      namespace: 'red',
      labels: 'a=b,c=d',
      ifname: 'net1',
      annotations: {},
      hostPorts: [],
    })
  })

  it('reads annotations, as many as there are', () => {
    const { request } = parse(
      'pod add web --node 1 --annotation a/b=10.1.0.7,fd01::7 --annotation c=d=e --annotation f=',
    )
    assert.ok(request.verb === 'pod add')
    assert.deepEqual(request.annotations, { 'a/b': '10.1.0.7,fd01::7', c: 'd=e', f: '' })
    refused('pod add web --node 1 --annotation x', /--annotation "x": KEY=VALUE/)
  })

  it('reads ports of the node, as many as there are', () => {
    const { request } = parse('pod add web --node 1 --host-port 8080:80 --host-port 53:5353/udp@fd01::7')
    assert.ok(request.verb === 'pod add')
    assert.deepEqual(request.hostPorts, [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIp: '' },
      { hostPort: 53, containerPort: 5353, protocol: 'udp', hostIp: 'fd01::7' },
    ])
    refused('pod add web --node 1 --host-port 80', /--host-port "80": NODE:POD/)
  })

  it('takes --name anywhere before --', () => {
    for (const text of ['--name a exec node/1 -- ls', 'exec --name a node/1 -- ls', 'exec node/1 --name=a -- ls'])
      assert.equal(parse(text).lab, 'a', text)
    assert.equal(parse('--name a apply -f x').lab, 'a')
    assert.deepEqual(parse('apply --name a -f x y').request, { verb: 'apply', files: ['x', 'y'] })
  })

  it('calls the lab of the demo so', () => {
    assert.deepEqual(parse('demo'), { lab: 'demo', request: { verb: 'demo', keep: false } })
    assert.deepEqual(parse('demo --keep --name b'), { lab: 'b', request: { verb: 'demo', keep: true } })
  })

  it('helps wherever --help stands', () => {
    for (const text of ['--help', '-h', 'up --help', 'bogus -h']) assert.equal(parse(text).request.verb, 'help', text)
    for (const verb of ['up', 'down', 'apply', 'delete', 'pod add', 'pod del', 'exec', 'daemon', 'status', 'demo'])
      assert.match(usage, new RegExp(`^ {2}hack/lab ${verb}\\b`, 'm'))
    for (const line of usage.split('\n')) assert.ok(line.length <= 130, line)
  })

  it('says what is wrong', () => {
    refused('', /what shall be done/)
    refused('bogus', /unknown verb "bogus"; there are up, down/)
    refused('constructor', /unknown verb/)
    refused('pod', /add or del/)
    refused('pod rename x', /pod rename: unknown/)
    refused('pod add', /name of the pod is missing/)
    refused('pod add web', /on which node/)
    refused('pod add web --node', /--node needs a value/)
    refused('up --nodes 0', /from 1 to 16/)
    refused('up --nodes 17', /from 1 to 16/)
    refused('up --nodes 1e1', /from 1 to 16/)
    refused('up now', /unexpected "now"/)
    refused('up --foo', /unknown option --foo/)
    refused('up --node 1', /up has no --node/)
    refused('down -- ls', /takes no command/)
    refused('apply', /which file/)
    refused('exec', /pod\/NAME, node\/I or fabric is missing/)
    refused('exec web -- ls', /neither pod\/NAME nor node\/I/)
    refused('exec pod/web', /command is missing/)
    refused('exec pod/web --', /command is missing/)
    refused('exec pod/web ls', /behind a '--'/)
    refused('daemon 1', /action is missing/)
    refused('daemon 1 up', /unknown action "up"/)
    refused('status --name a --name b', /more than once/)
  })

  it('refuses names that would leave their folder', () => {
    for (const name of ['', 'A', '../x', '-x', 'x-', 'a'.repeat(31), 'a b'])
      assert.throws(() => parseCommandLine(['status', '--name', name]), /lower case letters/, name)
    assert.throws(() => parse('pod add ../x --node 1'), /lower case letters/)
  })
})
