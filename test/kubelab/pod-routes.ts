/**
 * Routes of the control plane to pods, as a cloud's router or a site's has them: its machine is no node, and no daemon of ours runs on it. A
 * small loop in the fabric follows the blocks of the default pod network, each behind its node. The routes are for what the control plane itself sends:
 * the fabric forwards nothing along them.
 */
import { join } from 'node:path'
import { startDetached } from '../lab/process.ts'
import { enterLab } from './holder.ts'
import { labPaths, tools } from './layout.ts'

const TABLE = 100

/** Run in the fabric's namespaces until the lab ends. A watch that ends (the API server went away) begins anew, with all blocks. */
const script = `
for family in -4 -6; do ip $family rule add iif lo lookup ${TABLE}; done
while :; do
  for family in -4 -6; do ip $family route flush table ${TABLE} 2>/dev/null; done
  kubectl get ipamblocks.vrouter.dev --watch --output-watch-events \\
    -o jsonpath='{.type} {.object.spec.network} {.object.spec.cidr} {.object.spec.node}{"\\n"}' |
    while read -r event network cidr node; do
      case $network in *:k8s-default-pod-network) ;; *) continue ;; esac
      case $cidr in *:*) family=-6 pattern=: ;; *) family=-4 pattern=. ;; esac
      if [ "$event" = DELETED ]; then
        ip $family route del "$cidr" table ${TABLE}
        continue
      fi
      addresses=$(kubectl get node "$node" -o jsonpath='{range .status.addresses[?(@.type=="InternalIP")]}{.address}{"\\n"}{end}')
      gateway=$(grep -m 1 -F "$pattern" <<<"$addresses") && ip $family route replace "$cidr" via "$gateway" table ${TABLE}
    done
  sleep 2
done
`

export function keepPodRoutes(lab: string): void {
  const { root, adminKubeconfig } = labPaths(lab)
  const env = { KUBECONFIG: adminKubeconfig, PATH: `${tools.bin}:${process.env['PATH'] ?? ''}` }
  const file = join(root, 'pod-routes')
  startDetached([...enterLab(lab), 'bash', '-c', script], `${file}.log`, `${file}.pid`, env)
}
