/** What a device says about its link, through the ethtool ioctl, which every driver since Linux 2.4 understands. */
import { isErrno } from './errors.ts'
import { allocate, allocateString, close, ioctl, socket } from './ffi.ts'

const AF_INET = 2
const SOCK_DGRAM = 2
const SIOCETHTOOL = 0x8946
const ETHTOOL_GSET = 0x1

/** struct ifreq and struct ethtool_cmd of linux/ethtool.h. */
const IFREQ_SIZE = 40
const IFREQ_DATA = 16
const COMMAND_SIZE = 44
const SPEED = 12
const DUPLEX = 14
const SPEED_HIGH = 28

const UNKNOWN_SPEED = 0xffffffff
const UNKNOWN_DUPLEX = 0xff

export interface LinkSettings {
  /** Mb/s; absent: the device doesn't know. */
  readonly speed?: number
  /** 0 half, 1 full. */
  readonly duplex?: number
}

/** Speed and duplex of `device` in the thread's network namespace. Empty when there is no such device, or it says nothing. */
export function linkSettings(device: string): LinkSettings {
  const command = allocate(COMMAND_SIZE)
  command.view.setUint32(0, ETHTOOL_GSET, true)
  const request = allocate(IFREQ_SIZE)
  request.bytes.set(allocateString(device.slice(0, 15)).bytes)
  request.view.setBigUint64(IFREQ_DATA, command.address, true)
  const fd = socket(AF_INET, SOCK_DGRAM, 0)
  try {
    ioctl(fd, SIOCETHTOOL, request, `cannot read the link settings of ${device}`)
  } catch (error) {
    if (isErrno(error, 'ENODEV', 'EOPNOTSUPP', 'EPERM', 'EINVAL')) return {}
    throw error
  } finally {
    close(fd)
  }
  const speed = (command.view.getUint16(SPEED_HIGH, true) * 0x10000 + command.view.getUint16(SPEED, true)) >>> 0
  const duplex = command.view.getUint8(DUPLEX)
  return {
    speed: speed === UNKNOWN_SPEED ? undefined : speed,
    duplex: duplex === UNKNOWN_DUPLEX ? undefined : duplex,
  }
}
