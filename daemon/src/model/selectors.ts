/** Label selectors of Kubernetes (LabelSelector of meta/v1). */
import type { LabelSelector } from './objects.ts'

type Labels = Readonly<Record<string, string>>

/** Whether the selector matches the labels; an empty one matches everything. */
export function matches({ matchLabels, matchExpressions }: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labelOf(labels, key) === value) &&
    matchExpressions.every((expression) => meets(expression, labels))
  )
}

/** NotIn and DoesNotExist hold for a label that isn't there. */
function meets({ key, operator, values }: LabelSelector['matchExpressions'][number], labels: Labels): boolean {
  const value = labelOf(labels, key)
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return operator satisfies never
  }
}

function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}
