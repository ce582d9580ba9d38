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

const up = {
  verb: 'up',
  nodes: 2,
  cni: 'kube-vrouter',
  dualStack: false,
  kubeProxy: false,
  dns: false,
  containerd: 2,
  values: [],
  set: [],
} as const

describe('the command line of hack/kubelab', () => {
  it('reads every verb', () => {
    const cases: [string, object][] = [
      ['up', up],
      [
        'up --nodes 3 --dual-stack --kube-proxy --dns',
        { ...up, nodes: 3, dualStack: true, kubeProxy: true, dns: true },
      ],
      ['up --no-cni --containerd 1', { ...up, cni: 'none', containerd: 1 }],
      ['up --reference-cni', { ...up, cni: 'reference' }],
      ['up --set a=b --set=c=d --values f', { ...up, set: ['a=b', 'c=d'], values: ['f'] }],
      ['down', { verb: 'down' }],
      ['status', { verb: 'status' }],
      ['exec node/1 -- ls -l', { verb: 'exec', where: 1, command: ['ls', '-l'] }],
      ['exec outside -- ls -l', { verb: 'exec', where: 'outside', command: ['ls', '-l'] }],
      ['load a.tar', { verb: 'load', archive: 'a.tar' }],
      ['dump x', { verb: 'dump', folder: 'x' }],
      ['daemon 2 kill', { verb: 'daemon', node: 2, action: 'kill' }],
      ['node 2 down', { verb: 'node', node: 2, action: 'down' }],
      ['part etcd stop', { verb: 'part', part: 'etcd', action: 'stop' }],
    ]
    for (const [text, request] of cases) assert.deepEqual(parse(text), { lab: 'kubelab', request }, text)
  })

  it('passes on all that follows kubectl and helm as it is', () => {
    const cases: [string, string, string[]][] = [
      ['kubectl get pods -A --name x', 'kubelab', ['get', 'pods', '-A', '--name', 'x']],
      ['kubectl exec web -- ls -l', 'kubelab', ['exec', 'web', '--', 'ls', '-l']],
      ['kubectl --help', 'kubelab', ['--help']],
      ['--name a kubectl get nodes', 'a', ['get', 'nodes']],
      ['--name=a kubectl -- x', 'a', ['--', 'x']],
    ]
    for (const [text, lab, args] of cases)
      assert.deepEqual(parse(text), { lab, request: { verb: 'kubectl', args } }, text)
    assert.deepEqual(parse('helm list -A').request, { verb: 'helm', args: ['list', '-A'] })
  })

  it('takes --name before and behind the verb', () => {
    for (const text of ['--name a status', 'status --name a', 'status --name=a', 'exec node/1 --name a -- ls'])
      assert.equal(parse(text).lab, 'a', text)
    assert.equal(parse('exec node/1 -- ls --name a').lab, 'kubelab')
  })

  it('helps', () => {
    for (const text of ['--help', '-h', 'up --help']) assert.equal(parse(text).request.verb, 'help', text)
    for (const verb of ['up', 'down', 'kubectl', 'helm', 'exec', 'load', 'daemon', 'node', 'part', 'status', 'dump'])
      assert.match(usage, new RegExp(`^ {2}hack/kubelab ${verb}\\b`, 'm'))
    for (const line of usage.split('\n')) assert.ok(line.length <= 130, line)
  })

  it('says what is wrong', () => {
    refused('', /what shall be done/)
    refused('bogus', /unknown verb "bogus"; there are up, down/)
    refused('up --nodes 0', /from 1 to 16/)
    refused('up --nodes 17', /from 1 to 16/)
    refused('up --nodes 2 --nodes 3', /more than once/)
    refused('up --containerd 3', /one of 1, 2/)
    refused('up --no-cni --reference-cni', /either/)
    refused('up --no-cni --set a=b', /not installed/)
    refused('up --foo', /unknown option --foo/)
    refused('up now', /unexpected "now"/)
    refused('up --set', /--set needs a value/)
    refused('down --dual-stack', /down has no --dual-stack/)
    refused('exec web -- ls', /neither node\/I nor outside; pods have/)
    refused('exec node/1', /command is missing/)
    refused('exec node/1 ls', /behind a '--'/)
    refused('exec node/0 -- ls', /give its number/)
    refused('daemon 1', /action is missing/)
    refused('daemon one kill', /give its number/)
    refused('daemon 1 stop', /one of kill, logs/)
    refused('node 1 reboot', /one of up, down/)
    refused('part scheduler stop', /one of etcd, kube-apiserver/)
    refused('load', /image archive is missing/)
    refused('status -- ls', /takes no command/)
  })

  it('refuses names that would leave their folder', () => {
    for (const name of ['A', '../x', '-x', 'x-', 'a'.repeat(31), 'a b'])
      assert.throws(() => parseCommandLine(['status', '--name', name]), /lower case letters/, name)
    assert.throws(() => parse('--name ../x kubectl get nodes'), /lower case letters/)
  })
})
