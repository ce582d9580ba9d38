/** The bill of materials: SPDX 2.3 in JSON, which scanners and registries read. Equal inputs give equal bytes. */
import { createHash } from 'node:crypto'
import type { NpmPackage } from './bundles.ts'
import type { DebianPackage } from './debian.ts'

export interface Materials {
  readonly name: string
  readonly version: string
  /** Seconds since 1970. */
  readonly created: number
  /** Identifier of the distribution as in os-release, such as `debian`. */
  readonly distribution: string
  readonly debian: readonly DebianPackage[]
  readonly node: string
  readonly npm: readonly NpmPackage[]
}

interface SpdxPackage {
  readonly SPDXID: string
  readonly name: string
  readonly versionInfo: string
  readonly purl?: string
  readonly license?: string
  readonly source?: string
}

export function sbom(materials: Materials): string {
  const { name, version, created, distribution, debian, npm } = materials
  const product: SpdxPackage = { SPDXID: 'SPDXRef-Package-product', name, versionInfo: version, license: 'Apache-2.0' }
  const parts: SpdxPackage[] = [
    ...debian.map((one) => ({
      SPDXID: idOf('deb', one.name, one.version),
      name: one.name,
      versionInfo: one.version,
      purl: `pkg:deb/${distribution}/${one.name}@${encodeURIComponent(one.version)}?arch=${one.architecture}`,
      source: `built from the source package ${one.source}`,
    })),
    {
      SPDXID: idOf('generic', 'node', materials.node),
      name: 'node',
      versionInfo: materials.node,
      purl: `pkg:generic/node@${materials.node}`,
      license: 'MIT',
    },
    ...npm.map((one) => ({
      SPDXID: idOf('npm', one.name, one.version),
      name: one.name,
      versionInfo: one.version,
      purl: `pkg:npm/${one.name.replace('@', '%40')}@${one.version}`,
      license: one.license,
    })),
  ]
  const content = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${name}-${version}`,
    creationInfo: {
      created: new Date(created * 1000).toISOString().replace('.000', ''),
      creators: ['Tool: hack/image'],
    },
    packages: [product, ...parts].map(described),
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: product.SPDXID },
      ...parts.map(({ SPDXID }) => ({
        spdxElementId: product.SPDXID,
        relationshipType: 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
  }
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 32)
  const documentNamespace = `https://kube-vrouter.dev/spdx/${name}-${version}-${digest}`
  return `${JSON.stringify({ ...content, documentNamespace }, undefined, 2)}\n`
}

function described({ SPDXID, name, versionInfo, purl, license, source }: SpdxPackage) {
  return {
    SPDXID,
    name,
    versionInfo,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: license ?? 'NOASSERTION',
    copyrightText: 'NOASSERTION',
    ...(source === undefined ? {} : { sourceInfo: source }),
    ...(purl === undefined
      ? {}
      : {
          externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
        }),
  }
}

function idOf(type: string, name: string, version: string): string {
  return `SPDXRef-Package-${type}-${`${name}-${version}`.replace(/[^A-Za-z0-9.-]+/g, '-')}`
}
