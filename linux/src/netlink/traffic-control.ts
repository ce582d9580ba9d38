/**
 * A BPF program as a direct-action filter on what a device receives (ingress, cls_bpf). It does what a tcx link does, and is attached in a fraction of a
 * millisecond, because the kernel waits for no RCU grace period; but it belongs to the device and not to a descriptor, and costs each packet more. Pure.
 */

import { nested, text, u32 } from './codec.ts'
import { NLM_F_CREATE, NLM_F_EXCL, type Request } from './socket.ts'

const RTM_NEWQDISC = 36
const RTM_DELQDISC = 37
const RTM_NEWTFILTER = 44
const RTM_DELTFILTER = 45
const RTM_GETTFILTER = 46

const INGRESS_HANDLE = 0xffff_0000
const TC_H_INGRESS = 0xffff_fff1
const TC_H_INGRESS_FILTERS = 0xffff_fff2
const ETH_P_ALL = 0x0003

const TCA_KIND = 1
const TCA_OPTIONS = 2
const TCA_BPF_FD = 6
const TCA_BPF_NAME = 7
const TCA_BPF_FLAGS = 8
const TCA_BPF_FLAG_ACT_DIRECT = 1

export interface IngressFilter {
  readonly index: number
  /** Among the filters of a device; nobody else's filter has it. */
  readonly priority: number
}

/**
 * What ingress filters need. Give it to a device that is down: of one that is up the kernel stops what it sends meanwhile. Fails with EEXIST when the device
 * has a clsact or ingress qdisc already.
 */
export function newIngressQdisc(index: number): Request {
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    fixed: tcmsg(index, INGRESS_HANDLE, TC_H_INGRESS, 0),
    attributes: [text(TCA_KIND, 'ingress')],
  }
}

/** Removes it with all its filters. Fails with EINVAL or ENOENT when there is none. */
export function delIngressQdisc(index: number): Request {
  return { type: RTM_DELQDISC, flags: 0, fixed: tcmsg(index, INGRESS_HANDLE, TC_H_INGRESS, 0), attributes: [] }
}

export function newIngressFilter({ index, priority }: IngressFilter, programFd: number, name: string): Request {
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    fixed: tcmsg(index, 1, TC_H_INGRESS_FILTERS, infoOf(priority)),
    attributes: [
      text(TCA_KIND, 'bpf'),
      nested(TCA_OPTIONS, [
        u32(TCA_BPF_FD, programFd),
        text(TCA_BPF_NAME, name),
        u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
      ]),
    ],
  }
}

/** Fails with EINVAL or ENOENT when there is none. */
export function delIngressFilter({ index, priority }: IngressFilter): Request {
  return {
    type: RTM_DELTFILTER,
    flags: 0,
    fixed: tcmsg(index, 1, TC_H_INGRESS_FILTERS, infoOf(priority)),
    attributes: [text(TCA_KIND, 'bpf')],
  }
}

/** Fails with EINVAL or ENOENT when there is none. */
export function getIngressFilter({ index, priority }: IngressFilter): Request {
  return {
    type: RTM_GETTFILTER,
    flags: 0,
    fixed: tcmsg(index, 1, TC_H_INGRESS_FILTERS, infoOf(priority)),
    attributes: [text(TCA_KIND, 'bpf')],
  }
}

/** Priority and protocol (in network byte order), as struct tcmsg has them. */
function infoOf(priority: number): number {
  return priority * 0x1_0000 + (ETH_P_ALL << 8)
}

function tcmsg(index: number, handle: number, parent: number, info: number): Uint8Array {
  const fixed = new Uint8Array(20)
  const view = new DataView(fixed.buffer)
  view.setInt32(4, index, true)
  view.setUint32(8, handle, true)
  view.setUint32(12, parent, true)
  view.setUint32(16, info, true)
  return fixed
}
