/** The chart's README: README.head.md, and a table of all values. */
import type { Value } from './values.ts'

export function readme(head: string, values: readonly Value[]): string {
  const rows = values.map(({ path, description, fallback }) => {
    const text = cell(JSON.stringify(fallback))
    return `| \`${path}\` | ${text} | ${escaped(description)} |`
  })
  return `${head.trimEnd()}

## Values

| value | default | meaning |
|---|---|---|
${rows.join('\n')}
`
}

function cell(text: string): string {
  return `\`${escaped(text)}\``
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|')
}
