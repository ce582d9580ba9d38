import assert from 'node:assert/strict'
import { decimal, flag, i16, i32, parseArguments, text, textWithDefault, u16, u32 } from './arguments.ts'

const route = { vrf_index: i32(), src_ip: text, prefix_len: u16(), stale: flag }

describe('arguments of a request', () => {
  it('takes named values, whatever their order', () => {
    assert.deepEqual(parseArguments(route, 'prefix_len=32&vrf_index=3&stale=1&src_ip=10.0.0.1'), {
      vrf_index: 3,
      src_ip: '10.0.0.1',
      prefix_len: 32,
      stale: true,
    })
  })
  it('keeps defaults for missing and empty values', () => {
    const args = { if_id: i32(-1), family: textWithDefault('inet') }
    for (const query of ['', 'if_id', 'if_id=', 'if_id=&family=', '?', '&&']) {
      assert.deepEqual(parseArguments(args, query), { if_id: -1, family: 'inet' }, query)
    }
  })
  it('sets the first argument by any unknown key', () => {
    assert.equal(parseArguments(route, 'x=7').vrf_index, 7)
    assert.equal(parseArguments({ name: text }, 'sg_uuid=abc').name, 'abc')
    assert.equal(parseArguments({ vrf_index: i32() }, 'vrf_id=3').vrf_index, 3)
  })
  it('matches a key by the argument name that begins it, the whole name first', () => {
    assert.equal(parseArguments(route, 'vrf_index2=4').vrf_index, 4)
    const get = { vrf_id: u32(), prefix: text, prefix_len: u16() }
    assert.deepEqual(parseArguments(get, 'prefix_len=24&prefix=10.0.0.0'), {
      vrf_id: 0,
      prefix: '10.0.0.0',
      prefix_len: 24,
    })
    assert.equal(parseArguments(get, 'prefix_length=24').prefix, '24')
  })
  it('looks at no more tokens than there are arguments', () => {
    assert.deepEqual(parseArguments({ a: text, b: text }, 'a=1&a=2&b=3'), { a: '2', b: '' })
    assert.deepEqual(parseArguments({}, 'x=1'), {})
  })
  it('drops what follows a second equals sign', () => {
    assert.equal(parseArguments({ a: text }, 'a=1=2').a, '1')
  })
  it('reads integers as base-10 prefixes and wraps them', () => {
    const read = (value: string) => parseArguments({ a: i32(9) }, `a=${value}`).a
    assert.deepEqual(['12abc', 'abc', '-1', '4294967295', '0x10'].map(read), [12, 0, -1, -1, 0])
    assert.equal(parseArguments({ a: u32() }, 'a=-1').a, 4294967295)
    assert.equal(parseArguments({ a: u16() }, 'a=65537').a, 1)
    assert.equal(parseArguments({ a: i16() }, 'a=65535').a, -1)
    assert.equal(
      parseArguments({ a: u32() }, `a=${'9'.repeat(400)}`).a,
      Number(BigInt.asUintN(32, 99999999999999999999n)),
    )
  })
  it('reads booleans as integers', () => {
    const read = (value: string) => parseArguments({ a: flag }, `a=${value}`).a
    assert.deepEqual(['1', '0', 'true', '2'].map(read), [true, false, false, true])
  })
  it('decodes %XX in text and leaves + and broken escapes alone', () => {
    const read = (value: string) => parseArguments({ a: text }, `a=${value}`).a
    assert.deepEqual(['a%3Ab', 'a+b', '100%', '%zz', '%c3%bc'].map(read), ['a:b', 'a+b', '100%', '%zz', 'ü'])
  })
  it('tells decimals from other text', () => {
    assert.deepEqual(['7', '', 'abc', '-1', '99999999999'].map(decimal), [
      7,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })
})
