/** hack/kubernetes/build and hack/kind, with stand-ins for the programs that they call. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repository } from './layout.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubernetes-build-'))
  mkdirSync(join(folder, 'path'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function program(name: string, script: string): void {
  const file = join(folder, 'path', name)
  writeFileSync(file, `#!/bin/bash\n${script}\n`)
  chmodSync(file, 0o755)
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
  return spawnSync('/bin/bash', [join(repository, script), ...args], { env, encoding: 'utf8' })
}

/** Writes what it is asked to build. */
const fakeGo = `echo "$*" >>"$CALLS"
case "$1 $2" in
  'mod download') printf 'module k8s.io/kubernetes\\n\\ngo 1.24.0\\n\\nreplace (\\n\\tk8s.io/api => ./staging/src/k8s.io/api\\n)\\n' >"$CALLS.mod"
    printf '{\\n\\t"GoMod": "%s",\\n}\\n' "$CALLS.mod" ;;
  'mod tidy') cat go.mod >"$CALLS.tidied" ;;
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
    assert.match(outcome.stderr, /Go is missing.*hyperkube helm cnitool containerd2 nettool/)
  })

  it('builds each part once, from a go.mod that names published versions', () => {
    program('go', fakeGo)
    assert.deepEqual(run('hack/kubernetes/build').status, 0)
    const tidied = readFileSync(join(folder, 'calls.tidied'), 'utf8')
    assert.match(tidied, /k8s\.io\/kubernetes v1\.\d+\.\d+/)
    assert.match(tidied, /k8s\.io\/api => k8s\.io\/api v0\.\d+\.\d+/)
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
  const programs = (clusters = '') => {
    for (const name of ['docker', 'kubectl', 'helm']) program(name, `echo "${name} $*" >>"$CALLS"; echo 172.18.0.2`)
    program('kind', `echo "kind $*" >>"$CALLS"; [ "$1" = get ] && echo "${clusters}"; exit \${KIND_FAILS:-0}`)
  }

  it('says that Docker does not answer', () => {
    programs()
    for (const name of ['docker', 'podman']) program(name, 'exit 1')
    const outcome = run('hack/kind')
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /neither Docker nor Podman answers/)
  })

  it('leaves a cluster of that name alone', () => {
    programs('kube-vrouter')
    const outcome = run('hack/kind')
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /there is a cluster kube-vrouter already/)
    assert.ok(!calls().some((call) => /delete|create/.test(call)))
  })

  it('tells its use', () => {
    assert.equal(run('hack/kind', ['--help']).status, 0)
    assert.equal(run('hack/kind', ['--bogus']).status, 2)
  })
})
