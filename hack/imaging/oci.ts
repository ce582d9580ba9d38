/**
 * An OCI image layout (image-spec 1.1) in one tar archive: `ctr images import`, `skopeo copy oci-archive:`, `podman load` read it, and
 * `docker load` too, by the manifest.json of its own that lies beside the layout.
 */
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { cacheFolder } from './cache.ts'
import { type TarEntry, tar, withFolders } from './tar.ts'

export interface Layer {
  /** For `history`. */
  readonly createdBy: string
  readonly entries: readonly TarEntry[]
}

/** A layer as it is in the archive. */
interface Blob {
  readonly digest: string
  readonly size: number
  /** Digest of the layer before it was compressed. */
  readonly diffId: string
  readonly file: string
}

export interface Image {
  /** Repository and tag. */
  readonly name: string
  /** Seconds since 1970. */
  readonly created: number
  readonly architecture: string
  readonly environment: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly layers: readonly Layer[]
}

export interface WrittenImage {
  /** Of the image's manifest: what a registry calls the image's digest. */
  readonly digest: string
  /** Bytes of each layer, compressed. */
  readonly layers: readonly { readonly createdBy: string; readonly size: number }[]
}

/** Writes the archive beside `file` and renames it. */
export async function writeImage(image: Image, file: string): Promise<WrittenImage> {
  const blobs: Blob[] = []
  for (const layer of image.layers) blobs.push(await compress(layer))
  const config = json(imageConfig(image, blobs))
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...described(config) },
    layers: blobs.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size,
    })),
  })
  const index = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        ...described(manifest),
        platform: { architecture: image.architecture, os: 'linux' },
        annotations: {
          'io.containerd.image.name': image.name,
          'org.opencontainers.image.ref.name': image.name.slice(image.name.lastIndexOf(':') + 1),
        },
      },
    ],
  })
  const docker = json([
    {
      Config: pathOf(digestOf(config)),
      RepoTags: [image.name],
      Layers: blobs.map(({ digest }) => pathOf(digest)),
    },
  ])
  const entry = (path: string, from: { bytes: Uint8Array } | { file: string }): TarEntry => ({
    path,
    mode: 0o644,
    mtime: image.created,
    content: { type: 'file', from },
  })
  const entries = withFolders(
    [
      entry('oci-layout', { bytes: json({ imageLayoutVersion: '1.0.0' }) }),
      entry('index.json', { bytes: index }),
      entry('manifest.json', { bytes: docker }),
      ...[config, manifest].map((bytes) => entry(pathOf(digestOf(bytes)), { bytes })),
      ...blobs.map((blob) => entry(pathOf(blob.digest), { file: blob.file })),
    ],
    image.created,
  )
  const temporary = `${file}.${process.pid}.tmp`
  try {
    await pipeline(Readable.from(tar(entries)), createWriteStream(temporary))
    renameSync(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
  return {
    digest: digestOf(manifest),
    layers: image.layers.map(({ createdBy }, index) => ({ createdBy, size: blobs[index]!.size })),
  }
}

function imageConfig(image: Image, blobs: readonly Blob[]) {
  const created = new Date(image.created * 1000).toISOString()
  return {
    created,
    architecture: image.architecture,
    os: 'linux',
    config: {
      Env: Object.entries(image.environment).map(([name, value]) => `${name}=${value}`),
      Cmd: image.command,
      WorkingDir: '/',
      Labels: image.labels,
    },
    rootfs: { type: 'layers', diff_ids: blobs.map(({ diffId }) => diffId) },
    history: image.layers.map(({ createdBy }) => ({ created, created_by: createdBy })),
  }
}

/** Level 9 would take twice the time for 1 % less. */
const GZIP_LEVEL = 6

/** Compressed layers are kept in the cache, by the digest of what was compressed. */
async function compress(layer: Layer): Promise<Blob> {
  const folder = cacheFolder('image', 'layers')
  const hash = createHash('sha256')
  for await (const chunk of tar(layer.entries)) hash.update(chunk)
  const diffId = `sha256:${hash.digest('hex')}`
  const file = join(folder, `${diffId.slice('sha256:'.length)}.tar.gz`)
  const noted = `${file}.sha256`
  if (!existsSync(file) || !existsSync(noted)) {
    const temporary = `${file}.${process.pid}.tmp`
    const compressed = createHash('sha256')
    try {
      await pipeline(
        Readable.from(tar(layer.entries)),
        createGzip({ level: GZIP_LEVEL }),
        async function* (source: AsyncIterable<Uint8Array>) {
          for await (const chunk of source) {
            compressed.update(chunk)
            yield chunk
          }
        },
        createWriteStream(temporary),
      )
      renameSync(temporary, file)
    } finally {
      rmSync(temporary, { force: true })
    }
    writeFileSync(noted, compressed.digest('hex'))
  }
  return { diffId, digest: `sha256:${readFileSync(noted, 'utf8')}`, size: statSync(file).size, file }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function described(bytes: Uint8Array): { readonly digest: string; readonly size: number } {
  return { digest: digestOf(bytes), size: bytes.length }
}

function pathOf(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}
