import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silent } from '../log.ts'
import { askPlugin, type ChainedPlugin, chainOf } from './chained-plugins.ts'
import { ConflistKeeper } from './conflist-keeper.ts'

describe('plugins of others behind ours', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kv-chain-'))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  function plugin(name: ChainedPlugin, script: string): void {
    const file = join(root, name)
    writeFileSync(`${file}.tmp`, `#!/bin/sh\n${script}\n`)
    chmodSync(`${file}.tmp`, 0o755)
    renameSync(`${file}.tmp`, file)
  }
  const speaking = (...versions: string[]) =>
    `[ "$CNI_COMMAND" = VERSION ] || exit 1; cat >/dev/null; echo '${JSON.stringify({ cniVersion: '1.0.0', supportedVersions: versions })}'`
  const OLD = ['0.3.1', '0.4.0', '1.0.0']

  it('are asked which versions they speak', async () => {
    plugin('portmap', speaking(...OLD))
    assert.deepEqual(await askPlugin(root, 'portmap'), { plugin: 'portmap', state: 'speaks', versions: OLD })
  })

  it('are missing where they are: by name', async () => {
    const { state, reason } = await askPlugin(root, 'portmap')
    assert.deepEqual([state, reason], ['missing', `${join(root, 'portmap')} isn't there`])
  })

  for (const [what, script] of [
    ['fails', 'exit 3'],
    ['says something else', 'echo hello'],
    ['says less', 'echo {}'],
    ['hangs', 'exec sleep 60'],
  ] as const) {
    it(`speak what every plugin does where one ${what}`, async () => {
      plugin('portmap', script)
      const { state, versions } = await askPlugin(root, 'portmap', what === 'hangs' ? 200 : undefined)
      assert.deepEqual([state, versions], ['mute', ['0.3.1', '0.4.0']])
    })
  }

  it('that can’t be seen from here are taken to be there', async () => {
    const { state, versions } = await askPlugin(join(root, 'elsewhere'), 'portmap')
    assert.deepEqual([state, versions], ['mute', ['0.3.1', '0.4.0']])
  })

  it('have the chain claim what all of them speak, and stay outside where that would be nothing', () => {
    const answer = (name: ChainedPlugin, ...versions: string[]) =>
      ({ plugin: name, state: 'speaks', versions }) as const
    assert.deepEqual(chainOf([]).versions, ['0.3.1', '0.4.0', '1.0.0', '1.1.0'])
    const chain = chainOf([
      answer('portmap', ...OLD, '1.1.0'),
      answer('bandwidth', '0.4.0', '1.0.0'),
      answer('tuning', '1.1.0'),
    ])
    assert.deepEqual(
      [chain.plugins, chain.versions],
      [
        ['portmap', 'bandwidth'],
        ['0.4.0', '1.0.0'],
      ],
    )
    assert.match(
      chain.problems[0]!.message,
      /^plugin tuning of cni.chained can't be used \(it speaks 1\.1\.0, the others 0/,
    )
  })

  describe('in the conflist', () => {
    let told: string[]
    let keeper: ConflistKeeper | undefined
    beforeEach(() => {
      told = []
    })
    afterEach(() => keeper?.[Symbol.dispose]())
    const start = async (...chained: ChainedPlugin[]) => {
      keeper = await ConflistKeeper.start({
        folder: join(root, 'net.d'),
        socket: '/s',
        state: '/t',
        chained,
        binaries: root,
        log: silent,
        tell: ({ type, reason, message }) => told.push(`${type} ${reason}: ${message}`),
        lookMs: 20,
      })
    }
    const conflist = () => {
      const { cniVersion, cniVersions, plugins } = JSON.parse(
        readFileSync(join(root, 'net.d/10-vrouter.conflist'), 'utf8'),
      ) as { cniVersion: string; cniVersions: string[]; plugins: { type: string }[] }
      return [cniVersion, cniVersions.at(-1), plugins.map(({ type }) => type).join(' ')]
    }
    const until = async (is: () => boolean) => {
      while (!is()) await sleep(10)
    }

    it('claim no version that one of them doesn’t speak: a runtime would ask it for its STATUS', async () => {
      plugin('portmap', speaking(...OLD))
      await start('portmap')
      assert.deepEqual(conflist(), ['1.0.0', '1.0.0', 'vrouter-cni portmap'])
      assert.deepEqual(told, [])
      plugin('portmap', speaking(...OLD, '1.1.0'))
      await until(() => conflist()[1] === '1.1.0')
      plugin('portmap', speaking('0.4.0'))
      await until(() => conflist()[0] === '0.4.0')
      assert.deepEqual(conflist(), ['0.4.0', '0.4.0', 'vrouter-cni portmap'])
    })

    it('are left out and told of while they aren’t on the node, once, and taken in when they are', async () => {
      plugin('tuning', speaking(...OLD, '1.1.0'))
      await start('portmap', 'tuning')
      assert.deepEqual(conflist(), ['1.0.0', '1.1.0', 'vrouter-cni tuning'])
      const message = `plugin portmap of cni.chained can't be used (${join(root, 'portmap')} isn't there): pods start without it until it can`
      assert.deepEqual(told, [`Warning ChainedPluginUnusable: ${message}`])
      plugin('tuning', speaking(...OLD))
      await until(() => conflist()[1] === '1.0.0')
      assert.equal(told.length, 1)
      plugin('portmap', speaking(...OLD))
      await until(() => told.length === 2)
      assert.deepEqual(conflist(), ['1.0.0', '1.0.0', 'vrouter-cni portmap tuning'])
      assert.equal(told[1], 'Normal ChainedPluginUsable: plugin portmap of cni.chained can be used now')
    })

    it('are none by default, and nobody is asked', async () => {
      await start()
      assert.deepEqual(conflist(), ['1.0.0', '1.1.0', 'vrouter-cni'])
    })
  })
})
