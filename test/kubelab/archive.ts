/** One-layer OCI image archives made of plain files, without a container engine: what `ctr images import` reads. The same content gives the same bytes. */
import { createHash } from 'node:crypto'

export type Entry =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly content: Buffer }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }

export interface ImageConfig {
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Env?: readonly string[]
}

const block = 512

/** A ustar header (POSIX.1-1988); names up to 100 bytes, owner root, time 0. */
function header(entry: Entry): Buffer {
  const bytes = Buffer.alloc(block)
  const path = entry.kind === 'folder' ? `${entry.path}/` : entry.path
  if (Buffer.byteLength(path) > 100) throw new Error(`${path}: longer than the 100 bytes that a tar header holds`)
  const octal = (value: number, at: number, length: number) =>
    bytes.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1')
  bytes.write(path, 0)
  octal(entry.kind === 'link' ? 0o777 : entry.mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(entry.kind === 'file' ? entry.content.length : 0, 124, 12)
  octal(0, 136, 12)
  bytes.write('        ', 148)
  bytes.write({ file: '0', link: '2', folder: '5' }[entry.kind], 156)
  if (entry.kind === 'link') bytes.write(entry.target, 157)
  bytes.write('ustar\x0000', 257, 'latin1')
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return bytes
}

export function tar(entries: readonly Entry[]): Buffer {
  const chunks = entries.flatMap((entry) => {
    if (entry.kind !== 'file') return [header(entry)]
    const padding = (block - (entry.content.length % block)) % block
    return [header(entry), entry.content, Buffer.alloc(padding)]
  })
  return Buffer.concat([...chunks, Buffer.alloc(2 * block)])
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** @param name such as `kubelab/box:1` @param architecture Go's name of it */
export function imageArchive(
  name: string,
  architecture: string,
  config: ImageConfig,
  entries: readonly Entry[],
): Buffer {
  const layer = tar(entries)
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const descriptor = (type: string, bytes: Buffer) => ({
    mediaType: `application/vnd.oci.image.${type}`,
    digest: `sha256:${digestOf(bytes)}`,
    size: bytes.length,
  })
  const image = json({
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${digestOf(layer)}`] },
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('config.v1+json', image),
    layers: [descriptor('layer.v1.tar', layer)],
  })
  const index = json({
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor('manifest.v1+json', manifest),
        platform: { architecture, os: 'linux' },
        annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
      },
    ],
  })
  const file = (path: string, content: Buffer): Entry => ({ kind: 'file', path, mode: 0o644, content })
  return tar([
    file('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
    file('index.json', index),
    ...[image, manifest, layer].map((bytes) => file(`blobs/sha256/${digestOf(bytes)}`, bytes)),
  ])
}
