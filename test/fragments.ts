/** IP packets in fragments, made by hand so that a test can send them in any order. */

/** Python that makes fragments: cut(family, src, dst, sport, dport, data, id) gives IP packets of at most 1032 bytes of payload. */
export const CUT = `
import itertools, os, socket, struct, sys, time
def sum16(data):
  data += b'\\0' * (len(data) % 2)
  total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
  while total >> 16: total = (total & 0xffff) + (total >> 16)
  return ~total & 0xffff
def cut(src, dst, sport, dport, data, ident, size=1032):
  six = ':' in src
  pack = lambda text: socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, text)
  udp = struct.pack('!HHHH', sport, dport, 8 + len(data), 0) + data
  pseudo = pack(src) + pack(dst) + (struct.pack('!IHBB', len(udp), 0, 0, 17) if six else struct.pack('!BBH', 0, 17, len(udp)))
  udp = udp[:6] + struct.pack('!H', sum16(pseudo + udp) or 0xffff) + udp[8:]
  packets = []
  for at in range(0, len(udp), size):
    part, more = udp[at:at + size], at + size < len(udp)
    if six:
      packets.append(struct.pack('!IHBB', 0x60000000, 8 + len(part), 44, 64) + pack(src) + pack(dst) + struct.pack('!BBHI', 17, 0, at | more, ident) + part)
    else:
      head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(part), ident & 0xffff, at // 8 | (0x2000 if more else 0), 64, 17, 0) + pack(src) + pack(dst)
      packets.append(head[:10] + struct.pack('!H', sum16(head)) + head[12:] + part)
  return packets
`
