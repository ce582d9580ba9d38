import assert from 'node:assert/strict'
import { prefersHtml } from './accept.ts'

describe('who gets HTML', () => {
  it('browsers do', () => {
    for (const accept of [
      'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
      'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      'text/html',
      'TEXT/HTML, text/xml;q=0.5',
      'text/html, text/xml',
    ]) {
      assert.equal(prefersHtml(accept), true, accept)
    }
  })
  it('everybody else gets XML', () => {
    for (const accept of [
      undefined,
      '',
      '*/*',
      'text/xml',
      'application/xml,text/html;q=0.9',
      'text/xml, text/html',
      'text/html;q=0.5, text/xml',
      'text/html;q=0, */*',
      'text/html;q=x',
      'application/json',
    ]) {
      assert.equal(prefersHtml(accept), false, String(accept))
    }
  })
})
