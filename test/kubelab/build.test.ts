/** hack/kubernetes/build and hack/kind, with stand-ins for the programs that they call. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { repository } from './layout.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubernetes-build-'))
  mkdirSync(join(folder, 'path'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function executable(file: string, script: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `#!/bin/bash\n${script}\n`)
  chmodSync(file, 0o755)
}

function program(name: string, script: string): void {
  executable(join(folder, 'path', name), script)
}

const calls = () =>
  existsSync(join(folder, 'calls')) ? readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n') : []

interface Outcome {
  readonly status: number | null
  readonly stderr: string
}

function run(
  script: string,
  args: readonly string[] = [],
  path = `${join(folder, 'path')}:${process.env['PATH']}`,
): Outcome {
  const env = { ...process.env, KUBE_VROUTER_CACHE: join(folder, 'cache'), CALLS: join(folder, 'calls'), PATH: path }
  return spawnSync('/bin/bash', [resolve(repository, script), ...args], { env, encoding: 'utf8' })
}

/** Writes what it is asked to build. */
const fakeGo = `echo "$*" >>"$CALLS"
case "$1 $2" in
  'mod download') printf 'module k8s.io/kubernetes\\n\\ngo 1.24.0\\n\\nreplace (\\n\\tk8s.io/api => ./staging/src/k8s.io/api\\n)\\n' >"$CALLS.mod"
    printf '{\\n\\t"GoMod": "%s",\\n}\\n' "$CALLS.mod" ;;
  'mod tidy') cat go.mod >>"$CALLS.tidied" ;;
  *) target=
    while [ $# -gt 0 ]; do [ "$1" = -o ] && target=$2; last=$1; shift; done
    last=\${last##*/}; last=\${last%@*}
    target=\${target:-$GOBIN/$last}
    echo >"$target"; chmod +x "$target" ;;
esac`

describe('hack/kubernetes/build', () => {
  it('says what is missing where there is no Go', () => {
    // Everything that it needs but Go.
    for (const name of [
      'bash',
      'dirname',
      'cat',
      'sha256sum',
      'mkdir',
      'flock',
      'sed',
      'tail',
      'nice',
      'ln',
      'cp',
      'mv',
    ])
      program(name, `exec ${['/usr/bin', '/bin'].map((at) => join(at, name)).find(existsSync)} "$@"`)
    const outcome = run('hack/kubernetes/build', [], join(folder, 'path'))
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /Go is missing.*hyperkube helm cnitool containerd2 coredns nettool/)
  })

  it('builds each part once, from a go.mod that names published versions', () => {
    program('go', fakeGo)
    assert.deepEqual(run('hack/kubernetes/build').status, 0)
    const tidied = readFileSync(join(folder, 'calls.tidied'), 'utf8')
    assert.match(tidied, /k8s\.io\/kubernetes v1\.\d+\.\d+/)
    assert.match(tidied, /k8s\.io\/api => k8s\.io\/api v0\.\d+\.\d+/)
    assert.match(tidied, /github\.com\/coredns\/coredns v1\.\d+\.\d+/)
    assert.ok(calls().some((call) => /install .*helm\.sh\/helm\/v3\/cmd\/helm@v3/.test(call)))
    const before = calls().length
    assert.equal(run('hack/kubernetes/build').status, 0)
    assert.equal(calls().length, before, 'nothing is built twice')
    assert.equal(run('hack/kubernetes/build', ['--check']).status, 0)
  })

  it('builds again what was built by another recipe, and only that', () => {
    program('go', fakeGo)
    run('hack/kubernetes/build')
    writeFileSync(join(folder, 'cache/bin/.helm.stamp'), 'of another recipe')
    const check = run('hack/kubernetes/build', ['--check'])
    assert.equal(check.status, 1)
    assert.match(check.stderr, /out of date: helm$/m)
    const before = calls().length
    run('hack/kubernetes/build')
    assert.deepEqual(
      calls()
        .slice(before)
        .map((call) => /helm/.test(call)),
      [true],
    )
  })

  it('leaves what it could not build to the next run, and shows the end of the log', () => {
    program('go', `echo 'proxy says no' >&2; exit 1`)
    const outcome = run('hack/kubernetes/build')
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /proxy says no[\s\S]*hyperkube could not be built/)
    assert.equal(run('hack/kubernetes/build', ['--check']).status, 1)
  })
})

describe('hack/kind', () => {
  /** A tree with the script and stand-ins for everything that it calls. */
  function standIns({ clusters = '', mocha = 0 } = {}): void {
    for (const name of ['docker', 'kubectl', 'helm']) program(name, `echo "${name} $*" >>"$CALLS"; echo 172.18.0.2`)
    program(
      'kind',
      `echo "kind $*" >>"$CALLS"
case "$1 $2" in 'get clusters') echo "${clusters}" ;; 'get nodes') echo "x-worker" ;; 'create cluster') cat >"$CALLS.config" ;; esac`,
    )
    for (const script of ['hack/setup', 'hack/image', 'hack/kubernetes/packages', 'hack/kubernetes/build'])
      executable(join(folder, 'tree', script), `echo "${script} $*" >>"$CALLS"`)
    executable(join(folder, 'tree/node_modules/.bin/node'), 'echo /box.tar')
    executable(join(folder, 'tree/node_modules/.bin/mocha'), `echo "mocha for $E2E_KIND" >>"$CALLS"; exit ${mocha}`)
    for (const script of ['hack/kind', 'hack/help'])
      copyFileSync(join(repository, script), join(folder, 'tree', script))
  }
  const kind = (...args: string[]) => run(join(folder, 'tree/hack/kind'), args)
  const indexOf = (pattern: RegExp) => calls().findIndex((call) => pattern.test(call))

  it('makes a cluster without a network, installs the chart, runs the suite and deletes the cluster', () => {
    standIns()
    const outcome = kind()
    assert.equal(outcome.status, 0, outcome.stderr)
    const config = parse(readFileSync(join(folder, 'calls.config'), 'utf8')) as {
      networking: object
      nodes: { role: string; kubeadmConfigPatches?: string[] }[]
    }
    assert.deepEqual(config.networking, { disableDefaultCNI: true, ipFamily: 'dual' })
    assert.deepEqual(
      config.nodes.flatMap((node) => node.kubeadmConfigPatches ?? []).map((patch) => parse(patch) as object),
      ['node1', 'node2'].map((name) => ({ kind: 'JoinConfiguration', nodeRegistration: { name } })),
    )
    const steps = [
      /kind create/,
      /load image-archive .*kube-vrouter.tar/,
      /helm .*install/,
      /wait .*Ready/,
      /mocha for kube-vrouter/,
      /kind delete/,
    ]
    const at = steps.map(indexOf)
    assert.ok(!at.includes(-1), `${calls().join('\n')}`)
    assert.deepEqual(
      at,
      at.toSorted((a, b) => a - b),
    )
    assert.match(calls()[at[2]!]!, /k8sServiceHost=172\.18\.0\.2/)
  })

  it('fails as the suite does, and deletes the cluster all the same; --keep leaves it', () => {
    standIns({ mocha: 3 })
    assert.equal(kind().status, 3)
    assert.notEqual(indexOf(/kind delete/), -1)
    rmSync(join(folder, 'calls'))
    assert.equal(kind('--keep').status, 3)
    assert.equal(indexOf(/kind delete/), -1)
  })

  it('says that Docker does not answer', () => {
    standIns()
    for (const name of ['docker', 'podman']) program(name, 'exit 1')
    const outcome = kind()
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /neither Docker nor Podman answers/)
  })

  it('leaves a cluster of that name alone', () => {
    standIns({ clusters: 'kube-vrouter' })
    const outcome = kind()
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /there is a cluster kube-vrouter already/)
    assert.equal(indexOf(/delete|create/), -1)
  })

  it('tells its use', () => {
    standIns()
    assert.equal(kind('--help').status, 0)
    assert.equal(kind('--bogus').status, 2)
  })
})
