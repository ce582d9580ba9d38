/** A lab's cgroups: /NAME/nodeI in every hierarchy of the machine (version 1, version 2, or both at once). */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const mountPoint = '/sys/fs/cgroup'

/** Version 2 alone: controllers are handed down from group to group. */
function isUnified(): boolean {
  return existsSync(join(mountPoint, 'cgroup.controllers'))
}

/** Folders of the hierarchies, each where a group NAME is made. */
function hierarchies(): string[] {
  if (isUnified()) return [mountPoint]
  return readdirSync(mountPoint).map((name) => join(mountPoint, name))
}

/** What a hierarchy needs to have written before a process can be in a new group. */
function prepare(parent: string, group: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    // Empty in a new group of version 1; absent elsewhere.
    if (!isUnified() && existsSync(join(group, file)))
      writeFileSync(join(group, file), readFileSync(join(parent, file), 'utf8'))
  }
  if (!isUnified()) return
  const controllers = readFileSync(join(parent, 'cgroup.controllers'), 'utf8').trim().split(' ')
  for (const controller of controllers) {
    try {
      writeFileSync(join(parent, 'cgroup.subtree_control'), `+${controller}`)
    } catch {
      // not one that can be handed down; the kubelet says which one it misses
    }
  }
}

/** The kubelet's root group of a node, in every hierarchy but the empty version 2 tree beside version 1, where runc makes its own. */
export function makeCgroups(lab: string, node: string): void {
  for (const hierarchy of hierarchies().filter((path) => !path.endsWith('/unified'))) {
    let parent = hierarchy
    for (const name of [lab, node]) {
      const group = join(parent, name)
      mkdirSync(group, { recursive: true })
      prepare(parent, group)
      parent = group
    }
  }
}

/** Removes a tree of groups in which nothing runs any more. @param path such as `LAB` or `LAB/node1` @returns those that remain */
export function removeCgroups(path: string): string[] {
  return hierarchies()
    .map((hierarchy) => join(hierarchy, path))
    .filter((group) => existsSync(group))
    .flatMap(removeTree)
}

function removeTree(group: string): string[] {
  const children = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const remaining = children.flatMap((entry) => removeTree(join(group, entry.name)))
  try {
    rmdirSync(group)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return [...remaining, group]
  }
  return remaining
}
