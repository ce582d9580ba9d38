/** Addresses in the underlay -> the node that has them. Tunnels are taken from those of `inet` alone. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import {
  type Peer4KeyStruct,
  type Peer6KeyStruct,
  type PeerStruct,
  peer4KeyCodec,
  peer6KeyCodec,
  peerCodec,
} from './structs.ts'
import { Table } from './table.ts'

export interface PeerTables {
  readonly inet: Table<Peer4KeyStruct, PeerStruct>
  readonly inet6: Table<Peer6KeyStruct, PeerStruct>
}

export function peerTables(map: (name: 'peers4' | 'peers6') => BpfMap): PeerTables {
  return {
    inet: new Table(map('peers4'), peer4KeyCodec, peerCodec),
    inet6: new Table(map('peers6'), peer6KeyCodec, peerCodec),
  }
}
