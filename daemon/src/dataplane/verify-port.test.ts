import assert from 'node:assert/strict'
import { inputOf, modelOf, port, standard } from '../../../test/doubles/service-world.ts'
import { finish } from '../ground/pace.ts'
import { encodeTables, TABLE_MAPS, type TableMap } from './encode-tables.ts'
import { verifyPort } from './verify-port.ts'

describe('what is looked at of a port', () => {
  const web = {
    ...port('web', standard, '10.244.0.4'),
    hostPorts: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' as const }],
  }
  const tables = modelOf().update(inputOf({ ports: [web, port('other', standard, '10.244.0.5')] }))
  const look = (change: (maps: Map<TableMap, Map<string, string>>) => void = () => undefined) => {
    const encoded = finish(encodeTables(tables))
    const maps = new Map(TABLE_MAPS.map((map) => [map, new Map(encoded[map] ?? [])]))
    change(maps)
    const lookup = (map: TableMap, key: Uint8Array) => {
      const value = maps.get(map)!.get(Buffer.from(key).toString('latin1'))
      return value === undefined ? undefined : Buffer.from(value, 'latin1')
    }
    return verifyPort(web.uuid, tables, { lookup, programFault: () => undefined })
  }
  const name = 'Pod default/web, host port 8080 (IPv4)'

  it('are its host ports, too', () => {
    const { verified, mismatches } = look()
    assert.deepEqual(mismatches, [])
    assert.ok(verified.includes(name), verified.join('\n'))
    const other = verifyPort(port('other', standard, '10.244.0.5').uuid, tables, {
      lookup: () => undefined,
      programFault: () => undefined,
    })
    assert.ok(!other.mismatches.some((one) => one.includes('host port')))
  })

  it('is told when one is missing, or leads elsewhere', () => {
    assert.deepEqual(look((maps) => maps.get('service_fronts')!.clear()).mismatches, [
      `${name} is missing in the kernel`,
    ])
    const different = [`${name} is different in the kernel`]
    assert.deepEqual(look((maps) => maps.get('service_backs')!.clear()).mismatches, different)
    const elsewhere = look((maps) => {
      const backs = maps.get('service_backs')!
      for (const [key, value] of backs) backs.set(key, `\x7f${value.slice(1)}`)
    })
    assert.deepEqual(elsewhere.mismatches, different)
  })
})
