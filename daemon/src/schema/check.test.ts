import assert from 'node:assert/strict'
import { Schema } from './check.ts'

const schema = new Schema({
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { type: 'string', format: 'dns-label' },
    mode: { enum: ['fast', 'slow'] },
    count: { type: 'integer', minimum: 2 },
    networks: {
      type: 'array',
      disjoint: true,
      items: { type: 'object', additionalProperties: false, properties: { cidr: { type: 'string', format: 'cidr' } } },
    },
    pools: { type: 'array', disjoint: true, items: { type: 'string', format: 'pod-subnet' } },
  },
})

describe('schema checks', () => {
  it('names the field, the value and what is wrong', () => {
    const issues = schema.check({ name: 'a', networks: [{ cidr: '10.0.0.0/8' }, { cidr: '10.1.0.3/16' }] })
    assert.deepEqual(issues, [
      {
        field: 'networks[1].cidr',
        value: '"10.1.0.3/16"',
        message: 'is not a network: its host bits must be zero (10.1.0.0/16)',
      },
    ])
  })

  it('suggests the known field or value that was probably meant', () => {
    assert.equal(schema.check({ name: 'a', moode: 'fast' })[0]!.message, 'unknown field; did you mean mode?')
    assert.match(schema.check({ name: 'a', mode: 'fst' })[0]!.message, /did you mean fast\?/)
    assert.match(schema.check({ name: 'a', zebra: 1 })[0]!.message, /^unknown field; known are name, mode/)
  })

  it('reports every mistake, not only the first', () => {
    const fields = schema.check({ count: 1, mode: 3, networks: 'x' }).map((issue) => issue.field)
    assert.deepEqual(fields.sort(), ['count', 'mode', 'name', 'networks'])
  })

  it('refuses pools that overlap or are too small', () => {
    assert.deepEqual(schema.check({ name: 'a', pools: ['10.0.0.0/16', '10.1.0.0/16', 'fd00::/64'] }), [])
    assert.equal(
      schema.check({ name: 'a', pools: ['10.0.0.0/8', '10.1.0.0/16'] })[0]!.message,
      'has networks that overlap',
    )
    assert.match(schema.check({ name: 'a', pools: ['10.0.0.0/30'] })[0]!.message, /large enough for pods/)
  })

  it('shortens long values', () => {
    assert.ok(schema.check({ name: 'A'.repeat(500) })[0]!.value!.length <= 120)
  })
})
