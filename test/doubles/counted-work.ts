/** Work, counted and not timed: what is asked of maps and sets, and what is read of objects that tell it. A slow machine does as much as a fast one. */

let count = 0

/** Tells what is read of the object. */
export function telling<T extends object>(object: T): T {
  return new Proxy(object, {
    get: (target, key) => {
      count++
      return Reflect.get(target, key)
    },
  })
}

export interface Slices<T> {
  readonly value: T
  /** Work between two yields, at most. */
  readonly longest: number
  readonly total: number
}

/** Runs the steps to their end. */
export function sliced<T>(steps: Generator<unknown, T>): Slices<T> {
  using _ = counting()
  let [longest, total] = [0, 0]
  for (;;) {
    count = 0
    const step = steps.next()
    longest = Math.max(longest, count)
    total += count
    if (step.done) return { value: step.value, longest, total }
  }
}

/** Until it is disposed of, maps and sets tell what is asked of them. */
function counting(): Disposable {
  const undo = new DisposableStack()
  const tellsOf = (prototype: object, names: readonly string[]) => {
    for (const name of names) {
      const work = Reflect.get(prototype, name) as (...all: unknown[]) => unknown
      Reflect.set(prototype, name, function (this: unknown, ...all: unknown[]) {
        count++
        return work.apply(this, all)
      })
      undo.defer(() => Reflect.set(prototype, name, work))
    }
  }
  tellsOf(Map.prototype, ['get', 'set', 'has', 'delete'])
  tellsOf(Set.prototype, ['add', 'has', 'delete'])
  return undo
}
