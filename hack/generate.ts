/**
 * `npm run generate`: writes daemon/src/maps/{structs,constants,definitions}.ts from the datapath's types.h and maps.h. The C is
 * compiled, and the layout read back from its BTF, so that the compiler alone decides offsets and sizes.
 *
 *   node hack/generate.ts           writes the files
 *   node hack/generate.ts --check   exits with 1 when a file differs from what would be written
 *
 * Needs clang; output is the same on every machine.
 */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readObjectBtf } from '@kube-vrouter/linux/bpf/btf'
import { structsSource } from './generate/codecs.ts'
import { constantsSource } from './generate/constants.ts'
import { definitionsSource } from './generate/definitions.ts'
import { readHeader } from './generate/header.ts'

const root = join(import.meta.dirname, '..')
const datapath = join(root, 'daemon/datapath')

/** File name under daemon/src/maps -> its text, formatted. */
export function generate(): ReadonlyMap<string, string> {
  const header = readHeader(readFileSync(join(datapath, 'lib/types.h'), 'utf8'))
  const folder = mkdtempSync(join(tmpdir(), 'vrouter-generate-'))
  try {
    // BTF holds only what a variable uses: one variable for each struct and enum; one enum for the macros.
    const source = [
      '#include "lib/maps.h"',
      ...header.structs.map((name) => `struct ${name} struct_${name};`),
      ...header.enums.map((name) => `enum ${name} enum_${name};`),
      `enum defines { ${header.defines.map((name) => `define_${name} = ${name}`).join(', ')} } enum_defines;`,
    ].join('\n')
    writeFileSync(join(folder, 'layout.c'), source)
    const includes = ['/usr/include/x86_64-linux-gnu', '/usr/include/aarch64-linux-gnu', datapath].flatMap((path) => [
      '-I',
      path,
    ])
    execFileSync('clang', ['-target', 'bpf', '-g', '-O2', ...includes, '-c', 'layout.c', '-o', 'layout.o'], {
      cwd: folder,
    })
    const btf = readObjectBtf(readFileSync(join(folder, 'layout.o')))
    return new Map(
      Object.entries({
        'structs.ts': structsSource(btf, header),
        'constants.ts': constantsSource(btf, header),
        'definitions.ts': definitionsSource(btf),
      }).map(([name, text]) => [name, format(name, text)]),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function format(name: string, text: string): string {
  const biome = join(root, 'node_modules/.bin/biome')
  return execFileSync(process.execPath, [biome, 'format', `--stdin-file-path=${name}`], {
    cwd: root,
    input: text,
  }).toString()
}

if (import.meta.main) {
  const check = process.argv.includes('--check')
  for (const [name, text] of generate()) {
    const path = join(root, 'daemon/src/maps', name)
    if (!check) writeFileSync(path, text)
    else if (readFileSync(path, 'utf8') !== text) {
      console.error(`${path} isn't what \`npm run generate\` writes`)
      process.exitCode = 1
    }
  }
}
