/** Proves: what docs/security.md names as a test is there, file and title, so that no claim outlives its proof. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const page = readFileSync(join(root, 'docs/security.md'), 'utf8')
const files = globSync(['{daemon,test}/**/*.ts'], { cwd: root, exclude: (path) => path.includes('node_modules') })
const text = (file: string) => readFileSync(join(root, file), 'utf8')

/** `trust, lab` and the like, from the page's first table. */
const shorts = new Map(
  [...page.matchAll(/^\| ([a-z, ]+) \| `([^`]+\.ts)` \|$/gm)].map(([, short, file]) => [short!, file!] as const),
)

/** A file that the page names by its path, its name alone or a short name. */
function resolve(name: string): string {
  const short = shorts.get(name)
  const found = files.filter((file) => file === (short ?? name) || basename(file) === name)
  assert.equal(
    found.length,
    1,
    `docs/security.md names ${name}: ${found.join(', ') || 'no such file'}; wanted one file`,
  )
  return found[0]!
}

describe('docs/security.md', () => {
  it('names tests that are there', () => {
    let checked = 0
    for (const line of page.split('\n')) {
      // A file, then the titles in it.
      const named = new RegExp(
        `\`([^\`]+\\.ts)\`|(?<![\\w-])(${[...shorts.keys()].sort().reverse().join('|')})(?= ")|"([^"]+)"`,
        'g',
      )
      let file: string | undefined
      for (const [, path, short, title] of line.matchAll(named)) {
        if (title === undefined) {
          file = resolve(path ?? short!)
          checked++
          continue
        }
        if (file === undefined) continue
        const source = text(file)
        for (const part of title.split('…').map((piece) => piece.replace(/[,:;] *$/, '').trim()))
          assert.ok(source.includes(part), `${file} has no test "${title}", which docs/security.md names`)
        checked++
      }
    }
    assert.ok(shorts.size === 4 && checked > 60, `${checked} names found`)
  })
})
