/** Type information that the kernel keeps of the maps and programs it was given. */
import { allocate, close } from '../ffi.ts'
import { type Btf, decodeBtf } from './btf.ts'
import { Attr, BpfCommand, infoByFd } from './command.ts'

/** struct bpf_btf_info. */
const INFO_SIZE = 32

/** The maps of one object share theirs, so the last one is kept. */
let last: { readonly id: number; readonly btf: Btf } | undefined

/** By a map's or program's `btfId`. */
export function kernelBtf(id: number): Btf {
  if (last?.id === id) return last.btf
  const fd = new Attr().u32(0, id).call(BpfCommand.BTF_GET_FD_BY_ID, `cannot open BTF ${id}`)
  try {
    const size = infoByFd(fd, INFO_SIZE, 'BTF').view.getUint32(8, true)
    const data = allocate(size)
    infoByFd(fd, INFO_SIZE, 'BTF', ({ view }) => {
      view.setBigUint64(0, data.address, true)
      view.setUint32(8, size, true)
    })
    last = { id, btf: decodeBtf(data.bytes) }
    return last.btf
  } finally {
    close(fd)
  }
}
