/** Selectors by label, as manifests write them. Pure. */
import type { LabelSelector } from '../../model/objects.ts'
import { type SchemaIssue, shorten } from '../../schema/check.ts'

export interface SelectorSpec {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    readonly values?: readonly string[]
  }[]
}

/** In and NotIn need values, Exists and DoesNotExist have none: as Kubernetes checks it. */
export function decodeSelector(
  { matchLabels = {}, matchExpressions = [] }: SelectorSpec,
  field: string,
  issues: SchemaIssue[],
): LabelSelector {
  for (const [index, { operator, values = [] }] of matchExpressions.entries()) {
    const needsValues = operator === 'In' || operator === 'NotIn'
    if (needsValues === values.length > 0) continue
    const message = needsValues ? `is required for ${operator}` : `must be empty for ${operator}`
    issues.push({ field: `${field}.matchExpressions[${index}].values`, value: shorten(values), message })
  }
  const expressions = matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values }))
  return { matchLabels, matchExpressions: expressions }
}
